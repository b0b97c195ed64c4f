"""Maps against their controls: untrained networks, the middle of the image, any order; and what came out in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from cmr_lib import params, project
from cmr_lib.clips.dataset import Store
from cmr_lib.explain import localise, readout, rollout
from cmr_lib.explain.readout import Looked
from cmr_lib.models.cmrformer import CMRformer

CONTROL = {method: f"untrained {method}" for method in rollout.METHODS}
CENTRE = "centre"
CONTROLS = {"untrained": CONTROL, CENTRE: dict.fromkeys(rollout.METHODS, CENTRE)}  # by rival: map → its control
RIVALS = {"untrained": "that of an untrained model", CENTRE: "that of the middle of the image"}
JUDGED = ["region", "map", "study", *localise.MEASURES, "share"]
Regions = Mapping[str, Bool[np.ndarray, "n f crop crop"]]


def localisation(
    model: CMRformer,
    untrained: Sequence[CMRformer],
    clips: Store,
    study_keys: Sequence[str],
    plan: params.FramePlan,
    target: Float[np.ndarray, "n embed"],
    regions: Regions,
) -> pd.DataFrame:
    """`localise.table` of the trained model's fine maps, of untrained models' (mean score) and of the middle's.

    Columns JUDGED; no rows where no anatomy is known.
    """
    if not study_keys:
        return pd.DataFrame({name: [] for name in JUDGED})
    trained = readout.fine(model, clips, study_keys, plan, target=target)
    maps = {**trained, CENTRE: localise.centred(*next(iter(trained.values())).shape[:3])}
    controls = []
    for one in untrained:
        fine = readout.fine(one, clips, study_keys, plan, target=target)
        controls.append(localise.table({CONTROL[method]: found for method, found in fine.items()}, regions))
    means = pd.concat(controls).groupby(["map", "region", "study"], sort=False).mean().reset_index()
    return pd.concat([localise.table(maps, regions), means], ignore_index=True)[JUDGED]


def chance_of(table: pd.DataFrame, rows: pd.DataFrame) -> Float[np.ndarray, " rows"]:
    """The level of a map that knows nothing, for every row of results: the region's mean share of the image."""
    share = table.groupby("region")["share"].mean()
    return rows["region"].map(share).to_numpy(dtype=float)


def _between(row: pd.Series) -> str:
    known = np.isfinite(row["low"]) and np.isfinite(row["high"])
    return f"({row['low']:+.2f} to {row['high']:+.2f})" if known else "(too few studies for an interval)"


def verdict(differences: pd.DataFrame, measure: str) -> str:
    """In words, rival by rival and region by region, whether each map surely beats it by a measure."""
    chosen = differences[differences["measure"] == measure]
    if not len(chosen):
        return "n = 0: the anatomy of real hearts is not known, so no map is held against it."
    said = []
    for rival, of_rival in chosen.groupby("rival", sort=False):
        said.append(f"{localise.NAMES[measure]} minus {RIVALS[str(rival)]}, by study:\n")
        said += [_line(str(region), rows) for region, rows in of_rival.groupby("region", sort=False)]
        said.append("")
    return "\n".join(said).strip()


def _line(region: str, rows: pd.DataFrame) -> str:
    parts = [f"{row['map']} {row['value']:+.2f} {_between(row)}" for _, row in rows.iterrows()]
    sure = rows.loc[rows["low"] > 0, "map"].tolist()
    judged = f"{' and '.join(sure)} surely" if sure else "**no map does**"
    return f"- *{region}* (n = {int(rows['n'].max())}): {', '.join(parts)}; beating it: {judged}."


def example(regions: Regions) -> int:
    """Row of a study to show: its scar is the median one of those that have any; 0 where none has."""
    scar = regions.get("scar")
    if scar is None or not scar.any():
        return 0
    size = scar.sum(axis=(1, 2, 3))
    having = np.flatnonzero(size)
    return int(having[np.argsort(size[having], kind="stable")[len(having) // 2]])


def orders(
    trained: Mapping[str, Looked], untrained: Looked, seed: int
) -> dict[str, Float[np.ndarray, "n f rows cols"]]:
    """Maps to spoil a study by: the trained model's, an untrained model's rollout, and any order."""
    space = untrained.space
    chance = project.rng(seed, "any order").random(space.shape)
    return {**{name: one.space for name, one in trained.items()}, CONTROL["rollout"]: space, "any order": chance}


def entry(row: Mapping[str, Any]) -> dict[str, float | int]:
    """One entry of a metrics.json from a row of results."""
    return project.estimate(row["value"], n=row["n"], low=row["low"], high=row["high"], chance=row["chance"])
