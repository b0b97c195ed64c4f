"""Stage preprocess: where studies and reports come from, what one may cost, and what a clip is."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cmr_lib.params.values import PUBLIC_SOURCES, Amount, Count, Positive, Share, Source, Strict


class ReportColumns(Strict):
    """Which columns of the report table hold what."""

    patient: str
    accession: str
    text: str


class Cohort(Strict):
    """Where the studies and reports come from."""

    studies: str | None  # folder of zips or folders, one a study, or of a public set; null: the simulated hospital's
    reports: str | None  # table (.csv, .tsv, .jsonl, .xlsx) or folder of .txt; null: the simulated hospital's
    columns: ReportColumns
    several_reports: Literal["refuse", "join", "last"] = "refuse"  # different ones of a study, addenda apart
    day_first: bool = True  # 03/09/2015 in a report is 3 September, where nothing in it or in the header settles it
    max_studies: Positive | None  # take only the first N by name; null: all
    max_reject_share: Share  # the stage stops when more of the studies than this are rejected


class Identity(Strict):
    """How identifiers become names."""

    key_file: str | None  # naming key outside the repository, mode 0600; null only for synthetic phantoms
    text_model: str | None = None  # folder of a spaCy model for Presidio, beside the rules; null: not used


class SplitShares(Strict):
    """Shares of the patients in each split."""

    train: Share
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _sum_to_one(self) -> Any:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("split: the three shares must sum to 1")
        return self


class ClipShape(Strict):
    """What a stored clip looks like."""

    size_px: Annotated[int, Field(ge=32, le=512)]
    spacing_mm: Annotated[float, Field(ge=0.5, le=5)]
    phases: Annotated[int, Field(ge=2, le=64)]  # cine clips are resampled on the RR interval to this many


class Caps(Strict):
    """What one study may cost; beyond it the study, or the file, is refused with a code."""

    seconds: Amount  # of reading and preparing: E_TIMEOUT
    memory_mib: Positive  # on top of what a fresh worker has: E_MEMORY
    files: Positive  # in a folder (E_TOO_BIG) or an archive (E_ARCHIVE)
    file_mib: Positive  # one file, unpacked: E_TOO_BIG
    study_mib: Positive  # all files of a study, unpacked: E_TOO_BIG, E_ARCHIVE
    ratio: Positive  # bytes out of an archive's entry for each byte in: E_ARCHIVE
    depth: Count  # folders below the study's own
    worker_studies: Positive  # then the worker process is replaced, so that nothing can pile up


class Preprocess(Strict):
    """Stage preprocess."""

    out_dir: str
    data_dir: str
    seed: Count
    source: Source
    cohort: Cohort
    identity: Identity
    split: SplitShares
    clip: ClipShape
    caps: Caps
    workers: Positive

    @model_validator(mode="after")
    def _patients_need_a_key(self) -> Any:
        own = self.cohort.studies is not None and self.source not in PUBLIC_SOURCES
        if self.identity.key_file is None and own:
            raise ValueError("identity.key_file: a clinic's studies need a key file outside the repository")
        return self
