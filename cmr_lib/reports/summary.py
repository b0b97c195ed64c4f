"""What a whole report says: one status a finding, and the numbers; words first, numbers where words are silent."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cmr_lib import labels
from cmr_lib.reports.assertion import Status
from cmr_lib.reports.findings import Finding, findings
from cmr_lib.reports.numbers import Measurement, numbers
from cmr_lib.types import Report

# Which status of several in one report counts: what is there outweighs doubt, doubt outweighs denial.
_WEIGHT = (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT, Status.HISTORICAL)
_GRADES = ("", "trivial", "mildly", "moderately", "severely")


@dataclass(frozen=True)
class Summary:
    """Findings by name as a whole report states them, and its measurements by quantity (the first of each)."""

    findings: Mapping[str, Finding]
    numbers: Mapping[str, Measurement]

    def status(self, name: str) -> Status | None:
        """What is said of a finding, None where nothing is."""
        found = self.findings.get(name)
        return found.status if found else None

    def positive(self, name: str, doubtful: bool = True) -> bool:
        """Whether a finding is stated to be there, or (with `doubtful`) may be; trivial ones do not count."""
        found = self.findings.get(name)
        wanted = {Status.PRESENT, Status.UNCERTAIN} if doubtful else {Status.PRESENT}
        return found is not None and found.status in wanted and found.severity != "trivial"


def _weight(finding: Finding) -> tuple[int, int]:
    trivial = finding.severity == "trivial"  # a trace of fluid outweighs nothing
    return (2 if trivial else _WEIGHT.index(finding.status), -_GRADES.index(finding.severity))


def by_name(found: Iterable[Finding]) -> dict[str, Finding]:
    """The weightiest finding of each name; equal weights: the first."""
    kept: dict[str, Finding] = {}
    for finding in found:
        if finding.name not in kept or _weight(finding) < _weight(kept[finding.name]):
            kept[finding.name] = finding
    return kept


def _graded(name: str, severity: str) -> Finding:
    normal = severity == "normal"
    return Finding(name, Status.ABSENT if normal else Status.PRESENT, "" if normal else severity)


def from_numbers(measured: Mapping[str, Measurement], sex: str = "") -> dict[str, Finding]:
    """Findings that the numbers make by the cut-points of `labels`; those that need the sex ("M", "F") only with it."""
    found = {}
    for name, quantity, cuts in (
        ("lv_dysfunction", "lvef", labels.LVEF_CUTS),
        ("rv_dysfunction", "rvef", labels.RVEF_CUTS),
    ):
        if quantity in measured:
            found[name] = _graded(name, labels.severity_below(measured[quantity].value, cuts))
    for name, quantity, by_sex in (
        ("lv_dilation", "lvedvi", labels.LVEDVI_CUTS),
        ("rv_dilation", "rvedvi", labels.RVEDVI_CUTS),
        ("lv_hypertrophy", "wall", labels.WALL_CUTS),
        ("aortic_dilation", "aorta", labels.AORTA_CUTS),
    ):
        if quantity in measured and sex in by_sex:
            scale = 10.0 if measured[quantity].unit == "cm" else 1.0
            found[name] = _graded(name, labels.severity_above(measured[quantity].value * scale, by_sex[sex]))
    return found


def summarise(report: Report, sex: str = "") -> Summary:
    """Findings and numbers of a report's findings and impression (an indication asks, it does not find). Pure."""
    text = f"{report.findings}\n\n{report.impression}"
    measured: dict[str, Measurement] = {}
    for number in numbers(text):
        measured.setdefault(number.quantity, number)
    said = by_name(findings(text))
    return Summary(from_numbers(measured, sex) | said, measured)
