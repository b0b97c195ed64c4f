"""Quantities that a cardiologist measures, read off the embeddings by a ridge probe each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib import params
from cmr_lib.evaluation import fitting, held_out, quantities
from cmr_lib.evaluation.probes import Probe, apply_probe

NAMES = {
    "lvef": "LVEF (%)",
    "rvef": "RVEF (%)",
    "lvedv_ml": "LV end-diastolic volume (mL)",
    "lv_mass_g": "LV mass (g)",
}

Embeddings = Float[np.ndarray, "studies embed"]


@dataclass(frozen=True)
class Measured:
    """tables: quantities.COLUMNS. predictions: row, true, predicted of the test studies, by quantity."""

    table: pd.DataFrame
    predictions: dict[str, pd.DataFrame]
    probes: dict[str, Probe]


def measure(image: Embeddings, studies: pd.DataFrame, settings: params.Classification) -> Measured:
    """Error, R² and agreement of every quantity of NAMES that the studies' table has in all three splits."""
    tables, predictions, probes = [], {}, {}
    for name in NAMES:
        target = studies[name].to_numpy(dtype=float) if name in studies else np.full(len(studies), np.nan)
        train, validation, test = held_out.three(studies["split"], f"classification: {name}", np.isfinite(target))
        if not (len(train) and len(validation) and len(test)):
            continue
        probes[name], _ = fitting.choose_ridge(image, target, train, validation, settings.probe.ridge, name)
        found = apply_probe(image[test], probes[name])[:, 0]
        predictions[name] = pd.DataFrame({"row": test, "true": target[test], "predicted": found})
        patients = studies["patient_key"].iloc[test].tolist()
        tables.append(
            quantities.quantity_table(
                name, target[test], found, float(target[train].mean()), patients, settings.bootstrap, settings.seed
            )
        )
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=quantities.COLUMNS)
    return Measured(table, predictions, probes)
