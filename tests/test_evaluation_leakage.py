"""The leakage audit names what was planted between splits, by the right print, and nothing on clean data."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.store import ClipStore, write_store
from cmr_lib.evaluation import leakage
from cmr_lib.types import Sequence, View

READY_MADE = "Normal cardiac MRI. Normal size and function of both ventricles. No late gadolinium enhancement."


def pictures(seed, size=48, frames=6):
    """A beating ring on a chest that all patients share, each of its own size, place and texture."""
    rng = np.random.default_rng([seed, 1])
    y, x = np.mgrid[:size, :size] / size
    cx, cy, radius, wall = rng.uniform([0.42, 0.42, 0.14, 0.05], [0.58, 0.58, 0.26, 0.12])
    distance = np.hypot(x - cx, y - cy)
    texture = gaussian_filter(rng.normal(size=(size, size)), 2) * 150
    chest = 60 + 30 * (np.hypot(x - 0.5, y - 0.5) < 0.45)
    beat = radius * (1 - 0.3 * np.sin(np.pi * np.arange(frames) / frames))[:, None, None]
    ring = 90 * (distance < beat) - 60 * ((distance >= beat) & (distance < beat + wall))
    return np.clip(chest + ring + texture, 0, 255).astype(np.uint8)


def report(seed):
    lvef, edv, mass, rvef = np.random.default_rng([seed, 2]).integers([20, 100, 80, 25], [70, 320, 220, 68])
    places = np.random.default_rng([seed, 3]).permutation(["basal", "mid", "apical", "septal", "lateral", "inferior"])
    return (
        f"The left ventricle measures {edv} mL at end-diastole with an ejection fraction of {lvef} % and a mass of "
        f"{mass} g. Reduced motion of the {places[0]} and {places[1]} segments, less so of the {places[2]} ones. Right "
        f"ventricular ejection fraction {rvef} %. Enhancement in the {places[3]} wall, then {places[4]}, {places[5]}. "
        f"No thrombus, no pericardial effusion, aortic root of {20 + seed % 17} mm."
    )


def altered(frames, rng):
    """The same pictures through a JPEG, brighter and noisier."""

    def through(frame):
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=80)
        return np.asarray(Image.open(file))

    coded = np.stack([through(frame) for frame in frames]).astype(float)
    return np.clip(coded * 1.1 + 6 + rng.normal(0, 2, coded.shape), 0, 255).astype(np.uint8)


class Cohort:
    """Forty patients with two studies each; a study is (key, patient, split, pictures, report)."""

    def __init__(self):
        split = ["train"] * 24 + ["validation"] * 6 + ["test"] * 10
        self.rows = [
            [f"s{n:03d}", f"p{n // 2:03d}", split[n // 2], pictures(n), report(n) if n // 2 % 5 else READY_MADE]
            for n in range(80)
        ]
        self.planted = []

    def plant(self, source, **changes):
        """A row of the test split that repeats parts of a training row, all else new."""
        n = 900 + len(self.planted)
        new = {"key": f"s{n}", "patient": f"p{n}", "pictures": pictures(n), "report": report(n)} | changes
        self.rows.append([new["key"], new["patient"], "test", new["pictures"], new["report"]])
        self.planted.append((self.rows[source][0], new["key"]))

    def table(self):
        return pd.DataFrame([row[:3] for row in self.rows], columns=["study_key", "patient_key", "split"])

    def prints(self):
        pixels = [frozenset({leakage.pixel_print(row[3])}) for row in self.rows]
        look = np.stack([leakage.look_print(row[3]) for row in self.rows])
        return leakage.Prints(self.table(), pixels, look, [row[4] for row in self.rows])


def planted_leaks():
    """20 leaks, and how each kind of them must be named."""
    cohort, rng, kinds = Cohort(), np.random.default_rng(0), []
    for row in (2, 3, 4):
        cohort.plant(row, patient=cohort.rows[row][1])
    for row in (6, 7):
        cohort.plant(row, key=cohort.rows[row][0], pictures=cohort.rows[row][3])
    for row in (12, 13, 14, 15):
        cohort.plant(row, pictures=cohort.rows[row][3])
    for row in (16, 17, 18, 19, 22):
        cohort.plant(row, pictures=altered(cohort.rows[row][3], rng))
    for row in (23, 24, 25):
        cohort.plant(row, report=cohort.rows[row][4].upper().replace(".", " ."))
    for row in (26, 27, 28):
        cohort.plant(row, report="Second reading: " + cohort.rows[row][4].replace("The left", "Left"))
    sizes = {"patient": 3, "study": 2, "pixels": 4, "look": 5, "report": 3, "near report": 3}
    for kind, size in sizes.items():
        kinds += [kind] * size
    return cohort, kinds


def test_of_twenty_planted_leaks_at_least_nineteen_are_named_by_the_right_print():
    cohort, kinds = planted_leaks()
    pairs = leakage.audit(cohort.prints()).pairs
    named = {(row.kind, row.study, row.other_study) for row in pairs.itertuples()}
    found = [(kind, *pair) in named for kind, pair in zip(kinds, cohort.planted, strict=True)]
    assert len(found) == 20
    assert sum(found) >= 19
    # Beside them only the second study of each patient who is now on both sides.
    strangers = {pair for pair in named if pair[1:] not in cohort.planted}
    assert strangers == {("patient", "s003", "s900"), ("patient", "s002", "s901"), ("patient", "s005", "s902")}


def test_nothing_is_named_where_nothing_leaks_though_ready_made_reports_repeat():
    audit = leakage.audit(Cohort().prints())
    assert audit.pairs.empty
    assert audit.counts["pairs"].sum() == 0
    assert audit.counts.set_index("kind")["set_aside"]["report"] == 16  # every fifth patient, two studies each
    audit.check()


def test_prints_are_those_of_the_middle_cine_and_of_all_clips_of_the_store(tmp_path):
    cohort = Cohort()
    cohort.rows = cohort.rows[2:5]

    def clip(frames, sequence):
        return PreparedClip(frames, View.SAX, sequence, 0, 0.5, float("nan"), 2.0)

    black = np.zeros((1, 48, 48), np.uint8)
    clips = [[clip(black, Sequence.LGE), clip(row[3], Sequence.CINE)] for row in cohort.rows]
    write_store(tmp_path, zip((row[0] for row in cohort.rows), clips, strict=True))
    stored = leakage.prints_of(ClipStore(tmp_path), cohort.table(), [row[4] for row in cohort.rows])
    wanted = cohort.prints()
    assert list(stored.pixels) == list(wanted.pixels)
    assert (stored.look == wanted.look).all()


def test_repeats_inside_a_split_are_no_leak():
    cohort = Cohort()
    cohort.rows[1][3], cohort.rows[1][4] = cohort.rows[0][3], cohort.rows[0][4]
    assert leakage.audit(cohort.prints()).pairs.empty


def test_check_names_the_studies_and_never_the_words():
    cohort = Cohort()
    cohort.plant(2, report=cohort.rows[2][4])
    with pytest.raises(ValueError, match=r"1 prints are shared .* s002/s900 \(report\)") as error:
        leakage.audit(cohort.prints()).check()
    assert "ventricle" not in str(error.value)


def test_clips_of_one_grey_and_studies_without_reports_are_never_alike():
    studies = pd.DataFrame({"study_key": ["a", "b"], "patient_key": ["p", "q"], "split": ["train", "test"]})
    black = np.zeros((4, 16, 16), np.uint8)
    assert leakage.pixel_print(black) == ""
    prints = leakage.Prints(studies, [frozenset()] * 2, np.stack([leakage.look_print(black)] * 2), ["", ""])
    assert leakage.audit(prints).pairs.empty
    with pytest.raises(ValueError, match="split: every row needs all"):
        leakage.audit(leakage.Prints(studies.assign(split=["train", ""]), prints.pixels, prints.look, ["", ""]))
    with pytest.raises(ValueError, match="Not aligned: 2 studies, pixels of 2, looks of 2, 1 reports"):
        leakage.Prints(studies, prints.pixels, prints.look, [""])
