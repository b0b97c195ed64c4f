"""Quantities that a cardiologist measures, read off the embeddings by a ridge probe each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib import params
from cmr_lib.evaluation import fitting, held_out, quantities
from cmr_lib.evaluation.probes import apply_probe
from cmr_lib.types import Split

NAMES = {
    "lvef": "LVEF (%)",
    "rvef": "RVEF (%)",
    "lvedv_ml": "LV end-diastolic volume (mL)",
    "lv_mass_g": "LV mass (g)",
}

Embeddings = Float[np.ndarray, "studies embed"]


@dataclass(frozen=True)
class Measured:
    """table: quantities.COLUMNS. predictions: row, true, predicted of the test studies, by quantity."""

    table: pd.DataFrame
    predictions: dict[str, pd.DataFrame]


def measure(image: Embeddings, studies: pd.DataFrame, lvef: pd.DataFrame, settings: params.Classification) -> Measured:
    """Error, R² and agreement of every quantity of NAMES that the studies' table has in all three splits.

    lvef: the predictions of `classification.lvef_probe` on these studies, so that no probe is fitted twice.
    """
    tables, predictions = [], {}
    for name in (name for name in NAMES if name in studies):
        found = lvef if name == "lvef" else _predicted(name, image, studies, settings)
        if not len(found):
            continue
        predictions[name], target = found, studies[name].to_numpy(dtype=float)
        train = held_out.rows_of(Split.TRAIN, studies["split"], f"classification: {name}", np.isfinite(target))
        tables.append(
            quantities.quantity_table(
                name, found["true"].to_numpy(), found["predicted"].to_numpy(), float(target[train].mean()),
                studies["patient_key"].iloc[found["row"]].tolist(), settings.bootstrap, settings.seed,
            )
        )  # fmt: skip
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=quantities.COLUMNS)
    return Measured(table, predictions)


def _predicted(name: str, image: Embeddings, studies: pd.DataFrame, settings: params.Classification) -> pd.DataFrame:
    """Row, true and predicted of the test studies; none where a split holds no study with the quantity."""
    target = studies[name].to_numpy(dtype=float)
    train, validation, test = held_out.three(studies["split"], f"classification: {name}", np.isfinite(target))
    if not (len(train) and len(validation) and len(test)):
        return pd.DataFrame()
    probe, _ = fitting.choose_ridge(image, target, train, validation, settings.probe.ridge, name)
    predicted = apply_probe(image[test], probe)[:, 0]
    return pd.DataFrame({"row": test, "true": target[test], "predicted": predicted})
