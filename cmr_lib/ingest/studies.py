"""A study: find it on disk, read it whole, account for every file.

found = accepted + rejected + ignored, by file; a repaired file counts as accepted, and so does a multi-frame file of
which one frame or more is used. Patient and accession live in
memory only; every name that leaves is keyed (project.keyed_name). `read_study` is a pure function of a path and a
key, so that it can run in a child process with a time limit.
"""

import datetime
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pydicom

from cmr_lib.ingest.enhanced import parse_all
from cmr_lib.ingest.files import LIMITS, Limits, RawFile, is_zip, raw_files, read_regular, safe_name
from cmr_lib.ingest.gaps import gaps_of
from cmr_lib.ingest.header import quiet_pydicom, study_uid_of
from cmr_lib.ingest.named import Headers
from cmr_lib.ingest.person import age_band, age_years, day_of, sex_of
from cmr_lib.ingest.reading import Instance
from cmr_lib.ingest.rejects import Refused, reject
from cmr_lib.ingest.stacks import Built, build_stacks
from cmr_lib.ingest.views import assign_views
from cmr_lib.project import keyed_name
from cmr_lib.types import Reject, Stack

File = tuple[str, list[Instance]]  # name (restricted) and images: one, or the frames of a multi-frame file
PEEK = 50  # files of a folder that are tried for a study's UID


@dataclass
class StudyRead:
    """What one study held. `patient_id`, `accession`, `day` and `headers` are restricted: never write them."""

    study_key: str
    patient_id: str = ""
    accession: str = ""
    stacks: list[Stack] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # files: found, accepted, rejected, ignored
    facts: dict[str, float | int | str] = field(default_factory=dict)  # vendor, field_strength_t, sex, age_band
    day: datetime.date | None = None
    headers: list[pydicom.Dataset] = field(default_factory=list)  # the different ones of its files (`ingest.named`)


# --- finding ----------------------------------------------------------------------------------------------------
def _peek(files: Iterable[Path], limits: Limits) -> str:
    """StudyInstanceUID of the first of some files that has one; "" if none does."""
    for path in list(files)[:PEEK]:
        try:
            if uid := study_uid_of(read_regular(path, limits.file_bytes)):
                return uid
        except Refused:
            continue
    return ""


def _listing(folder: Path) -> tuple[list[Path], list[Path], list[Path], list[Path]]:
    """Zips, folders, other files, and links that stand for a study, of one folder; sorted by name."""
    zips, folders, files, links = [], [], [], []
    for entry in sorted(os.scandir(folder), key=lambda item: item.name):
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            folders.append(path)
        elif entry.is_file(follow_symlinks=False):
            (zips if is_zip(path) else files).append(path)
        elif entry.is_dir() or path.suffix.lower() == ".zip":
            links.append(path)
    return zips, folders, files, links


def _below(folder: Path, depth: int, limits: Limits) -> tuple[list[Path], set[str]]:
    """Entries of the studies at or below a folder, and the study UIDs that were seen there."""
    zips, folders, files, links = _listing(folder)
    own = _peek(files, limits)
    if zips and own:
        raise ValueError(
            f"A folder {depth} below the studies' own holds DICOM files beside {len(zips)} .zip studies; wanted one or "
            "the other: give the files a folder of their own."
        )
    inner = [_below(child, depth + 1, limits) for child in folders] if depth < limits.depth else []
    uids = {own} - {""}
    uids = uids.union(*(found for _, found in inner))
    holders = sum(bool(found) for _, found in inner)
    one_study = not zips and len(uids) <= 1 and (own or holders > 1 or depth > 0)
    if one_study or own:
        return ([folder] if files or folders else []), uids
    return [*zips, *links, *(entry for entries, _ in inner for entry in entries)], uids


def find_studies(root: Path | str, limits: Limits = LIMITS) -> list[Path]:
    """One entry a study below `root`, sorted: a .zip, or the uppermost folder whose files share a StudyInstanceUID.

    Links are listed (and refused when read), never followed; loose files that are not DICOM are passed over. An empty
    list means that there is nothing to read. Raises FileNotFoundError if `root` is absent.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError("The folder of studies (cohort.studies) is not there: correct its path.")
    if not root.is_dir():
        return [root]
    return sorted(_below(root, 0, limits)[0])


# --- reading ----------------------------------------------------------------------------------------------------
class _Ledger:
    """Rows and counts of one study while it is read."""

    def __init__(self, key: bytes, study_key: str) -> None:
        self.key, self.study_key = key, study_key
        self.rejects: list[Reject] = []
        self.counts = dict.fromkeys(("found", "accepted", "rejected", "ignored"), 0)
        self.headers = Headers()

    def row(self, level: str, code: str, *, file: str = "", series: str = "", tag: str = "") -> Reject:
        line = reject(
            level,
            code,
            study_key=self.study_key,
            file_key=keyed_name(self.key, "file", f"{self.study_key}/{file}") if file else "",
            series_key=keyed_name(self.key, "series", series) if series else "",
            tag=tag,
        )
        self.rejects.append(line)
        return line

    def drop(self, code: str, file: str, *, series: str = "", tag: str = "") -> None:
        """One file that is not used."""
        self.counts[self.row("file", code, file=file, series=series, tag=tag).action] += 1


def _parse_files(files: Iterable[RawFile], ledger: _Ledger) -> list[File]:
    found = []
    for file in files:
        ledger.counts["found"] += 1
        if file.code:
            ledger.drop(file.code, file.name)
            continue
        try:
            images = parse_all(file.data)
        except Refused as refused:
            ledger.drop(refused.code, file.name, tag=refused.tag)
            ledger.headers.take(file.data)
            continue
        ledger.headers.take(file.data, "" if "W_NO_SERIES_UID" in images[0].remarks else images[0].series_uid)
        found.append((file.name, images))
        for code in images[0].remarks:
            ledger.row("file", code, file=file.name, series=images[0].series_uid)
    return found


def _same_images(first: Sequence[Instance], second: Sequence[Instance]) -> bool:
    """Whether two files hold the same pixels, frame by frame, on the same scale."""
    return len(first) == len(second) and all(
        (one.slope, one.intercept) == (other.slope, other.intercept) and np.array_equal(one.raw, other.raw)
        for one, other in zip(first, second, strict=True)
    )


def _without_doubles(found: list[File], ledger: _Ledger) -> list[File]:
    """One file a SOPInstanceUID: equal copies are ignored, contradicting ones all refused."""
    by_uid: dict[str, list[File]] = {}
    for name, images in found:
        by_uid.setdefault(images[0].sop_uid, []).append((name, images))
    kept = []
    for (name, first), *others in by_uid.values():
        conflict = not all(_same_images(first, other) for _, other in others)
        if conflict:
            ledger.drop("E_DUP_CONFLICT", name, series=first[0].series_uid, tag="SOPInstanceUID")
        else:
            kept.append((name, first))
        for other_name, other in others:
            ledger.drop("E_DUP_CONFLICT" if conflict else "N_DUPLICATE", other_name, series=other[0].series_uid)
    return kept


def _strangers(instances: Sequence[Instance]) -> bool:
    """Whether images say that they are of several studies, and no two studies share a frame of reference."""
    frames: dict[str, set[str]] = {}
    for item in instances:
        frames.setdefault(item.study_uid, set()).add(item.frame_of_reference)
    known = [found for found in frames.values() if "" not in found]
    return len(known) == len(frames) > 1 and sum(map(len, known)) == len(set().union(*known))


def _identity(instances: Sequence[Instance]) -> tuple[str, str]:
    """Patient and accession of a study. Raises Refused if it holds no image, two of either, or several studies."""
    if not instances:
        raise Refused("E_NO_IMAGES")
    patients, accessions = set(), set()
    for item in instances:
        patients.add(item.patient_id)
        accessions.add(item.accession)
    patients, accessions = patients - {""}, accessions - {""}
    if len(patients) > 1:
        raise Refused("E_IDENTITY_CONFLICT", "PatientID")
    if len(accessions) > 1:
        raise Refused("E_SEVERAL_STUDIES", "AccessionNumber")
    if not accessions and _strangers(instances):
        raise Refused("E_SEVERAL_STUDIES", "StudyInstanceUID")
    return next(iter(patients), ""), next(iter(accessions), "")


def _refuse_study(ledger: _Ledger, refused: Refused, remaining: int) -> StudyRead:
    """A study that is not used: one row, and its remaining files counted as rejected."""
    ledger.row("study", refused.code, tag=refused.tag)
    ledger.counts["rejected"] += remaining
    return StudyRead(ledger.study_key, rejects=ledger.rejects, counts=ledger.counts)


def _count_files(found: Sequence[File], built: Built, ledger: _Ledger) -> None:
    """Every file once: accepted if one of its frames is used, else dropped by the code of its first frame."""
    codes = {id(instance): code for instance, code in built.dropped}
    for name, images in found:
        unused = [codes[id(image)] for image in images if id(image) in codes]
        series = images[0].series_uid
        if len(unused) == len(images):
            ledger.drop(unused[0], name, series=series, tag=built.kinds[id(images[0])].value)
            continue
        ledger.counts["accepted"] += 1
        if unused:
            ledger.row("file", "W_FRAMES_UNUSED", file=name, series=series)


def _stack_up(found: Sequence[File], ledger: _Ledger) -> Built:
    """Stacks with views; unused files, and what is missing from or resampled in stacks, go to the ledger."""
    instances = [image for _, images in found for image in images]
    built = build_stacks(instances, lambda uid: keyed_name(ledger.key, "series", uid))
    _count_files(found, built, ledger)
    for index in built.resampled:
        ledger.row("series", "W_PHASES_RESAMPLED", series=built.used[index][0].series_uid)
    for used in built.used:
        for image, what in gaps_of(used):
            ledger.row("series", "W_SERIES_INCOMPLETE", series=image.series_uid, tag=what)
    built.stacks = assign_views(built.stacks, built.descriptions)
    return built


def study_name(path: Path) -> str:
    """The name of a study's folder, or of its .zip without the ending (restricted: often the accession number)."""
    return safe_name(path.stem if path.suffix.lower() == ".zip" else path.name)


def read_study(path: Path | str, key: bytes, limits: Limits = LIMITS, name: str = "") -> StudyRead:
    """Everything usable in one study (a .zip or a folder), and a row for everything else.

    The study is named by its AccessionNumber, or by the name of its folder or .zip where that is empty. A study that
    cannot be used has no stacks and a row of level "study". `limits` cap files and bytes; `name` is used for the
    folder's where other studies have the same one. Raises FileNotFoundError; never for what files hold.
    """
    path = Path(path)
    name = name or study_name(path)
    ledger = _Ledger(key, keyed_name(key, "study", name))
    path.lstat()
    try:
        with quiet_pydicom():
            found = _parse_files(raw_files(path, limits), ledger)
    except Refused as refused:
        ledger.counts = dict.fromkeys(ledger.counts, 0) | {"found": 1}
        return _refuse_study(ledger, refused, 1)
    try:
        patient, accession = _identity([image for _, images in found for image in images])
    except Refused as refused:
        return _refuse_study(ledger, refused, len(found))
    accession = accession or name
    _rename(ledger, keyed_name(key, "study", accession))
    built = _stack_up(_without_doubles(found, ledger), ledger)
    if not built.stacks:
        ledger.row("study", "E_NO_STACK")
    facts = {name: built.stacks[0].facts[name] for name in ("vendor", "field_strength_t")} if built.stacks else {}
    first = found[0][1][0]
    person = {"sex": sex_of(first.sex), "age_band": age_band(age_years(first.age))}
    facts |= {name: value for name, value in person.items() if value}
    day = day_of(first.study_date)
    return StudyRead(
        ledger.study_key, patient, accession, built.stacks, ledger.rejects, ledger.counts, facts, day,
        ledger.headers.found,
    )  # fmt: skip


def _rename(ledger: _Ledger, study_key: str) -> None:
    """Give the rows written so far the study's final name (file keys keep the name of the container)."""
    ledger.study_key = study_key
    ledger.rejects = [replace(row, study_key=study_key) for row in ledger.rejects]
