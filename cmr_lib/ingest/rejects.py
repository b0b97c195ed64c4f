"""Why an input did not become an output: a small closed list of codes, one line of meaning each.

The first letter says what happens: E (error) is `rejected`, N (not for us) is `ignored`, W (worth a remark) is
`repaired`, that is, used after all. Law of conservation: found = accepted + rejected + ignored, where a repaired
input counts as accepted. A row holds keyed names and codes only: never a raw value, never a path.
"""

from collections.abc import Iterable, Mapping

from cmr_lib.types import Reject

CODES: dict[str, str] = {
    # files that are not what this pipeline reads
    "N_NOT_REGULAR": "not a regular file (link, pipe, device): never opened, never followed",
    "N_NOT_DICOM": "not a DICOM file",
    "N_NOT_IMAGE": "a DICOM object without an image (report, presentation state, raw data, directory)",
    "N_NOT_MR": "an image of another modality than MR",
    "N_DERIVED": "a screenshot, a colour image, or an image with text burned in",
    "N_LOCALISER": "a still image without inversion recovery (localiser and the like)",
    "N_OTHER_SEQUENCE": "neither cine nor late enhancement (flow, map, perfusion, inversion-time scout)",
    "N_DUPLICATE": "the same image a second time",
    "N_NOT_NEEDED": "a file of a public set that its adapter does not need",
    "N_REPEAT": "an earlier or less complete acquisition of a slice that is used",
    # files that should have been readable
    "E_IO": "the file system refused to give the bytes",
    "E_TOO_BIG": "the file, or the study, is larger than the cap",
    "E_DECLARED_TOO_BIG": "the image that the header declares is larger than the cap: nothing was decoded",
    "E_BOMB": "a deflated file that grows out of proportion",
    "E_NESTING": "sequences nested too deep",
    "E_BAD_VR": "a value representation that does not exist, or text where a number belongs",
    "E_BAD_UID": "an identifier of image, series, study or frame that is no UID",
    "E_LENGTH": "pixel data of a length that the description of the pixels does not explain",
    "E_REQUIRED_MISSING": "an element without which the image has no meaning is missing or unreadable",
    "E_GEOMETRY": "position, orientation or spacing is not finite or not plausible",
    "E_PIXEL_META": "the description of the pixels contradicts itself",
    "E_PIXEL_SHORT": "fewer pixel bytes than frames × rows × columns",
    "E_TRANSFER_SYNTAX": "an unknown transfer syntax",
    "E_NO_DECODER": "compressed in a way that no installed library unpacks (JPEG lossless: `pip install python-gdcm`)",
    "E_DECODE": "the pixels cannot be decoded",
    "E_ENHANCED_UNSUPPORTED": "a multi-frame object that does not say where each of its frames lies",
    "E_DUP_CONFLICT": "two different images under one SOPInstanceUID: both are refused",
    "W_NO_PREAMBLE": "the DICOM preamble is missing; every required element is there",
    "W_PREAMBLE": "the preamble is the beginning of a program or archive; it is never read or copied",
    "W_VR_FALLBACK": "value representations that are there, or not, against the declared transfer syntax",
    "W_CHARSET": "text in another character set than the declared one; the text is not used",
    "W_TRAILING": "rubbish behind the pixels; it is never read",
    "W_FRAME_COUNT": "NumberOfFrames is 0: read as one image",
    "W_NO_SERIES_UID": "no SeriesInstanceUID: the image is told by its place, time and series number",
    "W_FRAMES_UNUSED": "a multi-frame file of which some frames are used and some are not",
    # series, studies, reports
    "W_SERIES_INCOMPLETE": "a slice or a phase is missing from a series that is used; the tag says which, from 1",
    "W_PHASES_RESAMPLED": "slices with different numbers of phases, resampled on the RR interval",
    "E_ARCHIVE": "a zip archive, or an entry of one, that is broken, encrypted, oversized or points outside itself",
    "E_NO_IMAGES": "a study without one readable MR image",
    "E_NO_STACK": "a study without cine and without late enhancement",
    "E_NO_PLANNED_IMAGE": "a study that has none of the images the model was trained to look at",
    "E_IDENTITY_CONFLICT": "two patients in one study, or a report that names another patient",
    "E_SEVERAL_STUDIES": "several accession numbers in one study",
    "E_DUP_STUDY": "a second study of the same accession number",
    "W_NO_REPORT": "a study without a report: kept",
    "E_NO_STUDY": "a report without a study",
    "N_NO_REPORT": "a file in the folder of reports that is no .txt",
    "E_REPORT_EMPTY": "a report without text",
    "E_REPORT_NO_ACCESSION": "a report without an accession number",
    "E_REPORT_TOO_LONG": "a report longer than the cap",
    "E_REPORT_BINARY": "a report that is not text",
    "E_REPORT_DUPLICATE": "different reports under one accession number, none an addendum: all are refused",
    "W_REPORT_NO_IMPRESSION": "a report without an impression: kept",
    "W_REPORT_NO_FINDINGS": "a report in which no finding and no number was read: kept",
    "E_TIMEOUT": "a study that was not read within the time limit; its worker was ended",
    "E_MEMORY": "a study that needed more memory than the limit; its worker was ended",
    "E_WORKER_DIED": "a study whose worker died while reading it",
    "E_LAYOUT": "a case of a public set that lacks a part of the set's layout; the tag says which",
    "E_UNFORESEEN": "a study whose processing failed in a way that no other code names; the tag is the error's type",
    "W_ENCODING": "a table of reports that is not UTF-8, read as Latin-1, Windows-1252 or UTF-16",
    "W_SHEETS": "a workbook of several sheets, of which the one with the named columns was read",
    "E_REPORT_TABLE": "a table of reports that cannot be read as a whole: the run stops and says why",
}
ACTIONS = {"E": "rejected", "N": "ignored", "W": "repaired"}
COLUMNS = ("level", "code", "action", "study_key", "series_key", "file_key", "tag", "stage")


class Refused(Exception):  # noqa: N818 (a verdict on an input, not an error of the program)
    """An input that cannot be used: a code of CODES and, where it helps, the DICOM keyword at fault."""

    def __init__(self, code: str, tag: str = "") -> None:
        super().__init__(f"{code}: {CODES[code]}" + (f" [{tag}]" if tag else ""))
        self.code = code
        self.tag = tag

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return Refused, (self.code, self.tag)  # it travels between processes by its arguments, not by its message


class TableRefused(ValueError):  # noqa: N818 (as above)
    """A table of reports that cannot be used as a whole; its sentence ("The report table …") holds no value."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The report table {why} [{self.code}]")

    code = "E_REPORT_TABLE"


def reject(level: str, code: str, **keys: str) -> Reject:
    """A row for the reject table; the action follows from the code. Raises KeyError for an unknown code."""
    if code not in CODES:
        raise KeyError(f"Unknown reject code {code!r}; known: {', '.join(CODES)}.")
    return Reject(level=level, code=code, action=ACTIONS[code[0]], **keys)


def tally(rejects: Iterable[Reject], level: str) -> Mapping[str, int]:
    """How many rows of one level there are for each code, by code."""
    counts: dict[str, int] = {}
    for row in rejects:
        if row.level == level:
            counts[row.code] = counts.get(row.code, 0) + 1
    return dict(sorted(counts.items()))
