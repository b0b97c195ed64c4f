"""The little that is kept of the person in a header: sex as a code, age as a band, the day for a keyed shift.

PatientSex and PatientAge are coded values (PS3.5 6.2, AS: `045Y`, `011M`); whatever else stands there counts as absent.
Ages are reported in bands of ten years, the oldest and the youngest together, as re-identification guidance asks.
"""

import datetime
import re

AGE = re.compile(r"(\d{3})([DWMY])")
YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
OLDEST = 80
UNKNOWN = ""


def sex_of(text: str) -> str:
    """F, M, O (other), or "" where the header says nothing else."""
    return text.strip().upper() if text.strip().upper() in ("F", "M", "O") else UNKNOWN


def age_years(text: str) -> float:
    """Years of an age string; NaN where it is none."""
    found = AGE.fullmatch(text.strip().upper())
    return int(found[1]) * YEARS[found[2]] if found else float("nan")


def age_band(years: float) -> str:
    """`under 18`, `18-29`, `30-39` … `70-79`, `80 and over`; "" for NaN or what is no age."""
    if not 0 <= years < 120:
        return UNKNOWN
    if years < 18:
        return "under 18"
    if years < 30:
        return "18-29"
    decade = int(years // 10) * 10
    return f"{OLDEST} and over" if years >= OLDEST else f"{decade}-{decade + 9}"


def day_of(text: str) -> datetime.date | None:
    """The date of a DICOM DA (YYYYMMDD; also the old YYYY.MM.DD); None where it is none. Restricted: shift it first."""
    try:
        return datetime.datetime.strptime(text.strip().replace(".", ""), "%Y%m%d").date()
    except ValueError:
        return None
