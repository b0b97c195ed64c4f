"""The model card: phantom weights say so, user weights do not claim phantoms."""

from pathlib import Path

import pandas as pd

from cmr_lib import params
from cmr_lib.training.card import model_card

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
