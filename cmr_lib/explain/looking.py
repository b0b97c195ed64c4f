"""From maps to tables: what a study's reports are compared with, which images counted, and the weight over the beat."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from cmr_lib import params
from cmr_lib.clips.store import ClipStore
from cmr_lib.explain import faithful
from cmr_lib.explain.readout import Looked, Shown, kinds_of
from cmr_lib.models.cmrformer import CMRformer


@dataclass(frozen=True)
class Targets:
    """Embeddings of the studies' own reports: what a gradient map explains and a spoiled study is compared with."""

    study_keys: Sequence[str]
    text: Float32[np.ndarray, "n embed"]  # NaN rows: no report

    def of(self, study_keys: Sequence[str]) -> Float32[np.ndarray, "chosen embed"]:
        """Those of some studies, in order; NaN where a study has no report or is not known."""
        rows = {key: row for row, key in enumerate(self.study_keys)}
        found = np.full((len(study_keys), self.text.shape[1]), np.nan, np.float32)
        for at, key in enumerate(study_keys):
            if key in rows:
                found[at] = self.text[rows[key]]
        return found


@torch.no_grad()
def aim(model: CMRformer, shown: Shown, reports: Float32[np.ndarray, "n embed"]) -> Float[Tensor, "n embed"]:
    """The report of each study; the study's own unspoiled embedding where it has none."""
    model.eval()
    own, text = faithful.vectors(model, shown.images), torch.from_numpy(reports)
    return torch.where(text.isnan().any(-1, keepdim=True), own, text)


# --- which images counted ---------------------------------------------------------------------------------------
def kinds_table(shown: Shown, looked: Looked, falls: pd.DataFrame) -> pd.DataFrame:
    """By study and kind of image: its weight, its share of the study's images, and what hiding it costs.

    looked: maps of the studies shown, or of none: then no weight is known (NaN). falls: `faithful.leave_out`. Columns:
    kind, study, weight, even, fall; a kind that a study lacks has NaN.
    """
    kinds, parts = kinds_of(shown.places).to_numpy(), []
    present = shown.present
    time = looked.time if len(looked.time) else np.full(present.shape, np.nan)
    for kind in dict.fromkeys(kinds):
        chosen = kinds == kind
        count = present[:, chosen].sum(axis=1)
        weight = np.where(present[:, chosen], time[:, chosen], 0.0).sum(axis=1)
        there = count > 0
        rows = {"kind": kind, "study": np.arange(len(count)), "weight": np.where(there, weight, np.nan)}
        even = np.where(there, count / np.maximum(present.sum(axis=1), 1), np.nan)
        parts.append(pd.DataFrame(rows | {"even": even, "fall": falls[kind].to_numpy()}))
    return pd.concat(parts, ignore_index=True)


def joined(estimates: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Rows of `evaluation.paired.estimates` by name, side by side: kind, n, name, name_low, name_high.

    Kinds and their n are those of the first table that has rows; a table without rows keeps its columns, all NaN.
    """
    first = next((rows for rows in estimates.values() if len(rows)), next(iter(estimates.values())))
    found = first[["kind", "n"]]
    for name, rows in estimates.items():
        names = {"value": name, "low": f"{name}_low", "high": f"{name}_high"}
        kept = rows[["kind", *names]].astype(dict.fromkeys(names, float))
        found = found.merge(kept.rename(columns=names), on="kind", how="left")
    return found


# --- over the beat ----------------------------------------------------------------------------------------------
def whole_beat(plan: params.FramePlan, phases: int) -> params.FramePlan:
    """The plan with the short-axis cine at this many even moments of the beat."""
    return plan.model_copy(update={"sax_phases": [k / phases for k in range(phases)]})


def beat_table(looked: Looked) -> pd.DataFrame:
    """Weight of each moment of the short-axis cine, a row a study and phase; 1: every moment alike.

    Columns: study, phase, weight. Studies without a short-axis cine, or with one moment only, are left out.
    """
    short = looked.places[(looked.places["view"] == "sax") & (looked.places["sequence"] == "cine")]
    phases = sorted(short["phase"].unique())
    columns = [short.index[short["phase"] == phase].to_numpy() for phase in phases]
    if len(phases) < 2:
        return pd.DataFrame({"study": np.zeros(0, int), "phase": np.zeros(0), "weight": np.zeros(0)})
    weight = np.stack([looked.time[:, chosen].sum(axis=1) for chosen in columns], axis=1)
    even = weight.mean(axis=1, keepdims=True)
    rows = np.flatnonzero(even[:, 0] > 0)
    share = (weight[rows] / even[rows]).ravel()
    return pd.DataFrame({"study": np.repeat(rows, len(phases)), "phase": np.tile(phases, len(rows)), "weight": share})


def end_systole(clips: ClipStore, study_keys: Sequence[str]) -> tuple[float, float, float] | None:
    """Median and quartiles over studies of the end-systolic phase in the store; None where none is clear."""
    index = clips.index
    short = index[index["study_key"].isin(study_keys) & (index["view"] == "sax") & (index["sequence"] == "cine")]
    found = short.groupby("study_key")["phase_of_es"].median().dropna()
    if not len(found):
        return None
    low, middle, high = (float(value) for value in found.quantile([0.25, 0.5, 0.75]))
    return middle, low, high


def columns_to_show(places: pd.DataFrame, most: int = 5) -> list[int]:
    """A few places of a plan for a picture: each kind's middle ones, the moving ones at two moments."""
    chosen: list[int] = []
    for _, part in places.groupby(kinds_of(places), sort=False):
        middle = part["position"].sort_values(kind="stable").iloc[len(part) // 2]
        chosen += part.index[part["position"] == middle].tolist()[:2]
        if (part["sequence"] != "cine").all():
            chosen += [at for at in part.index.tolist() if at not in chosen][:1]
    return sorted(chosen[:most])
