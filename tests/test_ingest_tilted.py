"""Views of slanted planes: phantom studies (synthetic), every plane turned and tilted by up to 20 degrees.

Each study is named as a whole, without any text; right-ventricular planes tilt by up to half as much, because they are
told by their tilt. The confusion matrix is printed (pytest -s).
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tilted import LONG, RIGHT, SPACING_MM, Patient, Slant, moved

from cmr_lib import project
from cmr_lib.ingest import heart, scene, septum
from cmr_lib.ingest.views import assign_views
from cmr_lib.types import Sequence, View

SLANTS = (0.0, 10.0, 20.0, 45.0)  # the last is further than anything can be named safely
PATIENTS = [(seed, number) for seed in (11, 12) for number in range(5)]


def say(text):
    """Measured shares belong in the log of the tests (pytest -s)."""
    print(text)  # noqa: T201


def drawn(random, most):
    return float(random.uniform(-most, most))


def slanted_study(patient, most, random):
    """(true view, stack) of a study in which every plane is off by up to `most` degrees in turn and in tilt."""
    yield View.SAX, patient.short_axis(drawn(random, most), drawn(random, 180))
    for view in LONG + RIGHT:
        slant = Slant(drawn(random, most), drawn(random, most if view in LONG else most / 2))
        yield view, (patient.long_axis if view in LONG else patient.right)(view, slant)


@pytest.fixture(scope="module")
def outcomes():
    """(largest slant, true view, named view, confidence) of every stack."""
    rows = []
    for seed, number in PATIENTS:
        patient = Patient(seed, number)
        random = project.rng(seed, "slants", number)
        for most in SLANTS:
            true, stacks = zip(*slanted_study(patient, most, random), strict=True)
            for view, stack in zip(true, assign_views(stacks, [""] * len(stacks)), strict=True):
                rows.append((most, view, stack.view, stack.facts["confidence"]))
    return rows


def confusion(rows):
    """A table of true against named views, as text."""
    counts = Counter((true, named) for _, true, named, _ in rows)
    lines = ["true \\ named " + " ".join(f"{view.value:>8}" for view in View)]
    for true in [view for view in View if any(row[1] == view for row in rows)]:
        lines.append(f"{true.value:>12} " + " ".join(f"{counts[true, named]:>8}" for named in View))
    return "\n".join(lines)


def shares(rows):
    right = np.mean([true == named for _, true, named, _ in rows])
    safe = np.mean([named in (true, View.UNKNOWN) for _, true, named, _ in rows])
    return float(right), float(safe)


@pytest.mark.parametrize(
    ("most", "least_right", "least_safe"), [(0.0, 0.95, 0.98), (10.0, 0.95, 0.98), (20.0, 0.88, 0.98)]
)
def test_slanted_planes_are_named_right_or_not_at_all(outcomes, most, least_right, least_safe):
    rows = [row for row in outcomes if row[0] == most]
    right, safe = shares(rows)
    say(f"\nup to {most:g} degrees, synthetic phantom: right {right:.3f}, right or unknown {safe:.3f}, n = {len(rows)}")
    say(confusion(rows))
    assert right >= least_right
    assert safe >= least_safe


def test_left_ventricular_planes_slanted_by_up_to_20_degrees_are_named_right_or_not_at_all(outcomes):
    rows = [row for row in outcomes if row[1] in (*LONG, View.SAX) and row[0] <= 20]
    right, safe = shares(rows)
    say(f"\nleft ventricular planes up to 20 degrees: right {right:.3f}, right or unknown {safe:.3f}, n = {len(rows)}")
    assert right >= 0.93
    assert safe >= 0.98


def test_wrong_names_come_with_less_confidence_than_right_ones(outcomes):
    right = [confidence for _, true, named, confidence in outcomes if true == named]
    wrong = [confidence for _, true, named, confidence in outcomes if named not in (true, View.UNKNOWN)]
    say(f"\nconfidence: right {np.median(right):.2f} (n = {len(right)}), wrong {np.median(wrong):.2f} ({len(wrong)})")
    assert len(wrong) > 0
    above = np.mean([one > other for one in right for other in wrong])
    assert above >= 0.8  # chance: 0.5


def test_confidence_falls_as_planes_slant(outcomes):
    mean = {most: np.mean([row[3] for row in outcomes if row[0] == most]) for most in SLANTS}
    assert mean[0.0] > mean[10.0] > mean[20.0] > mean[45.0]


def test_the_septum_is_seen_within_its_stated_error():
    off, places = [], []
    for seed, number in PATIENTS:
        patient = Patient(seed, number)
        seen = septum.look_at(patient.short_axis())
        off.append(np.rad2deg(np.arctan2(seen.septum @ patient.y, seen.septum @ patient.x)))
        away = seen.left_ventricle - patient.centre
        places.append(np.linalg.norm(away - (away @ patient.z) * patient.z))
    say(f"\nseptum off by {np.mean(off):.1f} ± {np.std(off):.1f} degrees, n = {len(off)}")
    assert np.sqrt(np.mean(np.square(off))) < scene.SEPTUM_DEG[0]
    assert max(places) < 10


@pytest.mark.parametrize("turn_deg", [0.0, 60.0, 120.0])
def test_a_dark_band_across_the_ventricle_costs_names_but_makes_none_wrong(turn_deg):
    patient = Patient(11, 1)
    short = patient.short_axis()
    seen = septum.look_at(short)
    row, col = heart.to_pixel(short, len(short.pixels) // 2, seen.left_ventricle)
    rows, cols = np.indices(short.pixels.shape[2:])
    turn = np.deg2rad(turn_deg)
    band = np.abs((rows - row) * np.cos(turn) + (cols - col) * np.sin(turn)) * SPACING_MM < 6.0
    stacks = [replace(short, pixels=np.where(band, 0.15 * short.pixels, short.pixels).astype(np.float32))]
    named = assign_views([*stacks, *(patient.long_axis(view) for view in LONG)], [""] * 4)
    assert named[0].view == View.SAX
    assert all(stack.view in (view, View.UNKNOWN) for stack, view in zip(named[1:], LONG, strict=True))


def test_what_is_likely_chooses_the_septums_lobe_and_does_not_pull_it():
    def lobe(centre_deg, spread_deg=30.0):
        away = np.rad2deg(np.angle(np.exp(1j * (septum.ANGLES - np.deg2rad(centre_deg)))))
        return np.exp(-0.5 * (away / spread_deg) ** 2)

    for centre in (180.0, 145.0, 215.0):
        for fluid in (0.0, 1.5):  # bright fluid beyond the lateral wall, more of it than of the other ventricle's blood
            found = septum._lobe(lobe(centre) + fluid * lobe(0.0, 20.0))
            assert abs(np.rad2deg(np.angle(found * np.exp(-1j * np.deg2rad(centre))))) < 6


def test_a_stack_of_four_chamber_planes_is_no_short_axis_though_it_is_the_larger_one():
    patient = Patient(11, 0)
    four = [patient.slab(View.LAX_4CH, offset) for offset in (-24.0, -16.0, -8.0, 0.0, 8.0, 16.0, 24.0)]
    stacks = assign_views([*four, patient.short_axis()], [""] * 8)
    assert stacks[-1].view == View.SAX
    assert [stack.view for stack in stacks[2:5]] == [View.LAX_4CH] * 3
    assert View.SAX not in {stack.view for stack in stacks[:-1]}


def test_late_enhancement_is_named_in_the_frame_of_the_cine():
    patient = Patient(12, 1)
    late = [patient.long_axis(view, sequence=Sequence.LGE) for view in LONG]
    stacks = assign_views([patient.short_axis(), *late], [""] * 4)
    assert [stack.view for stack in stacks] == [View.SAX, *LONG]


def test_one_long_axis_plane_beside_the_short_axis_is_enough():
    patient = Patient(11, 2)
    for view in LONG:
        stacks = assign_views([patient.short_axis(), patient.long_axis(view)], ["", "cine SAX"])
        assert stacks[1].view == view
        assert stacks[1].facts["view_source"] == "geometry"


def test_a_turned_patient_keeps_the_views():
    """The whole chest turned by 20 degrees about head-foot and about left-right: the heart's frame turns with it."""
    patient = Patient(12, 3)
    stacks = [patient.short_axis(), *(patient.long_axis(view) for view in LONG)]
    for turn in ([0, 0, 20], [0, 0, -20], [20, 0, 0], [-20, 0, 0]):
        turned = [moved(stack, Rotation.from_rotvec(np.deg2rad(turn))) for stack in stacks]
        named = assign_views(turned, [""] * 4)
        assert [stack.view for stack in named] == [View.SAX, *LONG], turn
