"""The model card: phantom weights say so, user weights do not claim phantoms."""

from pathlib import Path

import pandas as pd
import pytest

from cmr_lib import params
from cmr_lib.clips.dataset import StudyDataset, collate
from cmr_lib.training.architecture import architecture
from cmr_lib.training.card import model_card, reading
from cmr_lib.training.start import start
from tests.toy import toy_settings, toy_store

ROOT = Path(__file__).resolve().parents[1]


def settings() -> params.Pretrain:
    values = params.read_yaml(ROOT / "params/smoke/pretrain.yaml") | {"out_dir": "x", "in_root": "x"}
    return params.check("pretrain", values)


def test_card_of_phantom_weights_forbids_any_decision():
    history = pd.DataFrame({"loss": [3.0, 1.25], "validation_loss": [3.1, 2.5]})
    card = model_card(settings(), history, 731, synthetic=True)
    assert "phantom-trained" in card
    assert "must not be used for any decision" in card
    assert "731 pairs" in card
    assert "1.250" in card


def test_card_of_user_weights_does_not_speak_of_phantoms():
    assert "phantom" not in model_card(settings(), pd.DataFrame(), 5, synthetic=False)


def test_card_of_frozen_weights_claims_no_training():
    frozen = settings().model_copy(update={"mode": "frozen", "init": "released"})
    card = model_card(frozen, pd.DataFrame(), 0, synthetic=False)
    assert "Nothing here (mode: frozen): these are the weights of init: released." in card
    assert "phantom-trained" in card
    assert "epochs" not in card


def test_card_of_weights_from_a_folder_quotes_no_sizes_that_were_not_used():
    tuned = settings().model_copy(update={"mode": "finetune", "init": "old/model"})
    card = model_card(tuned, pd.DataFrame(), 5, synthetic=True)
    assert card.count("that of `init: old/model`") == 2
    for unused in (f"{tuned.video.depth} blocks", f"{tuned.text.depth} layers", f"Shared space of {tuned.embed_dim}"):
        assert unused not in card
        assert unused in model_card(settings(), pd.DataFrame(), 5, synthetic=True)


def test_the_sentence_on_the_curves_gives_their_ends_and_the_epoch_that_is_used():
    names = ("loss", "validation_loss", "logit_scale", "alignment", "uniformity", "temporal_qk_grad_norm")
    rows = [(3.0, 3.1, 14.0, 1.9, -0.7, 0.03), (2.0, 2.4, 13.0, 1.5, -1.5, 0.1), (1.25, 2.5, 12.0, 1.1, -2.2, 0.2)]
    history = pd.DataFrame(rows, columns=list(names))
    said = reading(history, settings(), 226)
    for part in ("3 epochs", "3.00 to **1.25**", "3.10 to **2.50**", "n = 226", "chance 2.77", "14.0 to 12.0"):
        assert part in said
    assert "1.90 to 1.10 in alignment" in said
    assert "-0.70 to -2.20 in uniformity" in said
    assert "used: the last" in said
    early = settings().model_copy(update={"optim": settings().optim.model_copy(update={"patience": 3})})
    assert "used: number 2" in reading(history, early, 226)
    assert "Nothing was trained" in reading(history.iloc[:0], settings(), 0)


# --- what the model is made of ----------------------------------------------------------------------------------
def table_of(**video):
    settings = toy_settings(video=video, optim={"loss": "sigmoid"})
    store, texts = toy_store(3)
    batch = collate(list(StudyDataset(store, list(texts), settings.frames)))
    model, tokenizer = start(settings, list(texts.values()))
    total = sum(weight.numel() for weight in model.parameters())
    return architecture(model, tokenizer, batch, texts).set_index("part"), total


@pytest.mark.parametrize("study", ["concat", "set"])
def test_the_table_of_the_architecture_counts_every_parameter_once(study):
    table, total = table_of(study=study)
    assert table.parameters["whole"] == total == table.parameters.iloc[:-1].sum()
    width = 16
    attention = 2 * width + 3 * width * (width + 1) + width * (width + 1)  # norm; q, k, v; output
    assert table.parameters["time attention (2 blocks)"] == 2 * attention


def test_the_table_of_the_architecture_shows_what_each_part_gives():
    shape = table_of()[0]["shape"]
    frames, grid, width = 6, 2, 16  # two slices in two phases, a long axis, an enhancement; 16 px in patches of 8
    assert shape["images"] == str((3, frames, 1, 16, 16))
    assert shape["stem"] == str((3 * frames, width, grid, grid))
    assert shape["embeddings"] == str((3, 1 + frames * grid**2, width))
    assert shape["image projection"] == shape["report projection"] == str((3, 8))
    assert table_of(study="set")[0]["shape"]["read-out"] == str((3, width))
