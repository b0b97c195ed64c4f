"""A model without attention maps: every function gives n = 0, and notebook 07 runs to its end and says why."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import toy
from matplotlib.text import Text

from cmr_lib import project, view
from cmr_lib.clips import dataset
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.store import ClipStore, write_store
from cmr_lib.evaluation import embed, embeddings, paired
from cmr_lib.explain import against, attention, capture, faithful, looking, readout, rollout, sentences
from cmr_lib.figures import looking as pictures
from cmr_lib.figures import maps, style
from cmr_lib.models import cmrformer, pretrained, text
from cmr_lib.training.start import start
from cmr_lib.types import Sequence, View

ROOT = Path(__file__).resolve().parents[1]
FEW = {"patients": ["a", "b", "c"], "samples": 20, "seed": 1}
WITHOUT = {"set": {"study": "set"}, "a body of films": {"name": "r3d_18", "film": [2, 16]}}
PLAN = toy.toy_settings().frames


def settings_of(name):
    return toy.toy_settings(video={"dropout": 0.0} | WITHOUT.get(name, {}))


@pytest.fixture(params=WITHOUT)
def model(request):
    settings = settings_of(request.param)
    config = cmrformer.CMRformerConfig.of(settings, text.small_config(settings.text, 140))
    return cmrformer.build(config, 1).eval()


@pytest.fixture
def shown():
    clips, _ = toy.toy_store(3, without_lge=(1,))
    return readout.show(clips, sorted(clips.index["study_key"].unique()), PLAN)


def words_of(figure):
    return [found.get_text() for found in figure.findobj(Text)]


# --- function by function ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("video", "why"),
    [
        ({"study": "set"}, "study: concat"),
        ({"name": "r3d_18", "film": [2, 16]}, "r3d_18"),
        ({"cls": "frames"}, "another make"),
        ({}, "^$"),
    ],
)
def test_why_a_model_has_no_maps_is_said_before_anybody_asks_for_one(video, why):
    settings = toy.toy_settings(video=video)
    config = cmrformer.CMRformerConfig.of(settings, text.small_config(settings.text, 140))
    found = capture.no_maps(cmrformer.build(config, 1).video)
    assert pd.Series([found]).str.contains(why).all(), found


def test_maps_of_nobody_are_empty_and_the_model_is_not_asked(model, shown):
    found = readout.looked_by(model, shown.part(slice(0)), target=np.zeros((0, 8), np.float32))
    assert tuple(found) == rollout.METHODS
    for one in found.values():
        assert (one.space.shape, one.time.shape, one.frames.shape) == ((0, 6, 1, 1), (0, 6), (0, 6, 16, 16))
        assert len(one.captions()) == 6
        assert not len(looking.beat_table(one))
        assert not len(readout.weight_rows(one))
        assert readout.uniform(one) == 1.0
    with pytest.raises(ValueError, match=r"study: concat|r3d_18"):
        readout.looked_by(model, shown)


def test_vectors_do_not_depend_on_how_many_are_asked_at_once(model, shown, monkeypatch):
    whole = faithful.vectors(model, shown.images)
    monkeypatch.setattr(faithful, "AT_ONCE", 1)
    assert torch.allclose(faithful.vectors(model, shown.images), whole, atol=1e-5)
    nobody = shown.part(slice(0))
    assert faithful.vectors(model, nobody.images).shape == (0, 8)
    assert looking.aim(model, nobody, np.zeros((0, 8), np.float32)).shape == (0, 8)
    assert faithful.similarity(model, nobody.images, torch.zeros(0, 8)).shape == (0,)


def test_what_hiding_costs_is_known_of_a_model_without_maps(model, shown):
    aim = looking.aim(model, shown, np.full((3, 8), np.nan, np.float32))
    none = readout.looked_by(model, shown.part(slice(0)))["rollout"]
    kinds = looking.kinds_table(shown, none, faithful.leave_out(model, shown.images, shown.kinds, aim))
    names = ("weight", "even", "fall")
    counted = looking.joined({name: paired.estimates(kinds, ["kind"], name, **FEW) for name in names})
    assert counted["weight"].isna().all()
    assert counted.set_index("kind")["n"].to_dict() == {"sax": 3, "lax_4ch": 3, "sax LGE": 2}
    assert counted["even"].notna().all()
    assert counted["fall"].notna().all()
    assert maps.NO_MAPS in words_of(pictures.worth_of_kinds(counted))
    said = sentences.kinds(counted, "it has none.")
    assert "n = 0: it has none." in said
    assert "costs most" in said


def test_tables_of_nobody_are_joined_with_their_columns():
    empty = paired.estimates(pd.DataFrame({"kind": [], "study": [], "x": []}), ["kind"], "x", **FEW)
    found = looking.joined({"a": empty, "b": empty})
    assert list(found) == ["kind", "n", "a", "a_low", "a_high", "b", "b_low", "b_high"]
    assert not len(found)


def test_nobody_is_spoiled_and_no_map_beats_another(model, shown):
    nobody = shown.part(slice(0))
    found = readout.looked_by(model, nobody)
    orders = against.orders(found, found["rollout"], 1)
    spoiled = {
        name: faithful.spoil_curves(model, nobody.images, order, torch.zeros(0, 8)) for name, order in orders.items()
    }
    assert {both[kind].shape for both in spoiled.values() for kind in both} == {(0, len(faithful.SHARES))}
    gains = pd.concat(
        pd.DataFrame({"map": name, "study": range(0), "gain": faithful.gain(both)}) for name, both in spoiled.items()
    )
    beats = paired.differences(gains, "map", {"rollout": "untrained rollout"}, "gain", **FEW)
    assert beats["n"].tolist() == [0]
    assert sentences.used(beats, "none") == "n = 0: none"
    assert maps.NO_MAPS in words_of(pictures.spoiled(faithful.SHARES, spoiled, {}, why=maps.NO_MAPS))
    scores = attention.study_scores(
        found["readout"].space, found["readout"].time, found["readout"].present, found["readout"].space
    )
    assert (len(scores), list(scores)) == (0, list(attention.SCORES))
    assert not len(against.localisation(model, [model], toy.toy_store(1)[0], [], PLAN, np.zeros((0, 8)), {}))


def test_figures_of_nothing_say_what_they_are_told():
    empty = pd.DataFrame({"map": [], "phase": [], "weight": []})
    assert maps.NO_MAPS in words_of(pictures.beat(empty, None, why=maps.NO_MAPS))
    assert maps.NO_MAPS in words_of(pictures.localised(empty, empty, why=maps.NO_MAPS))
    assert "n = 0: no study has a short-axis cine" in words_of(pictures.beat(empty, None))


# --- notebook 07 ------------------------------------------------------------------------------------------------
def stages_before(folder, settings, studies=6):
    """What the earlier stages leave, of toy studies and a model that was never trained."""
    store, words = toy.toy_store(studies, without_lge=(1,))
    index, keys = store.index, list(words)
    clips = {
        key: [
            PreparedClip(store.frames(row), View(one.view), Sequence(one.sequence), 0, one.position, 0.4, 2.0)
            for row, one in rows.iterrows()
        ]
        for key, rows in index.groupby("study_key", sort=False)
    }
    write_store(folder / "preprocess" / "store", list(clips.items()))
    cohort = pd.DataFrame({"study_key": keys, "patient_key": keys, "split": ["train"] * 3 + ["test"] * (studies - 3)})
    project.write_table(folder / "preprocess" / "studies.parquet", cohort)
    project.write_json(
        folder / "preprocess" / "cohort.json", {"source": "simulated", "title": "toys", "note": style.PHANTOM}
    )
    model, tokenizer = start(settings, list(words.values()))
    pretrained.save_pretrained(model, tokenizer, folder / "pretrain" / "model")
    project.write_json(folder / "pretrain" / "frames.json", PLAN.model_dump())
    stored = ClipStore(folder / "preprocess" / "store")
    image = embed.embed_studies(model, dataset.StudyDataset(stored, keys, PLAN), PLAN.crop_px, progress=False)
    told = embed.embed_texts(model, tokenizer, list(words.values()))
    embeddings.write_embeddings(folder / "pretrain" / "embeddings", cohort.assign(has_report=True), image, told)


def walk(folder, monkeypatch):
    """Every code cell of notebook 07 in this process, from `folder` to `folder`/out; what it said."""
    said, real = [], view.say
    monkeypatch.setattr(view, "say", lambda words: said.append(words) or real(words))
    monkeypatch.chdir(ROOT)
    places = {"in_root": str(folder), "data_dir": str(folder), "out_dir": str(folder / "out")}
    values = {"studies": 2, "checked": 3, "phases": 4, "bootstrap": 20, "hospital": "params/smoke/simulate.yaml"}
    names = {}
    for cell in json.loads((ROOT / "notebooks" / "07_attention.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            if "parameters" in cell["metadata"].get("tags", []):
                names |= places | values
    return said


@pytest.fixture(scope="module")
def with_maps(tmp_path_factory):
    """What notebook 07 leaves of a model that has maps."""
    folder = tmp_path_factory.mktemp("mapped")
    stages_before(folder, settings_of("concat"))
    with pytest.MonkeyPatch.context() as patch:
        walk(folder, patch)
    return folder / "out"


def tables(out):
    return {path.name: pd.read_csv(path) for path in sorted((out / "tables").glob("*.csv"))}


@pytest.mark.parametrize("name", WITHOUT)
def test_notebook_07_ends_well_with_a_model_without_maps(name, tmp_path, monkeypatch, with_maps):
    stages_before(tmp_path, settings_of(name))
    said = walk(tmp_path, monkeypatch)
    assert all("n = 0: " in words for words in said), said
    out = tmp_path / "out"
    assert sorted(path.name for path in (out / "figures").iterdir()) == sorted(
        path.name for path in (with_maps / "figures").iterdir()
    )
    wanted, found = tables(with_maps), tables(out)
    assert {key: list(table) for key, table in found.items()} == {key: list(table) for key, table in wanted.items()}
    assert {key for key, table in found.items() if len(table)} == {"kinds.csv", "spoiled_minus_untrained.csv"}
    assert found["kinds.csv"]["fall"].notna().all()
    assert not found["spoiled_minus_untrained.csv"]["n"].any()
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics
    assert all((entry["n"], entry["value"]) == (0, None) for entry in metrics.values())
    assert "chance" not in metrics["centre_share"]
