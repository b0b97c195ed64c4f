"""The data card: what a cohort holds, what is missing, what was turned away, and whose data it is.

After Gebru et al. 2021 (Datasheets for datasets, doi 10.1145/3458723), as far as numbers can say it. Written by the run
as data_card.md for people and data_card.csv for programs; counts only.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from cmr_lib.clips.origin import PHANTOM, Origin
from cmr_lib.ingest.public import catalogue
from cmr_lib.ingest.rejects import CODES

NOT_SAID = "not said"
COLUMNS = ("section", "item", "count", "share")
HEADINGS = {
    "split": "Studies by split",
    "view": "Clips by view",
    "sequence": "Clips by sequence",
    "vendor": "Studies by maker of the scanner",
    "field_strength_t": "Studies by field strength (T)",
    "sex": "Studies by sex",
    "age_band": "Studies by age (years)",
    "diagnosis": "Studies by diagnosis",
    "missing": "Studies that lack …",
    "same": "Reports that say the same as another one",
}
SAME_IN = {
    "same_exact": "word for word",
    "same_near": "nearly (word triples, Jaccard at least 0.9)",
    "same_clinical": "the same findings with the same severity",
}


def origin_of(source: str, *, synthetic: bool) -> Origin:
    """The origin of a cohort. `synthetic`: its files call themselves phantoms, in whatever layout."""
    if source in catalogue.SETS:
        known = catalogue.SETS[source]
        note = f"{PHANTOM} in the layout of {known.title}" if synthetic else known.title
        licence = (
            f"{PHANTOM}s made here are free to use; the set itself: {known.licence}" if synthetic else known.licence
        )
        return Origin(source, note, note, known.citation, licence)
    if source == "simulated":
        return Origin(source, "The synthetic hospital", PHANTOM, licence="made here: free to use, nobody's heart")
    return Origin(source, "A clinic's own studies", "own studies", licence="the clinic's: restricted")


# --- counting ---------------------------------------------------------------------------------------------------
def _count(section: str, values: pd.Series) -> pd.DataFrame:
    """Rows of one section: how often each value occurs, in order of the value; what is empty comes last."""
    words = values.map(lambda value: NOT_SAID if pd.isna(value) or value == "" else f"{value}")
    counted = words.value_counts().sort_index()
    counted = counted[[*(name for name in counted.index if name != NOT_SAID), *({NOT_SAID} & set(counted.index))]]
    share = counted / max(1, len(values))
    return pd.DataFrame({"section": section, "item": counted.index, "count": counted.to_numpy(), "share": share.values})


def _missing(studies: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """How many studies lack a report, a kind of clip, or a label that others have."""
    have: dict[str, set[str]] = {}
    for view, sequence in (("sax", "cine"), ("lax_2ch", "cine"), ("lax_3ch", "cine"), ("lax_4ch", "cine")):
        found = index[(index["view"] == view) & (index["sequence"] == sequence)]
        have[f"{view} {sequence}"] = set(found["study_key"])
    have["late enhancement"] = set(index[index["sequence"] == "lge"]["study_key"])
    lacking = {"a report": int((~studies["has_report"]).sum())}
    lacking |= {name: int((~studies["study_key"].isin(keys)).sum()) for name, keys in have.items()}
    for name in ("diagnosis", "sex", "age_band", "lvef", "rvef", "lvedvi", "days_since_first"):
        if name in studies:
            empty = studies[name].isna() | (studies[name].astype(str) == "")
            lacking[name] = int(empty.sum())
    share = [count / max(1, len(studies)) for count in lacking.values()]
    return pd.DataFrame({"section": "missing", "item": list(lacking), "count": list(lacking.values()), "share": share})


def _same(studies: pd.DataFrame) -> pd.DataFrame:
    """How many reports are not alone in saying what they say, in three senses; shares are of all reports."""
    told = studies[studies["has_report"]]
    alike = [int(told[name].duplicated(keep=False).sum()) for name in SAME_IN]
    share = [count / max(1, len(told)) for count in alike]
    return pd.DataFrame({"section": "same", "item": list(SAME_IN.values()), "count": alike, "share": share})


def card_table(
    studies: pd.DataFrame, index: pd.DataFrame, counts: Mapping[str, Mapping[str, int]], rejects: pd.DataFrame
) -> pd.DataFrame:
    """The card's numbers: one row an item (COLUMNS); shares are of the section's whole."""
    parts = [
        pd.DataFrame(
            {"section": level, "item": list(known), "count": list(known.values()), "share": float("nan")},
        )
        for level, known in counts.items()
        if level in ("files", "studies", "reports")
    ]
    parts += [_count(name, studies[name]) for name in ("split", "vendor", "field_strength_t", "sex", "age_band")]
    parts += [_count(name, index[name]) for name in ("view", "sequence")]
    parts += [_count("diagnosis", studies["diagnosis"])] if "diagnosis" in studies else []
    parts += [_missing(studies, index), _same(studies), _count("rejects", rejects["code"])]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


# --- writing ----------------------------------------------------------------------------------------------------
def _section(table: pd.DataFrame, name: str) -> list[str]:
    rows = table[table["section"] == name]
    if rows.empty:
        return []
    lines = [f"| {row.item} | {row.count:,} | {100 * row.share:.1f} % |" for row in rows.itertuples(index=False)]
    return ["", f"## {HEADINGS[name]}", "", "| | n | share |", "|---|---|---|", *lines]


def _conservation(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    lines = ["", "## What was found", "", "| level | found | accepted | rejected | ignored |", "|---|---|---|---|---|"]
    for level in ("files", "studies", "reports"):
        known = counts[level]
        cells = (f"{known.get(name, 0):,}" for name in ("found", "accepted", "rejected", "ignored"))
        lines.append(f"| {level} | {' | '.join(cells)} |")
    return [*lines, "", "found = accepted + rejected + ignored, at every level."]


def _turned_away(table: pd.DataFrame) -> list[str]:
    rows = table[table["section"] == "rejects"]
    if rows.empty:
        return ["", "## Turned away, ignored or repaired", "", "Nothing."]
    lines = [f"| {row.item} | {CODES[row.item]} | {row.count:,} |" for row in rows.itertuples(index=False)]
    head = ["", "## Turned away, ignored or repaired", "", "| code | meaning | n |", "|---|---|---|"]
    return [*head, *lines]


def card_text(origin: Origin, table: pd.DataFrame, counts: Mapping[str, Mapping[str, int]], patients: int) -> str:
    """The card in Markdown."""
    known = counts["studies"]
    lines = [f"# Data card: {origin.title}", ""]
    lines.append(f"{known['accepted']:,} studies of {patients:,} patients, {counts['clips']['clips']:,} clips.")
    lines += [f"Figures made of it say “{origin.note}”.", ""]
    lines += [f"**Licence.** {origin.licence}."]
    lines += [f"**Cite.** {origin.citation}."] if origin.citation else []
    lines += _conservation(counts)
    for name in HEADINGS:
        lines += _section(table, name)
    return "\n".join([*lines, *_turned_away(table)]) + "\n"


def as_record(origin: Origin) -> dict[str, Any]:
    """What cohort.json holds."""
    return asdict(origin)
