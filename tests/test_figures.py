"""Figures: every one draws, says what it is of, and is saved with the same bytes twice."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.text import Text

from cmr_lib.evaluation import calibration, quantities
from cmr_lib.evaluation import classification as probes
from cmr_lib.evaluation import decisions as worth
from cmr_lib.evaluation import results as summary
from cmr_lib.evaluation import retrieval as search
from cmr_lib.figures import (
    atlas,
    classification,
    clips,
    decisions,
    hospital,
    looking,
    maps,
    phantom,
    results,
    retrieval,
    style,
    training,
)  # fmt: skip
from cmr_lib.simulate.checks import Crossing
from cmr_lib.simulate.surfaces import Surface

RNG = np.random.default_rng(0)
CODES = [str(code) for code in style.DIAGNOSIS]
TRUTH = pd.DataFrame(
    {
        "diagnosis": np.repeat(CODES, 6),
        "lvef": RNG.normal(50, 12, 48),
        "lvedvi": RNG.normal(90, 20, 48),
        "wall_mm": RNG.normal(11, 3, 48),
        "rvedvi": RNG.normal(85, 15, 48),
    }
)
IMAGE = RNG.random((20, 20))
CLIP = RNG.integers(0, 255, (12, 16, 16), dtype=np.uint8)


def retrieval_rows():
    rows = []
    for direction in search.DIRECTIONS:
        for kind in search.KINDS:
            for k in (1, 5, 10):
                numbers = {"value": 0.05 * k, "low": 0.04 * k, "high": 0.06 * k, "chance": k / 80, "n": 80}
                place = {"direction": direction, "kind": kind, "metric": "recall_at_k", "k": k, "gallery": 80}
                rows.append({**place, **numbers, "n_patients": 70})
    return pd.DataFrame(rows)


def auroc_rows():
    rows = [
        [task, method, "auroc", 0.7, 0.6, 0.8, 40, 35, 0.5]
        for task in ("lge", "lv_dysfunction")
        for method in ("zero-shot", "linear probe")
    ]
    rows.append(["rv_dilation", "zero-shot", "auroc", np.nan, np.nan, np.nan, 40, 35, 0.5])
    return pd.DataFrame(rows, columns=probes.COLUMNS)


def lvef_rows():
    rows = [
        ["lvef", method, "mean_absolute_error", value, value - 1, value + 1, 48, 40, 10.0]
        for method, value in (("ridge probe", 5.0), ("training mean", 10.0))
    ]
    return pd.DataFrame(rows, columns=probes.COLUMNS)


def time_rows():
    rows = [
        {"view": view, "phase": phase, "weight": 0.05, "low": 0.04, "high": 0.06, "n": 12, "uniform": 0.05}
        for view in ("sax", "lax_4ch")
        for phase in (0.0, 0.25, 0.5)
    ]
    return pd.DataFrame([*rows, {**rows[0], "view": "lge", "phase": np.nan}])


HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [3.0, 2.0, 1.0],
        "validation_loss": [3.0, np.nan, 2.0],
        "logit_scale": [14.0, 15.0, 16.0],
        "temporal_qk_grad_norm": [0.1, 0.2, 0.1],
        "alignment": [1.8, np.nan, 1.0],
        "uniformity": [-0.7, np.nan, -2.2],
    }
)
CLIP_ROWS = pd.DataFrame({"study_key": ["a", "a", "b"], "split": ["train", "train", "test"], "view": ["sax"] * 3})
REJECTS = pd.DataFrame({"level": ["file"] * 3, "code": ["x", "x", "y"], "action": ["rejected", "rejected", "repaired"]})
EXAMPLE = retrieval.Example(
    {"SAX ED": IMAGE, "LGE": IMAGE},
    [retrieval.Found(1, 0.9, "Normal study. " * 20), retrieval.Found(2, 0.8, "Short.", is_own=True)],
    own_rank=2,
)
OURS = pd.DataFrame(
    [["we", "retrieval", "recall_at_5", 0.4, 0.3, 0.5, 80, 0.06, "d", "s", "n"]], columns=summary.COLUMNS
)
SCORES = pd.DataFrame({"entropy": RNG.random(9), "centre_share": RNG.random(9)})
CONFUSION = pd.DataFrame([[5, 1], [0, 0]], index=["NOR", "DCM"], columns=["NOR", "DCM"])
QUALITY = pd.DataFrame({"score": RNG.random(9), "motion": [*RNG.random(8), np.nan], "contrast": RNG.random(9)})
LINE = (np.arange(40.0).reshape(20, 2) / 3, RNG.random(20))
IMAGE32 = IMAGE.astype(np.float32)
CROSSING = Crossing((IMAGE32, IMAGE32), (LINE[0], LINE[0]), (LINE[1], LINE[1] + 0.1 * RNG.random(20)))
SHEETS = [Surface(name, *(RNG.random((5, 6)) for _ in range(3))) for name in phantom.COLOURS]
CURVES = {"fast": RNG.random(30), "slow": RNG.random(30)}
POINTS = pd.DataFrame({"x": RNG.random(48), "y": RNG.random(48), "kind": ["image", "report"] * 24})
POINTS = POINTS.assign(
    diagnosis=TRUTH["diagnosis"], lvef=TRUTH["lvef"].where(TRUTH["lvef"] > 40), sex=["F", "M", ""] * 16
)
PLACES = RNG.random((48, 2)).astype(np.float32)
WORTH = pd.DataFrame(
    [
        [score, name, size, 0.8, 0.7, 0.9, 48]
        for score in ("trust", "agreement")
        for name, size in (("PCA", 0), ("UMAP", 5))
    ],
    columns=["score", "map", "neighbours", "value", "low", "high", "n"],
)
FOUND = pd.DataFrame(
    [[region, name, measure, 0.5, 0.4, 0.6, 20, 0.1]
     for region in ("scar", "cavity") for measure in ("pointing", "dice") for name in ("rollout", "untrained rollout")],
    columns=["region", "map", "measure", "value", "low", "high", "n", "chance"],
)  # fmt: skip
BETTER = FOUND[FOUND["map"] == "rollout"].drop(columns="chance")
BEAT = pd.DataFrame(
    [[name, phase, 1.0, 0.9, 1.1, 12] for name in ("rollout", "untrained rollout") for phase in (0.0, 0.5)],
    columns=["map", "phase", "weight", "low", "high", "n"],
)
KINDS = pd.DataFrame(
    [["sax", 9, 0.5, 0.4, 0.6, 0.5, 0.5, 0.5, 0.1, 0.0, 0.2]],
    columns=[
        "kind",
        "n",
        "weight",
        "weight_low",
        "weight_high",
        "even",
        "even_low",
        "even_high",
        "fall",
        "fall_low",
        "fall_high",
    ],
)
SPOILED = {"rollout": {"deletion": RNG.random((9, 3)), "insertion": RNG.random((9, 3))}}
MASK = np.zeros((2, 16, 16), bool)
MASK[:, 4:9, 4:9] = True

PREDICTED = pd.DataFrame({"true": TRUTH["lvef"], "predicted": RNG.normal(50, 12, 48)})
AGREEMENT = quantities.quantity_table(
    "lvef", PREDICTED["true"].to_numpy(), PREDICTED["predicted"].to_numpy(), 50.0, range(48), 20, 0
)
NUMBERS = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 40, "n_patients": 35, "chance": 0.5}
FEW = pd.DataFrame([{"shots": shots, **NUMBERS, "episode_low": 0.65, "episode_high": 0.75} for shots in (1, 4)])
SURE = calibration.reliability(np.stack([RNG.integers(0, 2, 60), RNG.random(60)], axis=1).astype(float))
PAIRS = np.stack([RNG.integers(0, 2, 60), RNG.random(60)], axis=1).astype(float)
BENEFIT = worth.decision_curve(PAIRS, range(60), 20, 0)
SILENT = worth.abstention_curve(PAIRS, range(60), 20, 0)
FOREST = pd.DataFrame(
    [
        {"number": "balanced accuracy", "by": by, "group": group, **NUMBERS}
        for by, group in (("all", "all"), ("sex", "F"))
    ]
)
ABROAD = pd.DataFrame(
    [{"cohort": name, "task": "lge", "metric": "auroc", **NUMBERS} for name in ("own test split", "second hospital")]
)
BY_SIZE = pd.DataFrame([{"question": "image → report", "k": 1, "gallery": size, **NUMBERS} for size in (10, 20)])
BY_LABEL = pd.DataFrame(
    [{"question": ask, "right": "lge", "gallery": 40, **NUMBERS} for ask in ("image → image", "sentence → image")]
)

FIGURES = {
    "montage": lambda: hospital.phantom_montage({"NOR": {"SAX ED": IMAGE, "LGE": IMAGE}, "DCM": {"LGE": IMAGE}}),
    "cohort": lambda: hospital.cohort_overview(TRUTH),
    "heart": lambda: phantom.heart_3d({"end-diastole": SHEETS, "end-systole": SHEETS}),
    "crossing": lambda: phantom.crossing_planes(CROSSING, "four chambers"),
    "order": lambda: phantom.order_of_frames(np.linspace(0, 1, 30), CURVES, CURVES),
    "contact_sheet": lambda: clips.contact_sheet({"sax": CLIP, "lge": CLIP[:1]}),
    "quality_sheet": lambda: clips.quality_sheet({f"study {n}": (CLIP[0], CLIP[5]) for n in range(8)}),
    "quality": lambda: clips.quality_spread(QUALITY),
    "counts": lambda: clips.counts(CLIP_ROWS),
    "rejects": lambda: clips.rejects(REJECTS),
    "no_rejects": lambda: clips.rejects(REJECTS.iloc[:0]),
    "history": lambda: training.history(HISTORY, chance_loss=3.2),
    "similarity": lambda: training.similarity_matrix(RNG.random((6, 6))),
    "recall": lambda: retrieval.recall_curves(retrieval_rows(), search.KINDS),
    "ranks": lambda: retrieval.rank_histogram({"a": np.arange(1.0, 9), "b": np.arange(1.0, 9)}, 8),
    "examples": lambda: retrieval.examples([EXAMPLE, EXAMPLE]),
    "no_recall": lambda: retrieval.recall_curves(retrieval_rows().iloc[:0]),
    "no_ranks": lambda: retrieval.rank_histogram({}, 0),
    "no_examples": lambda: retrieval.examples([]),
    "no_pairs": lambda: training.similarity_matrix(np.zeros((0, 0))),
    "confusion": lambda: classification.confusion(CONFUSION, "zero-shot"),
    "auroc": lambda: classification.auroc(auroc_rows()),
    "lvef": lambda: classification.lvef_scatter(TRUTH["lvef"].to_numpy(), TRUTH["lvef"].to_numpy() + 2, lvef_rows()),
    "bland_altman": lambda: classification.bland_altman({"lvef": ("LVEF (%)", PREDICTED)}, AGREEMENT),
    "no_bland_altman": lambda: classification.bland_altman({}, AGREEMENT),
    "few_shots": lambda: classification.few_shots(FEW, 0.9),
    "no_few_shots": lambda: classification.few_shots(FEW.iloc[:0], 0.9),
    "reliability": lambda: classification.reliability({"linear probe": SURE, "with temperature": SURE}),
    "no_reliability": lambda: classification.reliability({}),
    "decision_curve": lambda: decisions.decision_curve(BENEFIT, "late enhancement"),
    "no_decision_curve": lambda: decisions.decision_curve(BENEFIT.iloc[:0], "late enhancement"),
    "abstention": lambda: decisions.abstention(SILENT),
    "no_abstention": lambda: decisions.abstention(SILENT.iloc[:0]),
    "forest": lambda: classification.forest(FOREST),
    "no_forest": lambda: classification.forest(FOREST.iloc[:0]),
    "cohorts": lambda: classification.cohorts(ABROAD),
    "no_cohorts": lambda: classification.cohorts(ABROAD.iloc[:0]),
    "gallery_size": lambda: retrieval.gallery_curve(BY_SIZE),
    "no_gallery_size": lambda: retrieval.gallery_curve(BY_SIZE.iloc[:0]),
    "precision_by_label": lambda: retrieval.precision_by_label(BY_LABEL),
    "no_precision_by_label": lambda: retrieval.precision_by_label(BY_LABEL.iloc[:0]),
    "umap": lambda: maps.umap_map(RNG.random((48, 2)), TRUTH["diagnosis"], TRUTH["lvef"]),
    "attention": lambda: maps.attention_frames(CLIP[:9], np.ones((9, 16, 16)), ["f"] * 9),
    "time": lambda: maps.time_weights(time_rows()),
    "sanity": lambda: maps.sanity(SCORES, {"entropy": 1.0}),
    "results": lambda: results.dot_plot(OURS),
    "no_maps": lambda: maps.attention_frames(CLIP[:0], np.ones((0, 16, 16)), []),
    "no_weights": lambda: maps.time_weights(time_rows().assign(n=0)),
    "no_scores": lambda: maps.sanity(SCORES[:0], {"entropy": 1.0}),
    "joint": lambda: atlas.joint_map(
        POINTS, {"kind": "kind", "diagnosis": "diagnosis", "lvef": "LVEF (%)", "sex": "sex"}
    ),
    "no_joint": lambda: atlas.joint_map(POINTS.iloc[:0], {"kind": "kind"}),
    "hearts": lambda: atlas.hearts_along(PLACES, TRUTH["diagnosis"], {3: CLIP[0], 7: CLIP[1]}),
    "hearts of unknown": lambda: atlas.hearts_along(PLACES, [""] * 48, {3: CLIP[0]}),
    "nobody new": lambda: atlas.newcomers(PLACES, [""] * 48, PLACES[:0], []),
    "no_hearts": lambda: atlas.hearts_along(PLACES[:0], [], {}),
    "newcomers": lambda: atlas.newcomers(PLACES, TRUTH["diagnosis"], PLACES[:3], ["NOR", "", "yours"]),
    "no_newcomers": lambda: atlas.newcomers(PLACES[:0], [], PLACES[:0], []),
    "worth": lambda: atlas.worth(WORTH, {"trust": 0.5, "agreement": 0.1}),
    "no_worth": lambda: atlas.worth(WORTH.iloc[:0], {}),
    "localised": lambda: looking.localised(FOUND, BETTER),
    "no_localised": lambda: looking.localised(FOUND.iloc[:0], BETTER.iloc[:0]),
    "beat": lambda: looking.beat(BEAT, (0.34, 0.3, 0.4)),
    "no_beat": lambda: looking.beat(BEAT.iloc[:0], None),
    "kinds": lambda: looking.worth_of_kinds(KINDS),
    "no_kinds": lambda: looking.worth_of_kinds(KINDS.iloc[:0]),
    "spoiled": lambda: looking.spoiled((0.0, 0.5, 1.0), SPOILED, {"rollout": "+0.1"}),
    "no_spoiled": lambda: looking.spoiled((0.0, 0.5, 1.0), {}, {}),
    "no anatomy known": lambda: looking.over_anatomy(CLIP[:2], {}, {}, ["a", "b"]),
    "anatomy": lambda: looking.over_anatomy(CLIP[:2], {"rollout": RNG.random((2, 16, 16))}, {"scar": MASK}, ["a", "b"]),
}


def words_of(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_says_what_it_is_of_and_leaves_none_open(name):
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    assert "synthetic phantom" in words_of(figure)
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", [name for name in FIGURES if name.startswith("no_") and name != "no_rejects"])
def test_a_figure_of_nothing_says_that_n_is_0(name):
    assert any("n = 0" in words for words in words_of(FIGURES[name]()))


def test_a_sheet_of_real_hearts_does_not_speak_of_phantoms():
    figure = clips.quality_sheet({"a": (CLIP[0], CLIP[5])}, note="a public set")
    assert "a public set" in words_of(figure)
    assert not any("phantom" in words for words in words_of(figure))


@pytest.mark.parametrize("name", ["recall", "attention", "cohort", "joint", "localised"])
def test_a_figure_saved_twice_gives_the_same_bytes_without_dates(name, tmp_path):
    digests = []
    for folder in ("one", "two"):
        paths = style.save(FIGURES[name](), tmp_path / folder, name)
        assert [path.name for path in paths] == [f"{name}.png", f"{name}.pdf"]
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert digests[0] == digests[1]
    for path in paths:
        content = path.read_bytes()
        assert b"CreationDate" not in content
        assert b"Matplotlib" not in content
        assert b"matplotlib" not in content
    assert not list(tmp_path.rglob("*.tmp"))


def test_equal_figures_have_equal_places_although_the_solver_adds_in_the_order_of_addresses():
    """Six of one figure in one process; matplotlib's own engine gives two or three kinds of them."""
    places = set()
    for _ in range(6):
        fig = FIGURES["joint"]()
        fig.draw_without_rendering()
        places.add(tuple(part for one in fig.axes for part in one.get_position(original=True).bounds))
    assert len(places) == 1
    assert all(abs(part - round(part, 6)) < 1e-12 for part in places.pop())


WITH_N = ("recall", "ranks", "confusion", "auroc", "lvef", "umap", "results", "time", "joint", "hearts", "newcomers",
          "worth", "localised", "beat", "kinds", "spoiled", "decision_curve", "abstention")  # fmt: skip


@pytest.mark.parametrize("name", WITH_N)
def test_numbers_stand_beside_their_n(name):
    assert any("n = " in text for text in words_of(FIGURES[name]()))


@pytest.mark.parametrize("name", ["recall", "auroc", "history", "results", "worth"])
def test_the_chance_level_is_drawn(name):
    assert any("chance" in text for text in words_of(FIGURES[name]()))


def test_a_real_image_beside_the_phantom_is_never_called_synthetic_alone():
    said = words_of(phantom.beside_real(IMAGE, RNG.random((30, 24))))
    assert "not committed: real image" in said
    assert {"phantom", "real"} <= set(said)


def test_the_note_can_name_other_data():
    figure = training.similarity_matrix(np.eye(3), note="ACDC, 150 patients")
    assert "ACDC, 150 patients" in words_of(figure)
    assert "synthetic phantom" not in words_of(figure)


def test_intervals_are_drawn_as_lengths_from_the_value():
    lengths = style.interval([0.5, 0.2], [0.4, np.nan], [0.7, np.nan])
    assert lengths.tolist() == [[pytest.approx(0.1), 0], [pytest.approx(0.2), 0]]


def test_a_missing_picture_leaves_its_place_empty():
    figure = FIGURES["montage"]()
    assert sum(bool(axes.images) for axes in figure.axes) == 3


def test_report_text_is_cut_to_its_first_words():
    texts = [text for text in words_of(FIGURES["examples"]()) if "Normal study" in text]
    assert all(text.endswith("…") and len(text.splitlines()) == 2 for text in texts)
    assert any(text.startswith("★ 2.") for text in words_of(FIGURES["examples"]()))


def test_the_difference_from_the_control_is_printed_with_its_interval():
    assert any("rollout +0.50 (+0.40 to +0.60)" in text for text in words_of(FIGURES["localised"]()))


def test_pictures_along_the_map_do_not_hide_each_other():
    scattered = RNG.normal(size=(300, 2)).astype(np.float32)
    chosen = atlas.spread_out(scattered, 30)
    assert 10 < len(chosen) <= 30
    wide = np.ptp(scattered, axis=0).max()
    away = np.abs(scattered[chosen][:, None] - scattered[chosen][None]).max(axis=2) / wide
    assert away[~np.eye(len(chosen), dtype=bool)].min() >= 2 * atlas.HALF
    assert atlas.spread_out(np.zeros((5, 2), np.float32), 9) == [0]
