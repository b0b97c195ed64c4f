"""Trials: what is trained, kept and gone on with; what is missing; how rows are held against each other."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from cmr_lib import params, project
from cmr_lib.evaluation import held_out
from cmr_lib.evaluation.harness import MINUS
from cmr_lib.trials import ablations, cohort, judge, pool, seeds, trial
from cmr_lib.trials.cohort import Cohort
from cmr_lib.trials.settings import Ablations, Seeds, Trials
from cmr_lib.trials.trial import Result, Trial
from cmr_lib.types import Split
from tests.test_evaluation_experiments import ROOT, SETTINGS
from tests.toy import toy_settings, toy_store
from tools import experiments

DIAGNOSES = ["NOR", "DCM", "HCM"]
TOY = toy_settings(optim={"epochs": 2, "batch_studies": 4})
ROW = {"group": "toy", "judge": "image_to_report", "expect": "same", "why": "None."}


def toy_cohort(studies=24, without_lge=(2, 5)):
    """Half train, a quarter each validation and test; the last study has no report."""
    store, texts = toy_store(studies, without_lge)
    keys = list(texts)
    splits = ["train"] * (studies // 2) + ["validation"] * (studies // 4) + ["test"] * (studies // 4)
    ejection = np.array([(number * 7) % 50 for number in range(studies)], dtype=float)
    table = pd.DataFrame(
        {
            "study_key": keys,
            "patient_key": [f"p{number // 2}" for number in range(studies)],
            "split": splits,
            "diagnosis": [DIAGNOSES[number % 3] for number in range(studies)],
            "lvef": ejection,
            "lge": (np.arange(studies) % 2).astype(int),
        }
    )
    reports = pd.DataFrame({"study_key": keys[:-1], "findings": [texts[key] for key in keys[:-1]]})
    reports["impression"] = reports["findings"].str.split(".").str[1]
    return Cohort(store, table, reports.set_index("study_key"))


def toy_ablations(*rows):
    return Ablations(
        seeds=[1, 2],
        reference={"optim": {"epochs": 1}},
        recall_at=1,
        gallery_size=4,
        strength=0.1,
        ridge=10.0,
        rows=[ROW | row for row in rows],
    )


@pytest.fixture(scope="module")
def once():
    """A toy trial, trained once."""
    return trial.train(Trial("toy", TOY), toy_cohort())


# --- what a trial sees ------------------------------------------------------------------------------------------
def test_views_go_missing_at_the_given_rate_never_all_and_more_at_a_larger_rate():
    store, _ = toy_store(400)
    kinds = ["study_key", "view", "sequence"]
    whole, left = store.index[kinds].drop_duplicates(), {}
    for share in (0.3, 0.6):
        index = cohort.without_views(store, share, 1).index
        left[share] = set(index.loc[index.study_key != "", kinds].itertuples(index=False, name=None))
        assert set(index.study_key) - {""} == set(store.index.study_key)
        # Three kinds a study; all three drawn missing (share³), the luckiest stays.
        assert 1 - len(left[share]) / len(whole) == pytest.approx(share - share**3 / 3, abs=0.03)
        assert index.index.equals(store.index.index)  # rows keep their numbers, by which frames are read
    assert left[0.6] < left[0.3]
    assert cohort.without_views(store, 0.0, 1) is store


def test_a_trial_learns_from_training_reports_and_embeds_what_has_images(once):
    world = toy_cohort()
    assert once.study_keys == world.studies.study_key[:18].tolist()  # train and validation
    np.testing.assert_allclose(np.linalg.norm(once.image, axis=1), 1, atol=1e-5)
    assert np.isfinite(once.text).all()
    everyone = trial.train(Trial("toy", TOY, splits=tuple(Split)), world)
    assert np.isnan(everyone.text[-1]).all()
    assert np.isfinite(everyone.image).all()
    np.testing.assert_array_equal(everyone.image[:18], once.image)  # the same bits, whatever else is embedded


# --- kept and gone on with --------------------------------------------------------------------------------------
@pytest.fixture
def stored(tmp_path, monkeypatch):
    """The toy cohort with a digest, and a folder."""
    world = toy_cohort()
    world.__dict__["digest"] = "of the toy"
    return world, tmp_path


def test_a_finished_trial_is_read_and_another_is_not_taken_for_it(stored, monkeypatch):
    world, folder = stored
    first = trial.done(Trial("toy", TOY), world, folder)
    assert [path.suffix for path in folder.glob("toy-*")] == [".safetensors"]
    assert not list((folder / "checkpoints").rglob("*.safetensors"))
    monkeypatch.setattr(trial, "train", lambda *_: pytest.fail("trained again"))
    again = trial.done(Trial("toy", TOY), world, folder)
    np.testing.assert_array_equal(first.image, again.image)
    assert again.history == first.history
    places = {
        Trial("toy", TOY).path(folder, "of the toy"),
        Trial("toy", toy_settings(optim={"epochs": 2, "batch_studies": 4, "learning_rate": 1e-4})).path(folder, "a"),
        Trial("toy", TOY).path(folder, "other images"),
        Trial("toy", TOY, missing=0.2).path(folder, "of the toy"),
        Trial("toy", TOY, splits=tuple(Split)).path(folder, "of the toy"),
    }
    assert len(places) == 5
    assert Trial("toy", TOY.model_copy(update={"out_dir": "x"})).path(folder, "of the toy") in places


def test_a_trial_that_was_interrupted_goes_on_to_the_same_numbers(stored, monkeypatch, once):
    world, folder = stored
    whole, calls = trial.loop.step.train_step, []

    def stops(*arguments):
        calls.append(1)
        if len(calls) == 5:  # in the second of two epochs of three steps
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(trial.loop.step, "train_step", stops)
    with pytest.raises(KeyboardInterrupt):
        trial.done(Trial("toy", TOY), world, folder)
    assert not list(folder.glob("*.safetensors"))
    ended = trial.done(Trial("toy", TOY), world, folder)
    assert len(calls) == 5 + 3  # the first epoch was not done again
    np.testing.assert_array_equal(ended.image, once.image)


def test_trials_run_in_processes_and_finished_ones_are_not_run_again(tmp_path):
    """Oracle: the same trial in this process. What is on disk is what the stage preprocess writes."""
    world, folder = toy_cohort(), tmp_path / "preprocess"
    index = world.store.index.assign(slice=0, shard=0, phase_of_es=0.5, spacing_mm=2.0)
    index["offset"] = np.cumsum([0, *index["n_frames"][:-1]])
    project.write_array(folder / "store" / "frames-000.npy", np.concatenate(world.store._clips))
    project.write_table(folder / "store" / "index.parquet", index)
    project.write_table(folder / "studies.parquet", world.studies)
    project.write_table(folder / "reports.parquet", world.reports.reset_index())
    asked = [Trial(name, TOY, missing) for name, missing in (("whole", 0.0), ("less", 0.5))]
    whole, less = pool.run(asked, tmp_path, tmp_path / "kept", workers=1, threads=torch.get_num_threads())
    np.testing.assert_allclose(whole.image, trial.train(asked[0], world).image, atol=1e-5)
    assert not np.allclose(whole.image, less.image, atol=1e-3)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.safetensors")}
    again = pool.run(asked, tmp_path, tmp_path / "kept", workers=1, threads=1)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").glob("*.safetensors")} == stamps
    np.testing.assert_array_equal(again[1].image, less.image)


def test_trainings_by_another_version_of_the_code_are_named(tmp_path, monkeypatch, once):
    class Read:
        digest = "data"

    monkeypatch.setattr(pool.Cohort, "read", lambda root: Read())
    trial.write(Trial("toy", TOY).path(tmp_path, "data"), once)
    monkeypatch.setattr(pool.checkpoint, "code_digest", lambda: "newer")
    with pytest.warns(UserWarning, match="1 of 1 trainings were done by another version of the code"):
        pool.run([Trial("toy", TOY)], tmp_path, tmp_path, workers=1, threads=1)


# --- how it is judged -------------------------------------------------------------------------------------------
def random_result(world, seed, good=0.0):
    """Embeddings in which a study and its report share a part; a share `good` of the first numbers is the label."""
    draw = np.random.default_rng(seed)
    keys = world.studies.study_key[world.studies.split != "test"].tolist()
    image = draw.normal(size=(len(keys), 6))
    image[:, 0] += good * world.studies.lge[: len(keys)]
    image[:, 1] += good * world.studies.lvef[: len(keys)] / 10
    text = image + draw.normal(size=image.shape)
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (image, text)]
    return Result(keys, *unit, [], "")


def test_numbers_are_means_over_seeds_and_differences_are_theirs():
    world = toy_cohort(120, ())
    how = toy_ablations({"name": "blind"})
    judged = ablations.judged_studies(world)
    keys, found = pd.Index(judged.study_key), {}
    for name, good in (("reference", 3.0), ("blind", 0.0)):
        one = [
            judge.answers(random_result(world, seed, good), world.studies, keys, judge.Penalties(0.1, 10.0), 1, 4)
            for seed in (1, 2)
        ]
        found[name] = judge.side_by_side(one)
    table = ablations.compare(world, found, how, SETTINGS).set_index(["target", "model"])
    scar = found["reference"]["lge"]
    each = [roc_auc_score(scar[:, start], scar[:, start + 1]) for start in (0, 2)]
    row = table.loc[("lge", "reference")]
    assert row.value == pytest.approx(np.mean(each))
    assert [row.lowest_seed, row.highest_seed] == pytest.approx(sorted(each))
    classes = found["blind"]["diagnosis"]
    each = [balanced_accuracy_score(classes[:, start], classes[:, start + 1]) for start in (0, 2)]
    assert table.loc[("diagnosis", "blind"), "value"] == pytest.approx(np.mean(each))
    amount = found["reference"]["lvef_percent"]
    each = [np.abs(amount[:, start] - amount[:, start + 1]).mean() for start in (0, 2)]
    assert table.loc[("lvef_percent", "reference"), "value"] == pytest.approx(np.mean(each))
    gap = table.loc[("lvef_percent", f"blind{MINUS}reference")]
    both = [table.loc[("lvef_percent", name), "value"] for name in ("blind", "reference")]
    assert gap.value == pytest.approx(both[0] - both[1])
    assert gap.low > 0
    assert ablations.came(gap, judge.SIGNS["lvef_percent"]) == "worse"  # a larger error
    assert table.loc[("image_to_report", "reference"), "chance"] == 0.25
    assert table.loc[("image_to_report", "reference"), "n"] == 30


def test_a_study_that_one_trial_did_not_see_is_left_out_of_the_pair():
    world = toy_cohort(120, ())
    result, judged = random_result(world, 1), pd.Index(ablations.judged_studies(world).study_key)
    gone = result.study_keys.index(judged[3])
    less = Result(
        [key for row, key in enumerate(result.study_keys) if row != gone],
        np.delete(result.image, gone, axis=0),
        np.delete(result.text, gone, axis=0),
        [],
        "",
    )
    how = judge.Penalties(0.1, 10.0)
    first, second = (judge.answers(one, world.studies, judged, how, 1, 4) for one in (result, less))
    for target in judge.SIGNS:
        assert np.flatnonzero(np.isnan(second[target]).any(axis=1)).tolist() == [3]
        assert np.isfinite(first[target]).all()
    patients = world.studies.set_index("study_key").patient_key[judged].reset_index(drop=True)
    measure = judge.measures(ablations.judged_studies(world), 1, 4)[2]
    row = judge.difference({}, measure, (first["diagnosis"], second["diagnosis"]), patients, SETTINGS)
    assert row["n"] == 29


@pytest.mark.parametrize(
    ("low", "high", "lowest", "highest", "sign", "said"),
    [
        (0.1, 0.3, 0.1, 0.2, 1, "better"),
        (0.1, 0.3, 0.1, 0.2, -1, "worse"),
        (-0.3, -0.1, -0.2, -0.1, 1, "worse"),
        (-0.1, 0.3, 0.1, 0.2, 1, "no difference seen"),
        (0.1, 0.3, -0.1, 0.4, 1, "no difference seen"),  # the seeds disagree
    ],
)
def test_a_difference_is_named_where_the_interval_and_every_seed_agree(low, high, lowest, highest, sign, said):
    gap = pd.Series({"low": low, "high": high, "lowest_seed": lowest, "highest_seed": highest})
    assert ablations.came(gap, sign) == said


# --- seeds ------------------------------------------------------------------------------------------------------
def test_seeds_are_judged_one_by_one_and_together():
    world = toy_cohort(240, ())
    studies = world.studies.assign(diagnosis=np.where(world.studies.lvef < 25, "DCM", "NOR"))
    results = {}
    for seed in (1, 2, 3):
        draw = np.random.default_rng(seed)
        image = draw.normal(size=(240, 5)) + 0.1 * studies.lvef.to_numpy()[:, None]
        text = image + draw.normal(size=image.shape)
        unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (image, text)]
        unit[1][-1] = np.nan
        results[f"seed {seed}"] = Result(studies.study_key.tolist(), *unit, [], "")
    judged = pd.Index(studies.study_key[studies.split == "test"])
    found = {name: seeds.answers(result, studies, judged, SETTINGS) for name, result in results.items()}
    table = seeds.compare(studies, judged, found, SETTINGS).set_index(["target", "stratum", "model"])
    for target, stratum, n in (("image_to_report", "gallery of 3", 59), ("lvef_percent", "all", 60)):
        each = [table.loc[(target, stratum, f"seed {seed}"), "value"] for seed in (1, 2, 3)]
        mean = table.loc[(target, stratum, seeds.MEAN)]
        assert mean.value == pytest.approx(np.mean(each))
        assert [mean.lowest_seed, mean.highest_seed] == pytest.approx([min(each), max(each)])
        assert mean.n == n
        gap = table.loc[(target, stratum, f"seed 2{MINUS}seed 1"), "value"]
        assert gap == pytest.approx(each[1] - each[0])
    assert set(table.index.get_level_values("stratum")) == {"gallery of 3", "five classes", "all classes", "all"}


def test_further_seeds_change_nothing_but_the_seed():
    base = params.read_yaml(ROOT / "params/demo/pretrain.yaml")
    several = seeds.trials_of(Trials(seeds=Seeds(more=[5, 6]), ablations=toy_ablations()), base)
    assert [one.settings.seed for one in several] == [5, 6]
    dumped = [one.settings.model_dump(exclude={"seed", "out_dir", "in_root"}) for one in several]
    assert (
        dumped[0]
        == dumped[1]
        == params.check("pretrain", base | {"out_dir": "", "in_root": ""}).model_dump(
            exclude={"seed", "out_dir", "in_root"}
        )
    )


# --- settings and page ------------------------------------------------------------------------------------------
def test_committed_rows_are_trainings_that_differ_from_the_reference_in_what_they_say():
    said, base = experiments.trials(ROOT / "experiments"), params.read_yaml(ROOT / "params/demo/pretrain.yaml")
    asked = ablations.trials_of(said.ablations, base)
    assert len(asked) == len(said.ablations.seeds) * (1 + len(said.ablations.rows))
    assert len({one.path(ROOT, "data") for one in asked}) == len(asked)
    of = {one.name: one for one in asked if one.settings.seed in (1, 101)}
    assert of["frozen_in_time"].settings.video.temporal_init == "frozen_in_time"
    assert [len(of[f"frames_{count}"].settings.frames.sax_phases) for count in (1, 4, 8, 12)] == [1, 4, 8, 12]
    assert of["batch_128"].settings.optim.micro_batch == of["reference"].settings.optim.batch_studies
    assert [of[f"missing_{percent}"].missing for percent in (20, 40, 60, 80)] == [0.2, 0.4, 0.6, 0.8]


def test_unknown_rows_and_changes_are_refused():
    with pytest.raises(ValueError, match=r"judged against rows that are not there: \['nobody'\]"):
        toy_ablations({"name": "a", "against": "nobody"})
    with pytest.raises(ValueError, match="a name of its own"):
        toy_ablations({"name": "a"}, {"name": "a"})
    how = toy_ablations({"name": "a", "change": {"video": {"heats": 2}}})
    with pytest.raises(params.ParameterError, match="heats"):
        ablations.trials_of(how, TOY.model_dump(mode="json"))


def test_the_page_says_of_every_row_what_was_expected_and_what_came():
    world = toy_cohort(120, ())
    how = toy_ablations(
        {"name": "a"}, {"name": "b", "against": "a", "judge": "lge", "expect": "better", "why": "Hope."}
    )
    keys = pd.Index(ablations.judged_studies(world).study_key)
    found = {
        name: judge.side_by_side(
            [judge.answers(random_result(world, seed), world.studies, keys, judge.Penalties(0.1, 10.0), 1, 4)] * 2
        )
        for seed, name in enumerate(("reference", "a", "b"))
    }
    table = ablations.compare(world, found, how, SETTINGS)
    page = ablations.page(table, Trials(seeds=Seeds(more=[]), ablations=how))
    assert "synthetic phantom" in page
    line = next(line for line in page.splitlines() if "`b`" in line)
    gap = table.set_index(["target", "model"]).loc[("lge", f"b{MINUS}a"), "value"]
    assert f"lge against `a` | {gap:+.3g} (" in line
    assert "| better | **" in line
    assert line.endswith("| Hope. |")
    json.dumps(experiments.metrics(table), allow_nan=False)


# --- the test split ---------------------------------------------------------------------------------------------
def test_a_training_asks_for_test_studies_at_the_door_and_for_no_others(tmp_path, monkeypatch):
    monkeypatch.setenv(held_out.LOG_VARIABLE, str(tmp_path / "readings.jsonl"))
    world = toy_cohort()
    keys = world.studies.set_index("split").study_key
    for split in (Split.TRAIN, Split.VALIDATION):
        seen = world.seen(TOY.frames, split, with_report=False)
        assert seen.study_keys == keys[split.value].tolist()
    assert held_out.readings().empty
    assert world.seen(TOY.frames, Split.TEST, with_report=False).study_keys == keys["test"].tolist()
    result = Result(keys.tolist()[::-1], np.zeros((24, 2)), np.zeros((24, 2)), [], "")
    assert seeds.judged_studies(world, result).tolist() == keys["test"].tolist()[::-1]
    read = held_out.readings()
    assert read["reader"].tolist() == ["seeds: studies that are judged", "trials: studies of a training"]
    assert read["readings"].tolist() == [1, 1]
