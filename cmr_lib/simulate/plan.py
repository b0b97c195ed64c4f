"""The series of one study in the order of acquisition, before any pixel exists.

The maker's way of splitting what the protocol scans, and the mess around it. Each series knows what it truly is and
what a careful reader must do with it.
"""

from dataclasses import dataclass, replace

import numpy as np

from cmr_lib import project
from cmr_lib.params import Simulate
from cmr_lib.simulate.anatomy import HeartShape
from cmr_lib.simulate.latents import Latents
from cmr_lib.simulate.mess import LOCALISERS, MOST_FILES, Mess, attempted, draw_mess, fitted, pick
from cmr_lib.simulate.plane import Plane, centred_plane, unit
from cmr_lib.simulate.protocol import LARGEST_DEMO_PX, Exam, Shot, is_full_size, plan_study
from cmr_lib.types import Sequence, View

STILL = np.zeros(3)
LOCALISER_PX, LOCALISER_MM = 64, 5.0
FLOW_PX, FLOW_MM = 72, 3.0
EXTRA_NOISE = 1000  # numbers of noise from here on belong to the extra series
MAP_PHASE = 0.7  # mid-diastole
AXIAL = (np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]))
CORONAL = (np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, -1.0]))
SAGITTAL = (np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0]))


@dataclass(frozen=True)
class Series:
    """One series to be scanned; without shots it is a screenshot, a file that is no DICOM, or something missing."""

    kind: str  # one of vendors.KINDS, or not_dicom
    view: View  # what it shows, whatever its name says
    name: str = ""  # SeriesDescription
    shots: tuple[Shot, ...] = ()
    noise: tuple[int, ...] = ()  # the number of each shot's noise
    venc_cm_s: float = 0.0
    trick: str = "none"
    outcome: str = "used"
    spoil: str = ""  # what happens to one of its files (mess.SPOILS, or duplicate)
    spoil_at: float = 0.0

    @property
    def images(self) -> int:
        """How many images it has."""
        return sum(len(shot.phases) for shot in self.shots) + (self.kind == "screenshot")


@dataclass(frozen=True)
class Habit:
    """How this maker's scanner names and splits the series of this study."""

    exam: Exam
    name: int
    split: str  # as vendors.Vendor.split; multi-frame objects hold stacks, whoever makes them

    def series(self, kind: str, numbered: list[tuple[int, Shot]], claim: View | None = None) -> list[Series]:
        """One stack as series: one a slice, or one in all, in the maker's order of slices."""
        view = numbered[0][1].view
        names = {"lge": self.exam.vendor.late_names, "psir": self.exam.vendor.psir_names}
        options = names.get(kind) or self.exam.vendor.cine_names[claim or view]
        ordered = numbered[::-1] if self.exam.vendor.apex_first else numbered
        parts = [[one] for one in ordered] if self.split == "slice" else [ordered]
        lies = claim not in (None, view)
        return [
            Series(
                kind,
                view,
                options[self.name % len(options)],
                shots=tuple(shot for _, shot in part),
                noise=tuple(number for number, _ in part),
                trick="wrong_name" if lies else "none",
            )
            for part in parts
        ]


def habit_of(settings: Simulate, latents: Latents, exam: Exam, *, single_frame: bool) -> Habit:
    """The habit of a study, the same for all of its series."""
    name = int(project.rng(settings.seed, "names", latents.patient, latents.study).integers(6))
    return Habit(exam, name, exam.vendor.split if single_frame else "stack")


def _stacks(shots: list[Shot]) -> dict[tuple[Sequence, View], list[tuple[int, Shot]]]:
    """The slices by stack, each with its number in the protocol."""
    stacks: dict[tuple[Sequence, View], list[tuple[int, Shot]]] = {}
    for number, shot in enumerate(shots):
        stacks.setdefault((shot.sequence, shot.view), []).append((number, shot))
    return stacks


def _lose(stacks: dict, mess: Mess) -> list[Series]:
    """Take away what was never acquired; returns a line for each loss. A short axis keeps three slices or more."""
    absent = []
    for key in [key for key in stacks if mess.missing in key and key != (Sequence.CINE, View.SAX)]:
        del stacks[key]
        kind = "lge" if key[0] is Sequence.LGE else "cine"
        absent.append(Series(kind, key[1], trick="missing_view", outcome="absent"))
    short = stacks[Sequence.CINE, View.SAX]
    if mess.lost_slice and len(short) > 3:
        del short[1 + pick(len(short) - 2, mess.place)]
        absent.append(Series("cine", View.SAX, trick="missing_slice", outcome="absent"))
    return absent


def _core(stacks: dict, habit: Habit, mess: Mess) -> tuple[list[Series], list[Series]]:
    """The series that a study is made for: cines, and late enhancement (of a pair the magnitude comes first)."""
    cines, late = [], []
    for (sequence, view), numbered in stacks.items():
        if sequence is Sequence.CINE:
            cines += habit.series("cine", numbered, mess.claim if view is mess.liar else None)
        elif habit.exam.vendor.psir:
            pairs = habit.series("lge", numbered)
            late += [replace(one, trick="pair", outcome="ignored") for one in pairs]
            late += habit.series("psir", numbered)
        else:
            late += habit.series("lge", numbered)
    return cines, late


# --- extras -----------------------------------------------------------------------------------------------------
def _still(plane: Plane, phase: float, rr_ms: float) -> Shot:
    return Shot(View.UNKNOWN, Sequence.CINE, 0, plane, (phase,), STILL, rr_ms)


def localiser_planes(shape: HeartShape) -> list[Plane]:
    """An axial, a coronal and a sagittal plane through the heart."""
    centre = np.round(shape.pose.origin_mm + 30 * shape.pose.axes[2])
    return [centred_plane(centre, *axes, LOCALISER_MM, LOCALISER_PX, 10.0) for axes in (AXIAL, CORONAL, SAGITTAL)]


def flow_plane(shape: HeartShape) -> Plane:
    """Across the ascending aorta, about 45 mm above the valve (`layers` says where it runs)."""
    size = shape.radius / 25
    x, y, z = shape.pose.axes
    along = unit(6 * size * x + 17 * size * y - 65 * z)
    centre = shape.pose.origin_mm + 15 * size * x + 21.5 * size * y - 42 * z
    row = unit(AXIAL[0] - (AXIAL[0] @ along) * along)
    return centred_plane(centre, row, np.cross(along, row), FLOW_MM, FLOW_PX, 6.0)


def _extra(exam: Exam, kind: str, shots: list[Shot], venc: float = 0.0) -> Series:
    """A series that is not for this model."""
    numbers = tuple(EXTRA_NOISE + 10 * len(kind) + index for index in range(len(shots)))
    name = exam.vendor.other_names[kind]
    return Series(kind, View.UNKNOWN, name, tuple(shots), numbers, venc, outcome="ignored")


def _extras(shape: HeartShape, exam: Exam, mess: Mess, short: list[Shot]) -> dict[str, list[Series]]:
    """Localiser, flow pair, T1 map and screenshot, as far as the study has them."""
    rr, found = short[0].rr_ms, {}
    if mess.localiser:
        shots = [_still(plane, 0.0, rr) for plane in localiser_planes(shape)[:LOCALISERS]]
        found["localiser"] = [_extra(exam, "localiser", shots)]
    if mess.flow:
        phases = tuple((k + 0.5) / mess.flow for k in range(mess.flow))
        shot = Shot(View.UNKNOWN, Sequence.CINE, 0, flow_plane(shape), phases, STILL, rr)
        found["flow"] = [_extra(exam, kind, [shot], mess.venc_cm_s) for kind in ("flow_magnitude", "flow_phase")]
    if mess.t1_map:
        middle = short[len(short) // 2]
        found["t1_map"] = [replace(_extra(exam, "t1_map", [_still(middle.plane, MAP_PHASE, rr)]), view=View.SAX)]
    if mess.screenshot:
        found["screenshot"] = [_extra(exam, "screenshot", [])]
    return found


def _first_attempt(cines: list[Series], mess: Mess, phases: int) -> list[Series]:
    """A short-axis slice as it was scanned before it was scanned again: later in the breath, perhaps broken off."""
    if mess.attempt == 0:
        return []
    slices = [(one, index) for one in cines if one.view is View.SAX for index in range(len(one.shots))]
    series, index = slices[pick(len(slices), mess.place)]
    shot = series.shots[index]
    lower = shot.offset_mm + np.array([1.0, 3.0, 6.0])
    moved = replace(shot, phases=shot.phases[: attempted(mess, phases)], offset_mm=lower)
    return [replace(series, shots=(moved,), noise=(EXTRA_NOISE,), trick="repeat", outcome="ignored")]


def _spoil(series: list[Series], mess: Mess) -> list[Series]:
    """Mark the cine of which one file is spoiled or doubled; a file that is no DICOM comes on top."""
    series = list(series)
    whole = any(one.trick == "repeat" for one in series)  # what was scanned again must stay the better run
    for spoil in ("duplicate" if mess.duplicate else "", mess.spoil):
        if spoil == "not_dicom":
            series.append(Series("not_dicom", View.UNKNOWN, trick=spoil, outcome="ignored"))
        elif spoil:
            cines = [
                i for i, one in enumerate(series) if one.kind == "cine" and one.outcome == "used" and not one.spoil
            ]
            free = [i for i in cines if not (whole and series[i].view is View.SAX)]
            index = free[pick(len(free), mess.place)]
            series[index] = replace(series[index], spoil=spoil, spoil_at=(7 * mess.place) % 1)
    return series


def plan_series(
    settings: Simulate, latents: Latents, shape: HeartShape, exam: Exam, *, single_frame: bool = True
) -> list[Series]:
    """Every series of a study in order of acquisition, then what is missing. Multi-frame files are never spoiled."""
    stacks = _stacks(plan_study(settings, latents, shape, exam))
    mess = draw_mess(settings, latents)
    absent = _lose(stacks, mess)
    cines, late = _core(stacks, habit_of(settings, latents, exam, single_frame=single_frame), mess)
    short = [shot for _, shot in stacks[Sequence.CINE, View.SAX]]
    phases = len(short[0].phases)
    if settings.image.matrix_px <= LARGEST_DEMO_PX and not is_full_size(settings, latents):
        mess = fitted(mess, sum(one.images for one in (*cines, *late)), phases, MOST_FILES)
    if not single_frame and mess.spoil:
        mess = replace(mess, spoil="not_dicom")
    extra = _extras(shape, exam, mess, short)
    ordered = [*extra.get("localiser", []), *_first_attempt(cines, mess, phases), *cines]
    ordered += [*extra.get("flow", []), *extra.get("t1_map", []), *late, *extra.get("screenshot", [])]
    return [*_spoil(ordered, mess), *absent]
