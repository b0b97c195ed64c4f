"""Controls, guards and towers that learn from labels: each on toy studies, against what must come out."""

import copy
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from cmr_lib import params, project
from cmr_lib.clips import dataset
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.store import ClipStore, write_store
from cmr_lib.evaluation import (
    alterations,
    cine_order,
    controls,
    embed,
    embeddings,
    guards,
    harness,
    leakage,
    negation,
    statistics,
)
from cmr_lib.evaluation.material import Baselines, Material, Settings, Supervised, SupervisedRow
from cmr_lib.models import pretrained
from cmr_lib.training.start import start
from cmr_lib.trials import supervised, teaching
from cmr_lib.types import Sequence, Split, View
from tests.toy import PHASES, SIZE, disc, toy_settings

PLAN = toy_settings().frames
AUGMENT = params.Augment(
    rotate_deg=0.0, scale=0.0, shift_px=0.0, intensity=0.0, drop_view=0.0, hide_cines=0.0, drop_sentence=0.0
)
SETTINGS = Settings(
    seed=1,
    bootstrap=60,
    probe=params.Probe(strengths=[0.1], ridge=[10.0]),
    baselines=Baselines(bins=8, grid_px=4, frame_px=8, components=3, words=50),
    ceiling={"recall_at": [1], "gallery_size": 3},
    supervised=Supervised(
        batch_studies=8,
        weight_decay=0.0,
        clip_norm=1.0,
        augment=AUGMENT,
        rows=[
            SupervisedRow(name="scratch", epochs=12, learning_rate=3e-3, studies=None, film=None),
            SupervisedRow(name="fine_tuned", epochs=1, learning_rate=1e-4, studies=None, film=None),
        ],
    ),
)
STUDIES = 96


def clips_of(number, random):
    """A beating disc on a chest of its own: still hearts of every size, and bright LGE in every other patient."""
    texture = gaussian_filter(random.normal(size=(SIZE, SIZE)), 2.5) * 200
    radii = np.interp(np.arange(PHASES), [0, 2, 4], [6, 6 - 3 * (number % 5 + 1) / 5, 6])
    cine = np.stack([disc(radius, brightness=120 if number % 2 else 200) for radius in radii])
    lge = disc(5, brightness=220 if number % 2 else 60)[None]
    wanted = [(View.SAX, Sequence.CINE, 0.2, cine), (View.SAX, Sequence.CINE, 0.7, cine // 2)]
    wanted += [(View.LAX_4CH, Sequence.CINE, 0.5, cine), (View.SAX, Sequence.LGE, 0.5, lge)]
    return [
        PreparedClip(np.clip(frames + texture, 1, 255).astype(np.uint8), view, sequence, 0, z, float("nan"), 2.0)
        for view, sequence, z, frames in wanted
    ]


def truth_of(number):
    labels = dict.fromkeys(("lv_dysfunction", "rv_dysfunction", "lv_dilation", "rv_dilation"), number // 2 % 2)
    return {
        "study_key": f"{number:016x}",
        "patient_key": f"p{number // 2:03d}",
        "split": "train" if number < 48 else "validation" if number < 72 else "test",
        "diagnosis": "DCM" if number % 2 else "NOR",
        "lge": number % 2,
        "lvef": 65.0 - 8 * (number % 5),
        "septal_delay_ms": [0.0, 60.0, -60.0][number % 3],
        "half_filling_share": 0.15 + 0.1 * (number % 2),
        "territory": ["LAD", "RCA", "none"][number % 3] if number % 2 else "none",
        **labels,
        "lv_dilation": number % 2,
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """What the demo's stages leave, of 96 toy studies and a model that was never trained."""
    folder, random = tmp_path_factory.mktemp("demo"), np.random.default_rng(0)
    studies = pd.DataFrame([truth_of(number) for number in range(STUDIES)])
    write_store(
        folder / "preprocess" / "store", [(key, clips_of(i, random)) for i, key in enumerate(studies.study_key)]
    )
    project.write_table(folder / "preprocess" / "studies.parquet", studies)
    numbers = np.random.default_rng(1).integers(20, 300, (STUDIES, 4))
    words = np.array(["basal", "mid", "apical", "septal", "lateral", "inferior", "anterior", "thick", "thin", "wide"])
    more = [" ".join(words[np.random.default_rng([2, i]).integers(0, 10, 40)]) for i in range(STUDIES)]
    says = [f"LVEF {a} %, {b} mL, {c} g, {d} mm. {text}" for (a, b, c, d), text in zip(numbers, more, strict=True)]
    reports = pd.DataFrame({"study_key": studies.study_key, "findings": says, "impression": "Left ventricle seen."})
    project.write_table(folder / "preprocess" / "reports.parquet", reports)
    settings = toy_settings()
    model, tokenizer = start(settings, [f"{text} Left ventricle seen." for text in says])
    pretrained.save_pretrained(model, tokenizer, folder / "pretrain" / "model")
    project.write_json(folder / "pretrain" / "frames.json", PLAN.model_dump())
    store = ClipStore(folder / "preprocess" / "store")
    image = embed.embed_studies(model, dataset.StudyDataset(store, list(studies.study_key), PLAN), 16, progress=False)
    text = embed.embed_texts(model, tokenizer, says)
    embeddings.write_embeddings(folder / "pretrain" / "embeddings", studies.assign(has_report=True), image, text)
    return folder


@pytest.fixture
def material(root):
    return Material.read(root, reader="controls")


# --- alterations -------------------------------------------------------------------------------------------------
def studies_of(material, alter):
    keys = material.studies.study_key.tolist()[:6]
    plan = params.FramePlan(**{**PLAN.model_dump(), "sax_phases": [0.0, 0.25, 0.5, 0.75], "lax_phases": [0.0, 0.5]})
    return list(alterations.Altered(material.clips, keys, plan, alter))


def by_clip(study):
    """Images by clip, in the order of the phases: a naive grouping."""
    found = {}
    for place in np.flatnonzero(study["mask"]):
        name = tuple(study[key][place] for key in ("view", "sequence", "position"))
        found.setdefault(name, []).append((float(study["phase"][place]), study["frames"][place].tobytes()))
    return {name: [image for _, image in sorted(images)] for name, images in found.items()}


def test_blank_studies_keep_all_but_their_pictures(material):
    plain, blank = studies_of(material, lambda study: study), studies_of(material, alterations.blank)
    for before, after in zip(plain, blank, strict=True):
        assert not after["frames"].any()
        assert before["frames"].any()
        for name in ("view", "sequence", "position", "phase", "mask"):
            np.testing.assert_array_equal(before[name], after[name])


def test_frozen_clips_show_end_diastole_at_every_phase(material):
    plain, still = studies_of(material, lambda study: study), studies_of(material, alterations.frozen)
    for before, after in zip(plain, still, strict=True):
        moving, frozen = by_clip(before), by_clip(after)
        assert frozen == {name: [images[0]] * len(images) for name, images in moving.items()}
        assert any(len(set(images)) > 1 for images in moving.values())
        np.testing.assert_array_equal(before["phase"], after["phase"])


def test_frames_out_of_order_are_the_same_images_at_other_phases(material):
    plain = studies_of(material, lambda study: study)
    for seed in range(3):
        moved = studies_of(material, lambda study, seed=seed: alterations.out_of_order(study, seed))
        again = studies_of(material, lambda study, seed=seed: alterations.out_of_order(study, seed))
        for before, after, same in zip(plain, moved, again, strict=True):
            np.testing.assert_array_equal(after["frames"], same["frames"])
            for name, images in by_clip(before).items():
                assert Counter(by_clip(after)[name]) == Counter(images)
                if len(images) == 2:
                    assert by_clip(after)[name] == images[::-1]
    orders = set()  # not every clip of every study in the same one
    for before, after in zip(map(by_clip, plain), map(by_clip, moved), strict=True):
        orders |= {tuple(map(images.index, after[name])) for name, images in before.items() if len(images) == 4}
    assert len(orders) > 1


# --- controls ----------------------------------------------------------------------------------------------------
def test_blind_and_deaf_the_model_is_at_chance_and_every_cost_is_a_difference(material):
    table = controls.run(material, SETTINGS).set_index(["target", "model", "metric"])["value"]
    assert table["diagnosis", "image_blanked", "macro_auroc"] == pytest.approx(0.5)
    assert table["diagnosis", "image_blanked", "balanced_accuracy"] == pytest.approx(0.5)
    assert table["image_to_report", "image_blanked", "recall_at_10"] == pytest.approx(10 / 24)
    for target, metric in (("lvef_percent", "mean_absolute_error"), ("lge", "auroc"), ("diagnosis", "macro_auroc")):
        for name in ("ed_frozen", "frame_shuffled", "ed_frozen_refitted", "single_frame"):
            cost = table[target, f"{name}_minus_unaltered", metric]
            assert cost == pytest.approx(table[target, name, metric] - table[target, "unaltered", metric])
    cost = table["septum_leads", "cine_out_of_order_minus_cine_in_order", "auroc"]
    assert cost == pytest.approx(
        table["septum_leads", "cine_out_of_order", "auroc"] - table["septum_leads", "cine_in_order", "auroc"]
    )


def test_the_mean_over_draws_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    true = random.integers(0, 2, 50)
    draws = [random.normal(size=50) + true for _ in range(3)]
    values = np.stack([column for draw in draws for column in (true, draw)], axis=1).astype(float)
    found = statistics.over_pairs(statistics.auroc)(values, np.ones((1, 50)))
    assert found[0] == pytest.approx(np.mean([roc_auc_score(true, draw) for draw in draws]))


def test_timing_targets_follow_the_cut_points_and_know_what_is_not_known():
    studies = pd.DataFrame(
        {"septal_delay_ms": [39.0, 40.0, -40.0, np.nan], "half_filling_share": [0.21, 0.22, 0.3, 0.1]}
    )
    found = {target.name: target.true.tolist() for target in controls.timing_targets(studies)}
    assert found["dyssynchrony"][:3] == [0, 1, 1]
    assert found["septum_leads"][:3] == [0, 1, 0]
    assert np.isnan(found["dyssynchrony"][3])
    assert found["slow_relaxation"] == [0, 1, 1, 0]


def test_a_reader_of_all_frames_hears_their_order_and_nothing_once_they_are_dealt_anew():
    random = np.random.default_rng(0)
    leads, images = random.integers(0, 2, 300), np.zeros((300, 6, 2))
    for study, left in enumerate(leads):  # two walls that move one after the other: the same frames for both kinds
        wave = np.sin(np.linspace(0, 2 * np.pi, 6, endpoint=False))
        images[study, :, 1 - left], images[study, :, left] = wave, np.roll(wave, 1)
    images += random.normal(0, 0.05, images.shape)
    train, test = np.arange(200), np.arange(200, 300)
    dealt = cine_order.dealt(images, 3)
    model = cine_order.fit_components(images, train, 6)
    inside, moved = (cine_order.in_components(one, model) for one in (images, dealt))
    target = harness.Target("leads", "all", "finding", leads.astype(float), ("absent", "present"), 0.5)
    probe = harness.fit(target, inside, train, test, SETTINGS.probe)
    assert roc_auc_score(leads[test], harness.answer(target, probe, inside[test])) > 0.95
    assert roc_auc_score(leads[test], harness.answer(target, probe, moved[test])) < 0.7
    np.testing.assert_allclose(np.sort(dealt, axis=1), np.sort(images, axis=1))


# --- guards ------------------------------------------------------------------------------------------------------
def test_each_planted_leak_is_the_only_thing_shared_with_its_source(material):
    prints = leakage.prints_of(material.clips, material.studies, material.texts)
    planted, plants = guards.plant(prints, material.clips, 0)
    assert Counter(one.kind for one in plants) == guards.LEAKS
    before = {(row.kind, row.study, row.other_study) for row in leakage.audit(prints).pairs.itertuples()}
    pairs = leakage.audit(planted).pairs
    keys = prints.studies["study_key"].tolist()
    for look, one in zip(planted.look[len(keys) :], plants, strict=True):
        inside = (pairs["study"] == one.source) & (pairs["other_study"] == one.planted)
        kinds = {kind for kind in pairs.loc[inside, "kind"] if (kind, one.source, one.planted) not in before}
        if (
            one.kind == "look"
        ):  # a JPEG of 20 px is too coarse to be named (see the demo's table), yet nearest to its own
            assert keys[np.argmin((prints.look != look).sum(axis=1))] == one.source
        else:
            assert one.kind in kinds
        assert kinds <= {one.kind, "look"}  # and pictures of 20 px look alike now and then


def test_labels_go_from_patient_to_patient_as_a_whole():
    patients = pd.Series(["a", "a", "b", "c", "c", "c", "d"])
    for seed in range(8):
        given = guards.dealt(patients, seed)
        for name in set(patients):
            rows = np.flatnonzero(patients == name)
            assert len({patients[row] for row in given[rows]}) == 1  # of one other patient
    owners = [patients[guards.dealt(patients, seed)[0]] for seed in range(40)]
    assert set(owners) == {"a", "b", "c", "d"}


def recognising(tmp_path, splits):
    """A model that recognises patients and knows nothing else: what a leak rewards. 240 studies of 120 patients."""
    random, rows = np.random.default_rng(0), np.arange(240)
    table = {"study_key": [f"s{row}" for row in rows], "patient_key": [f"p{row // 2:03d}" for row in rows]}
    truth = {"diagnosis": np.where(rows // 2 % 2, "DCM", "NOR"), "lge": rows // 2 % 2, "lvef": 50.0 + rows % 7}
    image = np.repeat(random.normal(size=(120, 30)), 2, axis=0)
    studies, nothing = pd.DataFrame({**table, **truth, "split": splits}), [""] * 240
    return Material(tmp_path, studies, nothing, nothing, image, reader="guards")


def test_shuffled_labels_are_read_where_a_patient_stands_on_both_sides_and_nowhere_else(tmp_path):
    clean = recognising(tmp_path, np.repeat(np.tile(["train", "train", "validation", "test"], 30), 2))
    broken = recognising(tmp_path, np.tile(["train", "test", "train", "validation"], 60))

    def mean_of(one):
        table = pd.DataFrame(guards.label_rows(one, SETTINGS)).set_index(["model", "stratum"])
        return table.loc[("findings_mean", "mean")]

    assert mean_of(clean).low < 0.5 < mean_of(clean).high
    assert mean_of(broken).low > 0.6


def test_shuffled_pairs_are_found_by_chance():
    random = np.random.default_rng(0)
    image, text = (random.normal(size=(60, 8)) for _ in range(2))
    table = pd.DataFrame(guards.pair_rows(image, text, [f"p{i // 2}" for i in range(60)], SETTINGS))
    mean = table[(table["metric"] == "recall_at_10") & (table["stratum"] == "mean")].iloc[0]
    assert mean.chance == pytest.approx(10 / 60)
    assert mean.low < mean.chance < mean.high
    assert np.isfinite(table[["value", "low", "high"]].to_numpy()).all()


def test_guards_leave_a_row_for_every_question(material, monkeypatch):
    monkeypatch.setattr(guards, "SEEDS", 2)
    table = guards.run(material, SETTINGS)
    assert list(table.columns) == harness.COLUMNS
    leaks = table[table["target"] == "leakage"].set_index("stratum")["value"]
    assert set(leaks.index) == set(leakage.KINDS)
    assert leaks[["patient", "study", "pixels", "report"]].sum() == 0
    named = table[table["target"] == "planted_leaks"].set_index("stratum")
    assert named["n"].to_dict() == {"all": 20, **guards.LEAKS}
    assert (named["value"].drop(["all", "look"]) == 1).all()


# --- negation ----------------------------------------------------------------------------------------------------
def test_negation_is_asked_in_turned_and_in_opposite_words(material):
    table = negation.run(material, SETTINGS).set_index(["target", "stratum", "model"])
    turned, opposite = (table.loc[("negation", "all", name)] for name in (negation.TURNED, negation.OPPOSITE))
    cost = table.loc[("negation", "all", f"{negation.OPPOSITE}_minus_{negation.TURNED}")]
    assert cost.value == pytest.approx(opposite.value - turned.value)
    assert turned.n == 24 * 5  # test studies, findings of the table
    assert {"negation", "laterality", "territory"} == set(table.index.get_level_values(0))
    assert (table["chance"].unique() == [0.5, 0.0]).all()


# --- towers that learn from labels -------------------------------------------------------------------------------
@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(supervised, "KEPT", tmp_path / "kept")
    return tmp_path / "kept"


def test_a_tower_learns_from_labels_and_a_finished_row_is_not_trained_again(material, kept, monkeypatch):
    table = supervised.run(material, SETTINGS).set_index(["target", "model", "metric"])
    assert table.loc[("diagnosis", "scratch", "macro_auroc")].value > 0.9  # bright or dark enhancement
    assert table.loc[("diagnosis", "scratch", "macro_auroc")].n == 24
    answers = {path.name.split("-")[0]: np.load(path) for path in kept.glob("*.npy")}
    assert set(answers) == {"scratch", "fine_tuned"}
    test = np.flatnonzero(material.studies.split == "test")
    found, studies = answers["scratch"], material.studies
    assert np.isnan(np.delete(found, test, axis=0)).all()
    true = (studies.diagnosis.iloc[test] == "DCM").astype(int)  # classes in the order of labels.Diagnosis: NOR, DCM
    accuracy = balanced_accuracy_score(true, found[test, :2].argmax(axis=1))
    assert table.loc[("diagnosis", "scratch", "balanced_accuracy")].value == pytest.approx(accuracy)
    error = np.abs(found[test, 2] - studies.lvef.iloc[test]).mean()
    assert table.loc[("lvef_percent", "scratch", "mean_absolute_error")].value == pytest.approx(error)

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(teaching, "train", never)
    again = supervised.run(material, SETTINGS)
    pd.testing.assert_frame_equal(again.set_index(["target", "model", "metric"]), table)
    with pytest.raises(AssertionError, match="trained again"):
        supervised.run(material, SETTINGS.model_copy(update={"seed": 2}))


def test_a_row_may_have_smaller_batches_and_be_asked_of_fewer_studies(material, kept, monkeypatch):
    row = SETTINGS.supervised.rows[0].model_copy(update={"epochs": 1, "batch_studies": 2, "answered": 4})
    sizes, real = [], dataset.collate
    monkeypatch.setattr(teaching.dataset, "collate", lambda studies: sizes.append(len(studies)) or real(studies))
    monkeypatch.setattr(teaching, "answer", lambda model, studies, *_: np.zeros((len(studies), 3)))
    found = supervised.learned(row, material, ["NOR", "DCM"], SETTINGS)
    asked = np.isfinite(found).all(axis=1)
    assert set(sizes) == {2}
    assert 2 <= asked.sum() <= 4
    patients, test = material.studies["patient_key"], material.rows(Split.TEST)
    assert set(np.flatnonzero(asked)) <= set(test)
    assert not set(patients[asked]) & set(patients[test[~asked[test]]])  # patients are asked whole


def test_fine_tuning_starts_from_the_demos_weights_and_scratch_does_not(material):
    folder = material.root / "pretrain" / "model"
    demo = pretrained.from_pretrained(folder)[0].video.state_dict()
    for row, same in zip(SETTINGS.supervised.rows, (False, True), strict=True):
        one, other = (teaching.classifier(row, folder, 2, 5) for _ in range(2))
        equal = [torch.equal(value, demo[name]) for name, value in one.tower.state_dict().items()]
        assert all(equal) == same
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_the_loss_counts_classes_equally_and_leaves_unknown_ejection_fractions_out():
    scores = torch.tensor([[2.0, 0.0, 0.5], [0.0, 1.0, 9.0]])
    codes, lvef = torch.tensor([0, 1]), torch.tensor([1.0, float("nan")])
    found = teaching.loss_of(scores, codes, lvef, torch.tensor([1.0, 3.0]))
    shares = scores[:, :2].softmax(1)
    wanted = -(shares[0, 0].log() + 3 * shares[1, 1].log()) / 4 + 0.25
    assert found.item() == pytest.approx(wanted.item())
    gradient = copy.deepcopy(scores).requires_grad_()
    teaching.loss_of(gradient, codes, torch.full((2,), float("nan")), torch.ones(2)).backward()
    assert torch.isfinite(gradient.grad).all()


def test_a_subset_holds_whole_patients_and_no_more_than_asked():
    patients, rows = pd.Series([f"p{i // 3}" for i in range(30)]), np.arange(5, 30)
    found = supervised.subset(patients, rows, 10, 0)
    assert len(found) <= 10
    taken = set(patients[found])
    assert len(found) >= 8
    assert all((patients[rows][patients[rows] == name].index.isin(found)).all() for name in taken)
    assert supervised.subset(patients, rows, None, 0).tolist() == rows.tolist()
    assert teaching.rate(0, 100) == pytest.approx(0.1)
    assert teaching.rate(99, 100) < 0.01


def test_towers_are_taught_only_where_params_name_them(material):
    with pytest.raises(ValueError, match="no supervised"):
        supervised.run(material, SETTINGS.model_copy(update={"supervised": None}))
