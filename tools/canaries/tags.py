"""A study's DICOM files with an identifier in every kind of place that DICOM has for text.

Elements that the loader reads as numbers and codes keep their values, so that the study is still one; everything else
may name the patient: tags of every text value representation, sequences three deep, private blocks, bytes of unknown
kind, overlays, the file meta information, the preamble, and what stands behind the pixels.
"""

import io
from collections.abc import Iterator, Sequence
from functools import lru_cache

import pydicom
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID

from cmr_lib.ingest.header import TAGS
from tools.canaries.mint import OTHER_YEARS, Canary, Mint, Person

A_KIND = 10  # tags planted of each value representation
WORDS = ("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT")
KINDS = (*WORDS, "DA", "DS", "DT", "IS", "PN", "TM", "UI")
NEEDED = frozenset(TAGS.values()) | {0x00080005, 0x00080018, 0x00200032, 0x00200037}
GROUPS = range(0x0008, 0x4FFF)  # what comes before the pixels and is no overlay
CROWDED = 6  # every so manyth file holds them all


@lru_cache
def text_tags() -> dict[int, str]:
    """Tag → value representation: A_KIND of each, spread over the dictionary."""
    chosen: dict[int, str] = {}
    for kind in KINDS:
        known = sorted(
            tag for tag, entry in DicomDictionary.items()
            if entry[0] == kind and entry[1].startswith("1") and tag >> 16 in GROUPS and tag not in NEEDED
        )  # fmt: skip
        chosen |= dict.fromkeys(known[:: max(1, len(known) // A_KIND)][:A_KIND], kind)
    return dict(sorted(chosen.items()))


def value_of(kind: str, mint: Mint) -> str:
    """An identifier that a value representation can hold."""
    if kind in ("DA", "DT"):
        return f"{mint.day(OTHER_YEARS):%Y%m%d}" + (mint.time() if kind == "DT" else "")
    if kind == "TM":
        return mint.time()
    if kind == "PN":
        return mint.name()
    if kind in ("DS", "IS"):
        return "1" + mint.digits(9)
    return f"2.25.{mint.digits(30)}" if kind == "UI" else mint.code()


class Plan:
    """What is planted in the files of one study; the same identifiers in all of them.

    A `silent` study has no accession number in its files; then its folder or zip is named by it.
    """

    def __init__(self, person: Person, seed: int, *, silent: bool = False) -> None:
        self.person, self.silent, self._mint = person, silent, Mint(seed, 10_000 + person.study)
        self.canaries: list[Canary] = []
        self._tags = {tag: (kind, self.new(kind, f"tag {kind}")) for tag, kind in text_tags().items()}
        self._private = {kind: self.new(kind, f"private {kind}") for kind in (*KINDS, "UN", "OB")}
        self._creator = self.new("LO", "private creator")
        self._nested = [
            {kind: self.new(kind, f"nested {depth} deep") for kind in ("PN", "LO", "DA", "UT")} for depth in (1, 2, 3)
        ]
        named = ("overlay", "file meta", "file meta, private", "preamble", "behind the pixels", "padding", "comment")
        self._places = {place: self.new("LO", place) for place in named}

    def new(self, kind: str, carrier: str) -> str:
        """A new identifier, noted."""
        value = value_of(kind, self._mint)
        self.note(value, carrier, exact=kind in ("DA", "DT", "TM"))
        return value

    def note(self, value: str, carrier: str, *, exact: bool = False) -> None:
        """Something that must be searched as well."""
        self.canaries.append(Canary(value, self.person.study, carrier, exact))

    def name(self, carrier: str) -> str:
        """A new name of a person, noted."""
        return self.new("PN", carrier)

    # --- one file ---------------------------------------------------------------------------------------------
    def _identity(self, image: Dataset) -> None:
        person = self.person
        image.SpecificCharacterSet = "ISO_IR 192"
        image.PatientName, image.PatientID = person.dicom_name, person.patient_id
        image.AccessionNumber = "" if self.silent else person.accession
        image.PatientBirthDate, image.StudyDate = f"{person.birth:%Y%m%d}", f"{person.day:%Y%m%d}"
        for keyword in ("SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate"):
            setattr(image, keyword, f"{person.day:%Y%m%d}")
        image.ReferringPhysicianName = f"{person.referring}^Dr"
        image.NameOfPhysiciansReadingStudy = person.reader
        image.OperatorsName, image.InstitutionName = person.operator, person.institution
        image.PatientAddress = f"{person.patient_id[-2:]} {person.street} Street"
        image.PatientTelephoneNumbers = person.telephone
        for keyword in ("SeriesDescription", "Manufacturer"):
            image[keyword].value = f"{image.get(keyword, '')} {self._places['comment']}"

    def _crowd(self, image: Dataset) -> None:
        for tag, (kind, value) in self._tags.items():
            image.add_new(tag, kind, value)
        block = image.private_block(0x0099, self._creator, create=True)
        for offset, (kind, value) in enumerate(self._private.items()):
            block.add_new(offset, kind, value.encode() if kind in ("UN", "OB") else value)
        block.add_new(0x80, "SQ", Items([self._tree()]))
        image.add_new(0x00400275, "SQ", Items([self._tree()]))  # RequestAttributesSequence
        image.add_new(0x60000022, "LO", self._places["overlay"])
        image.add_new(0xFFFCFFFC, "OB", self._places["padding"].encode())

    def _tree(self) -> Dataset:
        """An item in an item in an item, each with identifiers."""
        inner: Dataset | None = None
        for level in reversed(self._nested):
            item = Dataset()
            item.PatientName, item.InstitutionName = level["PN"], level["LO"]
            item.AdmittingDate, item.TextValue = level["DA"], level["UT"]
            if inner is not None:
                item.add_new(0x0040A730, "SQ", Items([inner]))  # ContentSequence
            inner = item
        assert inner is not None
        return inner

    def _meta(self, meta: FileMetaDataset) -> None:
        meta.SourceApplicationEntityTitle = self._places["file meta"]
        meta.PrivateInformationCreatorUID = UID("2.25.1")
        meta.PrivateInformation = self._places["file meta, private"].encode()

    def plant(self, data: bytes, number: int) -> bytes:
        """One file of the study with identifiers in it; every CROWDED-th file holds all of them."""
        image = pydicom.dcmread(io.BytesIO(data))
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
            if value := str(image.get(keyword, "")):
                self.note(value, "UID")
        self._identity(image)
        if number % CROWDED == 0:
            self._crowd(image)
            self._meta(image.file_meta)
            image.preamble = self._places["preamble"].encode().ljust(128, b" ")
        out = io.BytesIO()
        pydicom.dcmwrite(out, image, enforce_file_format=False)
        return out.getvalue() + (self._places["behind the pixels"].encode() if number % CROWDED == 1 else b"")


def planted(files: Sequence[bytes], plan: Plan) -> Iterator[bytes]:
    """The DICOM files of a study with identifiers; what is no DICOM stays as it is."""
    before = pydicom.config.settings.writing_validation_mode
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        for number, data in enumerate(files):
            try:
                yield plan.plant(data, number)
            except (pydicom.errors.InvalidDicomError, EOFError, AttributeError, KeyError):
                yield data  # the phantom's own broken files
    finally:
        pydicom.config.settings.writing_validation_mode = before


def crooked(data: bytes, plan: Plan) -> dict[str, bytes]:
    """Files that make a reader complain, with names in what it may complain about, by what is wrong with them."""
    image = pydicom.dcmread(io.BytesIO(data))

    def broken(**values: str) -> bytes:
        copy = pydicom.dcmread(io.BytesIO(data))
        for keyword, value in values.items():
            copy.add_new(pydicom.datadict.tag_for_keyword(keyword) or 0, "LO", value)
        out = io.BytesIO()
        pydicom.dcmwrite(out, copy, enforce_file_format=False)
        return out.getvalue()

    name = plan.name("broken file: name longer than the file")
    image.PatientName = name
    out = io.BytesIO()
    pydicom.dcmwrite(out, image, enforce_file_format=False)
    lying = out.getvalue()
    at = lying.index(name.encode()) - 2
    return {
        "lying length": lying[:at] + b"\xff\xff" + lying[at + 2 :],
        "cut": lying[: at + 40],
        "rows in words": broken(Rows=plan.new("LO", "broken file: rows in words")),
        "no UID": broken(SOPInstanceUID=f"1.2.{plan.new('LO', 'broken file: UID in words')}"),
        "spacing in words": broken(PixelSpacing=plan.new("LO", "broken file: spacing in words")),
        "text": f"Report of {plan.name('broken file: text')}".encode(),
        "utf-16": f"Letter to {plan.name('broken file: utf-16')}".encode("utf-16"),
    }
