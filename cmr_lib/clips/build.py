"""The stage preprocess: studies and reports in; clips, tables, a split and a list of rejects out.

Studies are read by a pool of processes and written in the order of their keyed names, so that the output does not
depend on how many processes there are. What leaves is numbers, codes and keyed names; report text goes to
reports.parquet and nowhere else.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from cmr_lib import params, project
from cmr_lib.clips import cohort
from cmr_lib.clips.cohort import Reports, StudyResult
from cmr_lib.clips.prepare import PreparedClip, clips_of
from cmr_lib.clips.split import split_patients
from cmr_lib.clips.store import write_store
from cmr_lib.ingest.cluster import open_pool
from cmr_lib.ingest.header import READ_ERRORS
from cmr_lib.ingest.rejects import COLUMNS, Refused, reject
from cmr_lib.ingest.studies import StudyRead, find_studies, read_study, study_name
from cmr_lib.ingest.workers import AHEAD, CAPS, Caps, in_order
from cmr_lib.reports.sections import split_sections
from cmr_lib.types import Reject, Split, View
from cmr_lib.types import Sequence as Kind

FILES = ("found", "accepted", "rejected", "ignored")


# --- reading ----------------------------------------------------------------------------------------------------
def _unread(path: Path, key: bytes, code: str, tag: str = "") -> StudyResult:
    """What is left of a study that could not be read to its end: one row."""
    study_key = project.keyed_name(key, "study", study_name(path))
    row = reject("study", code, study_key=study_key, tag=tag)
    return StudyResult(study_key, rejects=[row], counts=dict(zip(FILES, (1, 0, 1, 0), strict=True)))


def prepare_study(path: Path, key: bytes, shape: params.ClipShape) -> StudyResult:
    """Read and prepare one study; runs in a worker. What no code foresees is a row too, with the error's type."""
    try:
        study = read_study(path, key)
        clips = clips_of(study.stacks, shape)
    except MemoryError:
        raise  # the worker's cap
    except READ_ERRORS as error:
        return _unread(path, key, "E_UNFORESEEN", type(error).__name__)
    patient = study.patient_id or f"of study {study.accession}"
    return StudyResult(
        study_key=study.study_key,
        patient_key=project.keyed_name(key, "patient", patient),
        patient_named=bool(study.patient_id),
        clips=clips,
        rejects=study.rejects,
        counts=study.counts,
        facts=study.facts,
    )


def read_all(
    paths: Sequence[Path],
    key: bytes,
    shape: params.ClipShape,
    workers: int,
    *,
    progress: bool = True,
    caps: Caps = CAPS,
) -> Iterator[StudyResult]:
    """Results in the order of `paths`, whatever the number of workers; a study that breaks its worker gets a row."""
    work = partial(prepare_study, key=key, shape=shape)
    pool, at_once = open_pool(work, min(workers, len(paths)), caps, preload=[__name__])
    with pool:
        results = in_order(pool, paths, AHEAD * at_once)
        for path, result in tqdm(results, total=len(paths), desc="studies", disable=not progress):
            yield _unread(path, key, result.code) if isinstance(result, Refused) else result


def _find(settings: params.Preprocess, folder: Path, key: bytes) -> list[Path]:
    """The studies to read, in the order of their keyed names."""
    paths = find_studies(folder)
    if not paths:
        raise ValueError(
            f"No study in {folder}: wanted one .zip or one folder of DICOM files a study, found neither. "
            "Check cohort.studies."
        )
    return sorted(
        paths[: settings.cohort.max_studies], key=lambda path: project.keyed_name(key, "study", study_name(path))
    )


def example(settings: params.Preprocess) -> StudyRead:
    """The first study of the cohort, read: to look at before all of them. Raises as `preprocess` does."""
    key = project.read_key(settings.identity.key_file)
    return read_study(_find(settings, cohort.places(settings).studies, key)[0], key)


def _admitted(
    results: Iterable[StudyResult], reports: Reports, studies: list[StudyResult]
) -> Iterator[tuple[str, list[PreparedClip]]]:
    """The clips of the studies that stay, one study in memory at a time; every study is noted in `studies`."""
    seen: set[str] = set()
    for study in results:
        cohort.admit(study, reports, seen)
        studies.append(study)
        clips, study.clips = study.clips, []
        if study.used:
            yield study.study_key, clips


# --- judging ----------------------------------------------------------------------------------------------------
def _why(studies: Sequence[StudyResult]) -> str:
    """The commonest reasons of unused studies and files, as `code × n`."""
    rows = [row for study in studies if not study.used for row in study.rejects if row.action != "repaired"]
    return ", ".join(f"{code} × {count}" for code, count in Counter(row.code for row in rows).most_common(4))


def judge(studies: Sequence[StudyResult], max_reject_share: float) -> None:
    """Stop the stage when too little can be used. Raises ValueError: what was found, what is wanted, what to do."""
    refused = sum(not study.used for study in studies)
    if refused == len(studies):
        raise ValueError(
            f"None of {len(studies)} studies can be used ({_why(studies)}); wanted MR cine or late-enhancement images. "
            "See rejects.csv; ingest.rejects.CODES says what each code means."
        )
    if refused > max_reject_share * len(studies):
        raise ValueError(
            f"{refused} of {len(studies)} studies were rejected ({_why(studies)}), more than cohort.max_reject_share = "
            f"{max_reject_share:g} allows. See rejects.csv; mend the export or raise the share."
        )


def check_conservation(counts: dict[str, int]) -> None:
    """Either found = accepted + rejected + ignored, or the reader lost something: RuntimeError."""
    if counts["found"] != counts["accepted"] + counts["rejected"] + counts.get("ignored", 0):
        raise RuntimeError(f"Inputs were lost on the way: {counts}.")


# --- writing ----------------------------------------------------------------------------------------------------
def _rejects_table(studies: Sequence[StudyResult], reports: Reports) -> pd.DataFrame:
    rows: list[Reject] = [*(row for study in studies for row in study.rejects), *reports.rejects]
    table = pd.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS))
    return table.sort_values(list(COLUMNS), kind="stable", ignore_index=True)


def _studies_table(
    studies: Sequence[StudyResult], index: pd.DataFrame, reports: Reports, splits: dict[str, Split]
) -> pd.DataFrame:
    short = index[(index["view"] == View.SAX.value) & (index["sequence"] == Kind.CINE.value)]
    clips, slices = index["study_key"].value_counts(), short["study_key"].value_counts()
    rows = [
        {
            "study_key": study.study_key,
            "patient_key": study.patient_key,
            "split": splits[study.patient_key].value,
            "n_clips": int(clips[study.study_key]),
            "n_sax_slices": int(slices.get(study.study_key, 0)),
            "has_report": study.study_key in reports.text,
            "vendor": str(study.facts["vendor"]),
            "field_strength_t": float(study.facts["field_strength_t"]),
        }
        for study in studies
    ]
    return pd.DataFrame(rows).sort_values("study_key", ignore_index=True)


def _with_labels(table: pd.DataFrame, truth: Path | None, key: bytes) -> pd.DataFrame:
    if truth is None:
        return table
    labelled = cohort.load_labels(truth, key)
    unknown = (~table["study_key"].isin(labelled.index)).sum()
    if unknown:
        raise ValueError(f"{unknown} of {len(table)} studies are not in the truth table: run the stage simulate again.")
    return table.join(labelled, on="study_key")


def _reports_table(reports: Reports) -> pd.DataFrame:
    rows = []
    for study_key, text in sorted(reports.text.items()):
        report = split_sections(text)
        rows.append({"study_key": study_key, "findings": report.findings, "impression": report.impression})
    return pd.DataFrame(rows, columns=["study_key", "findings", "impression"])


def _counts(
    studies: Sequence[StudyResult], reports: Reports, table: pd.DataFrame, index: pd.DataFrame, rejects: pd.DataFrame
) -> dict[str, dict[str, int]]:
    """What went in and what came out, for metrics.json."""
    files = {name: sum(study.counts[name] for study in studies) for name in FILES}
    known = {"found": len(studies), "accepted": len(table), "rejected": len(studies) - len(table)}
    written = {"found": reports.found, "accepted": len(reports.text), "rejected": reports.found - len(reports.text)}
    check_conservation(files)
    patients = table.drop_duplicates("patient_key")["split"].value_counts()
    return {
        "files": files,
        "studies": known,
        "reports": written,
        "patients": {split.value: int(patients.get(split.value, 0)) for split in Split},
        "clips": {"clips": len(index), "frames": int(index["n_frames"].sum())},
        "views": {str(view): int(count) for view, count in index["view"].value_counts(sort=False).sort_index().items()},
        "rejects": {str(code): int(count) for code, count in rejects["code"].value_counts().sort_index().items()},
    }


def preprocess(settings: params.Preprocess, progress: bool = True) -> dict[str, dict[str, int]]:
    """The whole stage; returns counts of files, studies, reports, patients, clips, views and rejects.

    Writes store/, studies.parquet, reports.parquet and rejects.csv below `out_dir`. Raises FileNotFoundError or
    ValueError, in one sentence, when an input is absent, empty, or rejected as a whole or beyond max_reject_share;
    rejects.csv is written before that.
    """
    out, key = Path(settings.out_dir), project.read_key(settings.identity.key_file)
    where = cohort.places(settings)
    reports = cohort.load_reports(where, key)
    paths = _find(settings, where.studies, key)
    results = read_all(paths, key, settings.clip, settings.workers, progress=progress)
    studies: list[StudyResult] = []
    index = write_store(out / "store", _admitted(results, reports, studies))
    used = sorted((study for study in studies if study.used), key=lambda study: study.study_key)
    cohort.drop_orphans(reports, {study.study_key for study in used})
    rejects = _rejects_table(studies, reports)
    project.write_table(out / "rejects.csv", rejects)
    judge(studies, settings.cohort.max_reject_share)
    splits = split_patients([study.patient_key for study in used], settings.split, settings.seed)
    table = _with_labels(_studies_table(used, index, reports, splits), where.truth, key)
    project.write_table(out / "studies.parquet", table)
    project.write_table(out / "reports.parquet", _reports_table(reports))
    return _counts(studies, reports, table, index, rejects)
