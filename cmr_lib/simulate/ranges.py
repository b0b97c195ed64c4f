"""How large, thick and strong hearts are, by diagnosis and sex: mean, standard deviation, lowest and highest value.

Normal ranges are those of Maceira 2006 for balanced SSFP with the papillary muscles in the mass (left ventricle:
doi 10.1080/10976640600572889; right ventricle: doi 10.1093/eurheartj/ehl336). Of a disease a published mean stands
beside the number where one was found; "choice" marks the generator's own, drawn around published definitions (ACDC
class rules, HCM wall >= 15 mm) and made wide enough to overlap. No publication was found that gives a disease by sex:
the difference between men and women is that of NOR. These are not epidemiology.
"""

import numpy as np

from cmr_lib.labels import Diagnosis

Range = tuple[float | int, float | int, float | int, float | int]  # mean, standard deviation, lowest, highest
NOR, DCM, HCM, ICM = Diagnosis.NOR, Diagnosis.DCM, Diagnosis.HCM, Diagnosis.ICM
ARV, AMY, MYO, NIF = Diagnosis.ARV, Diagnosis.AMY, Diagnosis.MYO, Diagnosis.NIF

# Left-ventricular EDV index in mL/m², by sex. NOR: Maceira 2006 (80±9, 63–98; 75±9, 57–92). All others: choice.
LVEDVI: dict[Diagnosis, dict[str, Range]] = {
    NOR: {"M": (80, 9, 63, 98), "F": (75, 9, 57, 92)},
    DCM: {"M": (126, 22, 94, 200), "F": (116, 20, 88, 185)},  # ACDC: > 100 mL/m²; milder ones let in
    HCM: {"M": (75, 11, 52, 100), "F": (70, 10, 48, 94)},
    ICM: {"M": (98, 20, 64, 165), "F": (91, 18, 60, 150)},
    ARV: {"M": (80, 12, 55, 106), "F": (75, 11, 52, 98)},
    AMY: {"M": (70, 12, 46, 100), "F": (66, 11, 43, 94)},
    MYO: {"M": (86, 13, 63, 125), "F": (80, 12, 57, 116)},
    NIF: {"M": (86, 14, 63, 130), "F": (80, 13, 57, 120)},
}
# LVEF in %. NOR: Maceira 2006 gives 67±4.6 (58–76); a little lower and wider here, so that it meets mild disease.
LVEF: dict[Diagnosis, Range] = {
    NOR: (63.5, 4.6, 55.5, 74),
    DCM: (34, 10, 13, 54),  # 32±12 (n 118, doi 10.1186/s12968-016-0300-z); ACDC: < 40 %; mild ones up to 54
    HCM: (67, 6, 50, 79),  # choice: > 65 % classic, 50–65 remodelled (doi 10.1007/s13244-018-0656-8); ACDC: > 55 %
    ICM: (42, 9, 16, 60),  # choice; the mean is replaced by a draw that follows the infarct's size
    ARV: (60, 6, 42, 73),  # choice
    AMY: (53, 10, 25, 71),  # 61 without, 51 with a later event (doi 10.1186/s12968-019-0564-1)
    MYO: (54, 7, 32, 66),  # choice, of those whose function is not normal; see SILENT_SHARE
    NIF: (50, 9, 28, 65),  # choice
}
# Largest end-diastolic wall thickness in mm; men <= 12, women <= 11 is normal; HCM >= 15 in the classical definition.
# NOR: largest of the mid-cavity 8 mm (m), 7 mm (f) on short-axis, 9 and 7 on long-axis images (n 300,
# doi 10.1161/CIRCIMAGING.112.973560); a little more here, over the whole ventricle. All others but HCM: choice.
WALL: dict[Diagnosis, dict[str, Range]] = {
    NOR: {"M": (9.6, 1.0, 7.2, 12.2), "F": (8.5, 0.9, 6.5, 11.2)},
    DCM: {"M": (9.3, 1.3, 6.5, 12.5), "F": (8.6, 1.2, 6.2, 11.8)},
    HCM: {"M": (18.0, 3.8, 12.0, 31), "F": (17.0, 3.6, 11.2, 29)},  # 18.5±4.4 (n 850, PMC4345808)
    ICM: {"M": (10.2, 1.2, 7.5, 13.5), "F": (9.3, 1.1, 7.0, 12.5)},
    ARV: {"M": (9.6, 1.1, 7.0, 12.5), "F": (8.6, 1.0, 6.5, 11.5)},
    AMY: {"M": (16.0, 2.8, 11.5, 24), "F": (15.0, 2.7, 10.5, 23)},
    MYO: {"M": (9.9, 1.2, 7.2, 13.0), "F": (8.9, 1.1, 6.5, 12.0)},
    NIF: {"M": (10.0, 1.4, 7.2, 14.0), "F": (9.0, 1.3, 6.5, 13.0)},
}
# Right-ventricular EDV index in mL/m². NOR: Maceira 2006 (83±12, 60–106; 73±9, 55–92). All others: choice.
RVEDVI: dict[Diagnosis, dict[str, Range]] = {
    NOR: {"M": (83, 12, 60, 106), "F": (73, 9, 55, 92)},
    DCM: {"M": (92, 17, 60, 140), "F": (82, 15, 55, 125)},
    HCM: {"M": (78, 11, 55, 104), "F": (70, 9, 50, 90)},
    ICM: {"M": (84, 13, 58, 118), "F": (75, 11, 52, 104)},
    ARV: {"M": (130, 20, 94, 190), "F": (116, 18, 84, 170)},  # ACDC: > 110 (m), > 100 (f)
    AMY: {"M": (78, 13, 52, 112), "F": (70, 11, 48, 98)},
    MYO: {"M": (84, 12, 60, 110), "F": (74, 10, 55, 96)},
    NIF: {"M": (86, 14, 60, 122), "F": (76, 12, 55, 108)},
}
# RVEF in %. NOR: Maceira 2006 gives 66±6 (54–78); a little lower here, as LVEF. All others but DCM: choice.
RVEF: dict[Diagnosis, Range] = {
    NOR: (61, 5, 51, 73),
    DCM: (47, 9, 20, 64),  # 46±12 where LVEF < 50 (n 216, Amsterdam UMC)
    HCM: (64, 6, 48, 77),
    ICM: (55, 8, 28, 69),
    ARV: (38, 8, 18, 54),  # ACDC: < 40 % or a large RV
    AMY: (51, 9, 26, 69),
    MYO: (58, 6, 42, 71),
    NIF: (55, 7, 34, 69),
}
# Diameter of the aortic root in mm, by sex: 32.4±3.9 (m), 27.6±2.9 (f) at the sinus, upper limits 40.1 and 33.4 (n 201,
# doi 10.1186/1532-429X-16-9). Some are dilated whatever the diagnosis: size and share are the generator's choice.
AORTA: dict[str, Range] = {"M": (32.4, 3.8, 24, 39.5), "F": (27.6, 2.9, 21, 36.5)}
DILATED_AORTA: dict[str, Range] = {"M": (44.0, 3.0, 40.5, 54), "F": (41.0, 3.0, 37.5, 50)}
DILATED_AORTA_SHARE = 0.07
# Chance of a pericardial effusion; its thickness in mm is drawn from EFFUSION. AMY: 43 of 143 by echocardiography
# (doi 10.1007/s00392-020-01698-7). All others, and the thickness: choice.
EFFUSION_SHARE: dict[Diagnosis, float] = {
    NOR: 0.02, DCM: 0.06, HCM: 0.03, ICM: 0.05, ARV: 0.10, AMY: 0.30, MYO: 0.25, NIF: 0.05,
}  # fmt: skip
EFFUSION: Range = (8.0, 3.5, 4.5, 22)
# Share of MYO and NIF whose body, size, function, walls and fluid are drawn as if they were NOR: only enhancement
# tells. A design need, not a published share: without them nobody can measure what late enhancement adds to cine.
SILENT_SHARE = 0.5


def draw(random: np.random.Generator, limits: Range, shift: float = 0.0) -> float:
    """A normal draw, moved by `shift`; what falls outside its range takes the nearest end."""
    mean, deviation, low, high = limits
    return float(np.clip(random.normal(mean + shift, deviation), low, high))
