"""What the tables of notebook 07 say, a sentence each.

`why` says why a model has no maps (`capture.no_maps`; empty where it has): then the sentence is that, with n = 0.
"""

from collections.abc import Mapping

import pandas as pd


def none(why: str) -> str:
    """That there is no map, and why."""
    return f"n = 0: {why}"


def whom(unseen: int, why: str = "") -> str:
    """How many test studies can be looked at, and whether there are maps of them."""
    told = (
        f"{unseen} test studies have an image of the plan."
        if unseen
        else "No test study has an image of the plan: these are maps of studies that training may have seen."
    )
    return f"{told} Maps: {none(why)}" if why else told


def _with_interval(row: pd.Series, name: str, low: str, high: str, form: str = "+.2f") -> str:
    return f"**{row[name]:{form}}** ({row[low]:{form}} to {row[high]:{form}})"


def kinds(counted: pd.DataFrame, why: str = "") -> str:
    """The kind of image that rollout gives most to, and the one whose hiding costs most (`looking.joined`)."""
    dearest = counted.loc[counted["fall"].fillna(-9).idxmax()]
    fall = _with_interval(dearest, "fall", "fall_low", "fall_high")
    costs = f"hiding *{dearest.kind}* costs most: {fall} of the similarity, n = {dearest.n} studies."
    if why:
        return f"Of the maps, {none(why)} Without any map: {costs}"
    first = counted.loc[counted["weight"].idxmax()]
    return (
        f"Rollout gives most to *{first.kind}* (**{first.weight:.2f}**, {first.weight_low:.2f} to "
        f"{first.weight_high:.2f}; its share of the images is {first.even:.2f}); {costs}"
    )


def images(table: pd.DataFrame, why: str = "") -> str:
    """The image that weighs most by the last block. Columns: view, phase, weight, low, high, n, uniform."""
    if why:
        return none(why)
    top = table.loc[table["weight"].idxmax()]
    moment = "" if pd.isna(top.phase) else f" at {100 * top.phase:.0f} % of RR"
    return (
        f"By the last block alone an image weighs most when it shows *{top['view']}*{moment}: "
        f"{_with_interval(top, 'weight', 'low', 'high', '.3f')}, n = {top.n} studies; if all images counted alike it "
        f"would be {top.uniform:.3f}."
    )


def beat(rows: pd.DataFrame, systole: tuple[float, float, float] | None, why: str = "") -> str:
    """The moment that weighs most by rollout, beside end-systole. Columns: map, phase, weight, low, high, n."""
    if why:
        return none(why)
    there = rows[rows["map"] == "rollout"]
    if not len(there):
        return "n = 0: no study has a short-axis cine with two moments."
    peak = there.loc[there["weight"].idxmax()]
    known = "is not known."
    if systole is not None:
        known = f"lies at {100 * systole[0]:.0f} % ({100 * systole[1]:.0f} to {100 * systole[2]:.0f})."
    return (
        f"By rollout the moment at {100 * peak.phase:.0f} % of RR weighs most: **{peak.weight:.2f}** times an even "
        f"share ({peak.low:.2f} to {peak.high:.2f}), n = {peak.n} studies; end-systole {known}"
    )


def learned(scores: pd.DataFrame, nothing: Mapping[str, float], why: str = "") -> str:
    """How like an untrained model's the maps are, and how central (`attention.study_scores`)."""
    if why:
        return none(why)
    mean = scores.mean()
    return (
        f"The trained maps correlate **{mean.correlation_with_random:.2f}** with those of the untrained model (1 would "
        f"mean that training changed nothing), and {mean.centre_share:.2f} of the weight lies in the central disc "
        f"(uniform: {nothing['centre_share']:.2f}); n = {len(scores)} studies."
    )


def used(beats: pd.DataFrame, why: str = "") -> str:
    """The map that beats an untrained model's order most. Columns: map, value, low, high, n."""
    if why:
        return none(why)
    best = beats.loc[beats["value"].idxmax()]
    end = "." if best.low > 0 else ": **not surely**, so the map does not say what was used."
    more = _with_interval(best, "value", "low", "high")
    return (
        f"Insertion minus deletion: *{best['map']}* beats the order of an untrained model by {more}, "
        f"n = {best.n} studies{end}"
    )
