"""One study's work, as a worker of the pool does it: read, crop, judge, and keep what was done."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cmr_lib import params, project
from cmr_lib.clips.cohort import StudyResult
from cmr_lib.clips.prepare import clips_of
from cmr_lib.clips.quality import quality_of
from cmr_lib.clips.resume import Kept
from cmr_lib.ingest.header import READ_ERRORS
from cmr_lib.ingest.named import read_headers
from cmr_lib.ingest.person import age_band
from cmr_lib.ingest.public.catalogue import read_case
from cmr_lib.ingest.public.record import Case
from cmr_lib.ingest.rejects import reject
from cmr_lib.ingest.studies import StudyRead, read_study, study_name
from cmr_lib.reports.identifiers import Identifiers, identifiers_of, united

FILES = ("found", "accepted", "rejected", "ignored")
Item = Path | Case  # a study as a hospital stores it, or a case of a public set


def name_of(item: Item) -> str:
    """The item's name on disk. Restricted where it is a hospital's."""
    return item.name if isinstance(item, Case) else study_name(item)


def places_of(item: Item) -> list[Path]:
    """The files and folders whose content decides the item's."""
    return item.folders if isinstance(item, Case) else [item]


def read_item(item: Item, key: bytes) -> StudyRead:
    """The item's stacks, rejects, counts and facts; labels too where it is a case of a public set."""
    return read_case(item, key) if isinstance(item, Case) else read_study(item, key)


def known_of(item: Item) -> Identifiers:
    """What the headers of a study on disk say of its patient; nothing for a public set. Restricted."""
    return Identifiers() if isinstance(item, Case) else united(map(identifiers_of, read_headers(item)))


def _result(study: StudyRead, key: bytes, shape: params.ClipShape) -> StudyResult:
    clips = clips_of(study.stacks, shape)
    labels, facts = dict(getattr(study, "labels", {})), dict(study.facts)
    facts["sex"] = labels.pop("sex", "") or facts.get("sex", "")
    facts["age_band"] = age_band(float(labels.pop("age_years", "nan"))) or facts.get("age_band", "")
    return StudyResult(
        study_key=study.study_key,
        patient_key=project.keyed_name(key, "patient", study.patient_id or f"of study {study.accession}"),
        patient_named=bool(study.patient_id),
        clips=clips,
        rejects=study.rejects,
        counts=study.counts,
        facts=facts,
        labels=labels,
        quality=quality_of(clips) if clips else {},
        split=getattr(study, "split", None),
        day=study.day,
        known=united(map(identifiers_of, getattr(study, "headers", []))),
    )


def unread(item: Item, key: bytes, code: str, tag: str = "") -> StudyResult:
    """What is left of a study that could not be read to its end: one row."""
    study_key = project.keyed_name(key, "study", name_of(item))
    row = reject("study", code, study_key=study_key, tag=tag)
    return StudyResult(study_key, rejects=[row], counts=dict(zip(FILES, (1, 0, 1, 0), strict=True)))


def prepare_study(item: Item, key: bytes, shape: params.ClipShape) -> StudyResult:
    """Read and prepare one study. What no code foresees is a row too, with the error's type."""
    try:
        return _result(read_item(item, key), key, shape)
    except MemoryError:
        raise  # the worker's cap
    except READ_ERRORS as error:
        return unread(item, key, "E_UNFORESEEN", type(error).__name__)


@dataclass(frozen=True)
class Work:
    """What is done with every study of a run: `work(item)`. Goes to the workers, so it holds nothing that cannot."""

    key: bytes
    shape: params.ClipShape
    kept: Kept
    prepare: Callable[[Item, bytes, params.ClipShape], StudyResult] = prepare_study

    def __call__(self, item: Item) -> StudyResult:
        """The study's result: the kept one where its files have not changed since, else a new one, then kept."""
        told = (str(item.split), str(sorted(item.row.items()))) if isinstance(item, Case) else ()
        path = self.kept.path(places_of(item), *told)
        if (found := self.kept.get(path)) is not None:
            found.known = known_of(item)  # never kept: it names the patient
            return found
        result = self.prepare(item, self.key, self.shape)
        self.kept.put(path, result)
        return result
