"""What every adapter of a public set says of the set, of one case on disk, and of one case read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cmr_lib.ingest.files import LIMITS, Limits, read_regular, walk
from cmr_lib.ingest.rejects import Refused, reject
from cmr_lib.ingest.studies import StudyRead
from cmr_lib.project import keyed_name
from cmr_lib.types import Split, Stack

Labels = dict[str, float | int | str]


@dataclass(frozen=True)
class Case:
    """One examination of a public set, found on disk."""

    source: str  # key of catalogue.SETS
    name: str  # the set's own name of the patient: a pseudonym already
    folder: Path
    split: Split | None = None  # the official one; None: the set has none
    row: Mapping[str, str] = field(default_factory=dict)  # the set's own table, where there is one
    extra: Path | None = None  # a second folder: contours beside images

    @property
    def folders(self) -> list[Path]:
        """Everywhere that files of this case lie."""
        return [self.folder, *([self.extra] if self.extra else [])]


@dataclass
class PublicStudy(StudyRead):
    """A case, read: as a study, with what the set's experts said and drew."""

    labels: Labels = field(default_factory=dict)
    split: Split | None = None


@dataclass(frozen=True)
class Content:
    """What an adapter makes of a case: stacks, labels, facts, and the names of the files that it needed."""

    stacks: list[Stack]
    labels: Labels
    facts: dict[str, float | int | str]
    used: frozenset[str]


@dataclass(frozen=True)
class PublicSet:
    """A set and its adapter."""

    title: str
    layout: str  # what stands below cohort.studies, in one line
    citation: str  # whoever uses the set must cite this
    licence: str
    find: Callable[[Path], list[Case]]  # empty: not this layout
    read: Callable[[Case, bytes, Limits], Content | PublicStudy]  # raises Refused


def listing(case: Case) -> list[str]:
    """Names of the files of a case, relative to its folder (or to its second one), sorted."""
    return sorted(path.relative_to(folder).as_posix() for folder in case.folders for path in walk(folder))


def read_named(folder: Path, name: str, tag: str, limits: Limits = LIMITS) -> bytes:
    """The bytes of a file of the layout. Raises Refused: E_LAYOUT with the tag if absent, else as `read_regular`."""
    path = folder / name
    if not path.is_file():
        raise Refused("E_LAYOUT", tag)
    return read_regular(path, limits.file_bytes)


def accounted(case: Case, content: Content, key: bytes) -> PublicStudy:
    """The case as a study: what the adapter used is accepted, a row says what else lay there."""
    study_key = keyed_name(key, "study", case.name)
    names = listing(case)
    spare = [name for name in names if name not in content.used]
    rows = [
        reject("file", "N_NOT_NEEDED", study_key=study_key, file_key=keyed_name(key, "file", f"{study_key}/{name}"))
        for name in spare
    ]
    counts = {"found": len(names), "accepted": len(names) - len(spare), "rejected": 0, "ignored": len(spare)}
    return PublicStudy(
        study_key=study_key,
        patient_id=case.name,
        accession=case.name,
        stacks=content.stacks,
        rejects=rows,
        counts=counts,
        facts=content.facts,
        labels=content.labels,
        split=case.split,
    )


def refused_case(case: Case, refused: Refused, key: bytes) -> PublicStudy:
    """A case that cannot be used: one row, all its files rejected."""
    study_key = keyed_name(key, "study", case.name)
    count = max(1, len(listing(case)))
    row = reject("study", refused.code, study_key=study_key, tag=refused.tag)
    counts = {"found": count, "accepted": 0, "rejected": count, "ignored": 0}
    return PublicStudy(study_key=study_key, patient_id=case.name, rejects=[row], counts=counts)


def folders_below(root: Path, depth: int) -> Iterable[Path]:
    """`root` and the folders below it to a depth, sorted; links are not followed."""
    yield root
    if depth > 0:
        for child in sorted(root.iterdir()):
            if child.is_dir() and not child.is_symlink():
                yield from folders_below(child, depth - 1)
