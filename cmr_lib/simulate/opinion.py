"""What a reader makes of what was seen: a diagnosis by its visible signs, right or wrong, and never the label.

So a myocarditis whose scar was missed is a normal heart to its reader, and a thick heart without enhancement stays open
between hypertrophic cardiomyopathy, high blood pressure and amyloid.
"""

from cmr_lib.simulate.phrases import remark
from cmr_lib.simulate.reading import Reading
from cmr_lib.simulate.voices import Speaker

ISCHAEMIC_LVEF = 45  # below it an infarct is called ischaemic cardiomyopathy
MARKED = ("moderately", "severely")


def _thick_form(reading: Reading) -> str:
    """The form of a hypertrophy that is thick enough to be seen, or none."""
    return reading.disease.hypertrophy if reading.hypertrophy != "normal" else "none"


def _right_is_bad(reading: Reading) -> bool:
    """Whether the right ventricle is the finding: both measures out of range, or one of them clearly."""
    grades = (reading.rv_size, reading.rv_function)
    return "normal" not in grades or any(grade in MARKED for grade in grades)


def _of_scar(reading: Reading) -> str:
    """The opinion that a seen scar calls for."""
    pattern = reading.disease.lge_pattern
    if pattern in ("subendocardial", "transmural"):
        return "infarct" if reading.lvef < ISCHAEMIC_LVEF else "infarct_small"
    if pattern in ("patchy", "insertion_points") and _thick_form(reading) != "none":
        return "hcm"
    if pattern == "insertion_points":
        return _of_right(reading) if _right_is_bad(reading) else "insertion"
    if pattern == "midwall_septal" and reading.lv_size != "normal" and reading.lv_function != "normal":
        return "dcm_fibrosis"
    return {"diffuse": "amyloid", "subepicardial": "myocarditis", "patchy": "patchy"}.get(pattern, "stripe")


def _of_right(reading: Reading) -> str:
    """The opinion on an abnormal right ventricle."""
    return "right_pressure" if reading.septum_flat else "right"


def _of_left(reading: Reading) -> str | None:
    """The opinion that walls and function of the left ventricle call for, if any."""
    if (form := _thick_form(reading)) != "none":
        return "thick" if form == "concentric" else "hcm"
    if reading.lv_function in MARKED or (reading.lv_function == "mildly" and reading.lv_size != "normal"):
        if reading.lv_size == "normal":
            return "regional" if reading.motion_seen else "weak"
        return "dcm_regional" if reading.motion_seen else "dcm"
    return None


def _of_the_rest(reading: Reading) -> str:
    """The opinion where nothing is marked."""
    signs = (
        ("regional", reading.motion_seen),
        ("weak", reading.lv_function != "normal"),
        ("right_mild", reading.rv_size != "normal" or reading.rv_function != "normal" or reading.septum_flat),
        ("large", reading.lv_size != "normal"),
        ("thick_mild", reading.hypertrophy != "normal"),
        ("doubt", reading.scar_imagined),
        ("normal", reading.is_normal),
    )
    return next((name for name, found in signs if found), "incidental")


def opinion(reading: Reading) -> str:
    """What the reader concludes: the second half of a key of the voices (`opinion_amyloid`: `amyloid`)."""
    if reading.scar_seen:
        return _of_scar(reading)
    left = _of_left(reading)
    if left in (None, "weak") and _right_is_bad(reading):
        return _of_right(reading)
    return left or _of_the_rest(reading)


def conclusion(reading: Reading, speaker: Speaker) -> str:
    """The opinion in words."""
    return remark(f"opinion_{opinion(reading)}", reading, speaker)
