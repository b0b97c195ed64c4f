"""Does late enhancement reach the embedding? At test time its images are exchanged between patients.

The model is not trained again: LGE clips of the test studies go to studies of other patients, everything is embedded
anew, and a logistic LGE probe (fitted on the true training embeddings) reads both. What the probe then loses came from
the LGE images. Who gets whose images is a draw, and in a stratum of forty studies one draw moves the AUROC by .1: the
mean over several is taken. In the cine-silent strata nothing but LGE tells the two sides apart, so there the exchange
must leave chance: diseases that move and look alike on cine, with and without enhancement.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from cmr_lib import labels, project
from cmr_lib.clips import dataset
from cmr_lib.clips.reassigned import Reassigned
from cmr_lib.evaluation import baselines, fitting, harness
from cmr_lib.evaluation.harness import MINUS
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.evaluation.probes import Probe, apply_probe
from cmr_lib.models import pretrained
from cmr_lib.types import Sequence as Kind
from cmr_lib.types import Split

NAME = "lge_shuffle"
TRUE, SHUFFLED = "true_lge", "shuffled_lge"
EXCHANGES = 16  # draws of who gets whose images
NORMAL_LVEF = 55.0  # %, from which on function counts as normal where the truth does not say `silent`
LOUD = ("lv_dysfunction", "rv_dysfunction", "lv_dilation", "rv_dilation", "wall_motion_abnormality", "lv_hypertrophy")


# --- the exchange ------------------------------------------------------------------------------------------------
def derangement(patients: Sequence[str], seed: int) -> Int[np.ndarray, " studies"]:
    """For each study the row of the study whose images it gets: a permutation in which nobody keeps their own patient.

    Patients are put in a random order, their studies side by side, and everything moves on by the largest number of
    studies that one patient has. Raises ValueError when a patient has more than half of the studies.
    """
    names, codes, counts = np.unique(np.asarray(patients, dtype=str), return_inverse=True, return_counts=True)
    most = int(counts.max()) if len(counts) else 0
    if 2 * most > len(codes):
        raise ValueError(f"One patient has {most} of {len(codes)} studies: nothing to exchange with.")
    place = project.rng(seed, "derangement").permutation(len(names))
    order = np.argsort(place[codes], kind="stable")
    donors = np.empty(len(codes), dtype=int)
    donors[order] = np.roll(order, -most)
    return donors


def lge_rows(index: pd.DataFrame) -> Bool[np.ndarray, " clips"]:
    """Which clips of a store are late enhancement."""
    return (index["sequence"] == Kind.LGE.value).to_numpy()


def exchange(store: dataset.Store, donor: Mapping[str, str]) -> Reassigned:
    """The store in which each study named in `donor` holds the LGE clips of its donor in place of its own; cines stay.

    Raises ValueError when `donor` is not a permutation of its studies.
    """
    if set(donor) != set(donor.values()):
        raise ValueError("LGE clips are exchanged among the same studies: every donor must receive as well.")
    receiver = {giver: key for key, giver in donor.items()}
    lge, keys = lge_rows(store.index), store.index["study_key"]
    return Reassigned(store, store.index.assign(study_key=keys.map(receiver).where(lge).fillna(keys)))


# --- the strata --------------------------------------------------------------------------------------------------
def silent(studies: pd.DataFrame) -> Bool[np.ndarray, " studies"]:
    """Studies whose cine is drawn as if normal: the truth's word or, without it, normal LVEF and no loud finding."""
    if "silent" in studies.columns:
        return (studies["silent"] == 1).to_numpy()
    loud = studies[[name for name in LOUD if name in studies.columns]].any(axis=1)
    return ((studies["lvef"] >= NORMAL_LVEF) & ~loud).to_numpy()


def strata(studies: pd.DataFrame) -> dict[str, Bool[np.ndarray, " studies"]]:
    """Which studies belong to each stratum; in the silent ones only LGE separates those with from those without it.

    DCM: midwall septal enhancement or none. Normal cine: NOR without enhancement, and silent MYO or NIF with it.
    """
    diagnosis, lge = studies["diagnosis"], (studies["lge"] == 1)
    septal = (studies["lge_pattern"] == "midwall_septal") & lge
    dcm = (diagnosis == labels.Diagnosis.DCM.value) & (septal | ~lge)
    scarred = diagnosis.isin([labels.Diagnosis.MYO.value, labels.Diagnosis.NIF.value]) & silent(studies) & lge
    normal = (diagnosis == labels.Diagnosis.NOR.value) & ~lge
    return {
        "all": np.ones(len(studies), dtype=bool),
        "silent: DCM": dcm.to_numpy(dtype=bool),
        "silent: NOR, MYO, NIF": (scarred | normal).to_numpy(dtype=bool),
    }


# --- the experiment ----------------------------------------------------------------------------------------------
def fit_probe(material: Material, settings: Settings) -> Probe:
    """The logistic LGE probe on true embeddings: fitted on train, strength chosen on validation."""
    codes = material.studies["lge"].to_numpy(dtype=int)
    train, validation = material.rows(Split.TRAIN), material.rows(Split.VALIDATION)
    names, strengths = ["absent", "present"], settings.probe.strengths
    return fitting.choose_logistic(material.image, codes, train, validation, names, strengths)[0]


def compare(
    studies: pd.DataFrame,
    scores: Mapping[str, Sequence[Float[np.ndarray, " studies"]]],
    settings: Settings,
) -> pd.DataFrame:
    """AUROC of LGE from both scores (TRUE, SHUFFLED) and their difference, in every stratum. Rows: test studies.

    Both hold one score an exchange (the true one is the same each time); the AUROC is the mean over exchanges.
    """
    label, patients, rows = studies["lge"].to_numpy(dtype=float), studies["patient_key"], []
    pairs = {
        model: np.stack([column for score in scores[model] for column in (label, score)], axis=1)
        for model in (TRUE, SHUFFLED)
    }
    for stratum, inside in strata(studies).items():
        where = {"target": "lge", "stratum": stratum, "metric": "auroc", "chance": 0.5}
        for model, values in pairs.items():
            place = {**where, "model": model}
            rows.append(harness.row(place, values, patients, harness.mean_auroc, settings, inside))
        place = {**where, "model": f"{TRUE}{MINUS}{SHUFFLED}"}
        both = (pairs[TRUE], pairs[SHUFFLED])
        rows.append(harness.difference_row(place, *both, patients, harness.mean_auroc, settings, inside))
    return harness.table(NAME, rows)


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """The experiment: a tidy table (harness.COLUMNS). Test studies without any LGE clip are left out."""
    index = material.clips.index
    having = set(index["study_key"][lge_rows(index)])
    studies = material.studies.iloc[material.rows(Split.TEST)]
    studies = studies[studies["study_key"].isin(having)].reset_index(drop=True)
    keys = studies["study_key"].tolist()
    model, _ = pretrained.from_pretrained(material.root / "pretrain" / "model")
    probe = fit_probe(material, settings)
    patients = studies["patient_key"].tolist()
    draws = [derangement(patients, project.seed_for(settings.seed, "exchange", n)) for n in range(EXCHANGES)]
    exchanged = [
        exchange(material.clips, {key: keys[donor] for key, donor in zip(keys, donors, strict=True)})
        for donors in draws
    ]
    true, *others = (
        apply_probe(baselines.embedded(model, store, keys, material.plan), probe)[:, 1]
        for store in (material.clips, *exchanged)
    )
    scores = {TRUE: [true] * EXCHANGES, SHUFFLED: others}
    return compare(studies, scores, settings)
