"""One study's work, as a worker of the pool does it: read, crop, judge, and keep what was done."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmr_lib import params, project
from cmr_lib.clips.cohort import StudyResult
from cmr_lib.clips.prepare import clips_of
from cmr_lib.clips.quality import quality_of
from cmr_lib.clips.resume import Kept
from cmr_lib.ingest.files import LIMITS, Limits, safe_name
from cmr_lib.ingest.header import READ_ERRORS
from cmr_lib.ingest.named import read_headers
from cmr_lib.ingest.person import age_band
from cmr_lib.ingest.public.catalogue import read_case
from cmr_lib.ingest.public.record import Case
from cmr_lib.ingest.rejects import reject
from cmr_lib.ingest.studies import StudyRead, read_study, study_name
from cmr_lib.ingest.workers import Caps
from cmr_lib.reports.identifiers import Identifiers, identifiers_of, united

FILES = ("found", "accepted", "rejected", "ignored")


@dataclass(frozen=True)
class Renamed:
    """A study whose folder is called as another's is (ST000000): named by more of its path. Restricted."""

    path: Path
    name: str


Item = Path | Renamed | Case  # a study as a hospital stores it, or a case of a public set


def distinct(paths: Sequence[Path], root: Path) -> list[Path | Renamed]:
    """The same studies; those that share a name are named by their path below `root`."""
    times = Counter(study_name(path) for path in paths)
    return [
        path if times[study_name(path)] == 1 else Renamed(path, safe_name(path.relative_to(root).as_posix()))
        for path in paths
    ]


def name_of(item: Item) -> str:
    """The item's name on disk. Restricted where it is a hospital's."""
    return study_name(item) if isinstance(item, Path) else item.name


def places_of(item: Item) -> list[Path]:
    """The files and folders whose content decides the item's."""
    if isinstance(item, Case):
        return item.folders
    return [item.path if isinstance(item, Renamed) else item]


def limits_of(caps: params.Caps) -> Limits:
    """How large a study's files may be, in bytes."""
    mib = 2**20
    return Limits(caps.files, caps.file_mib * mib, caps.study_mib * mib, caps.ratio, caps.depth)


def worker_caps(caps: params.Caps) -> Caps:
    """What a study may cost a worker process."""
    return Caps(caps.seconds, caps.memory_mib * 2**20, caps.worker_studies)


def read_item(item: Item, key: bytes, limits: Limits = LIMITS) -> StudyRead:
    """The item's stacks, rejects, counts and facts; labels too where it is a case of a public set."""
    if isinstance(item, Case):
        return read_case(item, key, limits)
    return read_study(places_of(item)[0], key, limits, name_of(item))


def known_of(item: Item) -> Identifiers:
    """What the headers of a study on disk say of its patient; nothing for a public set. Restricted."""
    return Identifiers() if isinstance(item, Case) else united(map(identifiers_of, read_headers(places_of(item)[0])))


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


def prepare_study(item: Item, key: bytes, shape: params.ClipShape, limits: Limits = LIMITS) -> StudyResult:
    """Read and prepare one study. What no code foresees is a row too, with the error's type."""
    try:
        return _result(read_item(item, key, limits), key, shape)
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
    limits: Limits = LIMITS
    prepare: Callable[[Item, bytes, params.ClipShape, Limits], StudyResult] = prepare_study

    def __call__(self, item: Item) -> StudyResult:
        """The study's result: the kept one where its files have not changed since, else a new one, then kept."""
        told = (str(item.split), str(sorted(item.row.items()))) if isinstance(item, Case) else ()
        path = self.kept.path(places_of(item), *told)
        if (found := self.kept.get(path)) is not None:
            found.known = known_of(item)  # never kept: it names the patient
            return found
        result = self.prepare(item, self.key, self.shape, self.limits)
        self.kept.put(path, result)
        return result


@dataclass(frozen=True)
class Look:
    """A study's stacks as they are, for a person to look at; goes to the workers too."""

    key: bytes
    limits: Limits = LIMITS

    def __call__(self, item: Item) -> StudyRead:
        """The study, read; without stacks where something went wrong that no code foresees."""
        try:
            return read_item(item, self.key, self.limits)
        except MemoryError:
            raise  # the worker's cap
        except READ_ERRORS:
            return StudyRead(project.keyed_name(self.key, "study", name_of(item)))
