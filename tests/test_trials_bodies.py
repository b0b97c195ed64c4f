"""Towers of other shapes, taught the same labels: who is asked, what is kept, and that all start from new weights."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from cmr_lib.evaluation.harness import MINUS
from cmr_lib.evaluation.material import Supervised, SupervisedRow
from cmr_lib.models.zoo import TorchvisionEncoder
from cmr_lib.trials import bodies, teaching
from cmr_lib.trials.cohort import Cohort
from cmr_lib.trials.settings import Ablations, Seeds, Trials
from cmr_lib.types import Split
from tests.test_evaluation_experiments import SETTINGS
from tests.test_trials import TOY, toy_cohort
from tests.toy import toy_settings

ROWS = [
    SupervisedRow(name="scratch", epochs=1, learning_rate=1e-3, studies=None, film=None),
    SupervisedRow(name="r3d_18", epochs=1, learning_rate=1e-4, studies=6, film=(4, 32), batch_studies=2, answered=8),
]
HOW = Supervised(batch_studies=4, weight_decay=0.0, clip_norm=1.0, augment=toy_settings().augment, rows=ROWS)
TRIALS = Trials(
    seeds=Seeds(more=[]),
    ablations=Ablations(seeds=[1], reference={}, recall_at=1, gallery_size=2, strength=1.0, ridge=1.0, rows=[]),
    bodies=HOW,
)


@pytest.fixture
def world(monkeypatch):
    cohort = toy_cohort(48)
    monkeypatch.setattr(Cohort, "read", lambda _: cohort)
    monkeypatch.setattr(Cohort, "digest", "toy")
    monkeypatch.setattr(bodies.params, "read_yaml", lambda _: TOY.model_dump(mode="json"))
    return cohort


def test_each_tower_is_judged_on_the_studies_it_was_asked_of_and_beside_the_demos(world, tmp_path, monkeypatch):
    table = bodies.run(tmp_path, SETTINGS, TRIALS, tmp_path).set_index(["model", "metric"])
    kept = {path.name.split("-")[0]: np.load(path) for path in tmp_path.glob("*.npy")}
    test = (world.studies.split == "test").to_numpy()
    for name, asked in (("scratch", test.sum()), ("r3d_18", 8)):
        answered = np.isfinite(kept[name]).all(axis=1)
        assert answered.sum() == asked
        assert not answered[~test].any()
        assert kept[name][answered, :3].sum(axis=1) == pytest.approx(1.0)
        true = world.studies.diagnosis[answered].map({"NOR": 0, "DCM": 1, "HCM": 2})
        wanted = balanced_accuracy_score(true, kept[name][answered, :3].argmax(axis=1))
        assert table.loc[(name, "balanced_accuracy"), "value"] == pytest.approx(wanted)
    both = np.isfinite(kept["r3d_18"]).all(axis=1)
    error = [np.abs(kept[name][both, -1] - world.studies.lvef[both]).mean() for name in ("r3d_18", "scratch")]
    found = table.loc[(f"r3d_18{MINUS}scratch", "mean_absolute_error")]
    assert found["n"] == 8
    assert found["value"] == pytest.approx(error[0] - error[1])
    assert set(table["experiment"]) == {"bodies"}

    def never(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(teaching, "train", never)
    again = bodies.run(tmp_path, SETTINGS, TRIALS, tmp_path).set_index(["model", "metric"])
    assert again["value"].tolist() == table["value"].tolist()
    longer = TRIALS.model_copy(update={"bodies": HOW.model_copy(update={"weight_decay": 0.1})})
    with pytest.raises(AssertionError, match="trained again"):
        bodies.run(tmp_path, SETTINGS, longer, tmp_path)


def test_towers_start_from_new_weights_that_the_seed_alone_decides():
    one, same, other = (bodies.classifier(ROWS[1], TOY, 3, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["tower.body.stem.0.weight"], other["tower.body.stem.0.weight"])
    assert isinstance(bodies.classifier(ROWS[1], TOY, 3, 1).tower, TorchvisionEncoder)
    assert bodies.classifier(ROWS[0], TOY, 3, 1).tower.config.name == "divided_space_time"


def test_a_part_has_whole_patients_with_a_known_diagnosis(world):
    world.studies.loc[:3, "diagnosis"] = ""
    shown = world.seen(TOY.frames, Split.TRAIN, with_report=False)
    chosen = bodies.part(world, shown, ["NOR", "DCM", "HCM"], 6, 0)
    owners = world.studies.set_index("study_key").patient_key
    assert len(chosen) == 6
    assert owners[chosen.study_keys].value_counts().eq(2).all()
    assert not set(chosen.study_keys) & set(world.studies.study_key[:4])
    assert len(bodies.part(world, shown, ["NOR", "DCM", "HCM"], None, 0)) == len(shown) - 4


def test_without_rows_nothing_is_trained(tmp_path):
    with pytest.raises(ValueError, match="no bodies"):
        bodies.run(tmp_path, SETTINGS, TRIALS.model_copy(update={"bodies": None}), tmp_path)
