"""One maker of scanners left out: a probe that never met it, judged on its studies."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from cmr_lib import params
from cmr_lib.evaluation import diagnoses, fitting, statistics
from cmr_lib.evaluation.cohorts import COLUMNS, LOSS, Question, row
from cmr_lib.evaluation.external import Cohort
from cmr_lib.evaluation.probes import Probe, in_order


def leave_one_vendor_out(own: Cohort, probe: Probe | None, settings: params.Classification) -> pd.DataFrame:
    """Probes fitted without a maker and judged on it, beside the probe of all makers, and the paired loss (COLUMNS).

    own: all splits. probe: over every diagnosis, fitted on all makers. The encoder has seen the maker (without labels);
    only the probe has not.
    """
    known, rows = diagnoses.labelled(own.studies), []
    if probe is None or "vendor" not in own.studies:
        return pd.DataFrame(columns=COLUMNS)
    vendor = own.studies["vendor"].fillna("").astype(str).to_numpy()
    for name in sorted(set(vendor[known.rows["test"]]) - {""}):
        rows += _without(name, vendor == name, own, known, probe, settings)
    return pd.DataFrame(rows, columns=COLUMNS)


def _without(
    name: str,
    made: Bool[np.ndarray, " studies"],
    own: Cohort,
    known: diagnoses.Labelled,
    probe: Probe,
    settings: params.Classification,
) -> list[dict[str, Any]]:
    train, validation, test = known.rows.values()
    train, validation, test = train[~made[train]], validation[~made[validation]], test[made[test]]
    patients, codes = own.studies["patient_key"].iloc[test].tolist(), known.codes[test]
    place = {"cohort": f"{name} left out", "task": "diagnosis", "metric": "macro_auroc"}
    if len(np.unique(known.codes[train])) < len(known.classes) or not len(validation):
        note = "Without this maker a diagnosis has no training studies, or nothing is left to choose a probe on."
        return [{**place, "n": len(test), "n_patients": len(set(patients)), "note": note}]
    strengths = settings.probe.strengths
    fitted, _ = fitting.choose_logistic(own.image, known.codes, train, validation, known.classes, strengths)
    scores = [diagnoses.coded(codes, in_order(own.image[test], one, known.classes)) for one in (probe, fitted)]
    rows = [
        row(label, ("diagnosis", "macro_auroc"), Question(one, patients, statistics.macro_auroc, 0.5), settings)
        for label, one in ((f"{name}, probe of all makers", scores[0]), (f"{name} left out", scores[1]))
    ]
    value, low, high = statistics.paired_difference(
        scores[0], scores[1], patients, statistics.macro_auroc, settings.bootstrap, settings.seed
    )
    loss = {"cohort": f"{name} left out {LOSS}", "value": value, "low": low, "high": high, "chance": 0.0}
    return [*rows, {**rows[-1], **loss}]
