"""What notebook 08 sets side by side: published numbers and ours, experiments that were run, the card of the weights.

Nothing is computed here. A cell says its n, its interval where there is one, and where it comes from; a number that we
have not read says so with its link.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from cmr_lib.evaluation.results import CMRFORMER, PUBLISHED, Published

PAIRED = ["published", "ours", "why they cannot be compared as numbers"]
EXPERIMENT = ["experiment", "target", "stratum", "model", "metric", "value", "low", "high", "n", "chance"]
LIMITS = "**Known limits.**"  # of the model card: the results stand before it


def in_cell(row: Mapping[str, object], digits: int = 3) -> str:
    """`0.826 (0.772 to 0.879; chance 0.200; n = 271)`: a number as a cell shows it; "n = 0" where there is none."""
    if pd.isna(row["value"]):
        return "n = 0"
    parts = [f"{row['low']:.{digits}f} to {row['high']:.{digits}f}"] if not pd.isna(row["low"]) else []
    parts += [f"chance {row['chance']:.{digits}f}"] if not pd.isna(row["chance"]) else []
    parts.append(f"n = {row['n']}")
    return f"{row['value']:.{digits}f} ({'; '.join(parts)})"


def _published(entry: Published) -> str:
    if entry.value is None:
        return f"{entry.who}, {entry.metric}: not read by us, {CMRFORMER}"
    return f"{entry.who}, {entry.metric}: {entry.value:.3f}, n = {entry.n}, {entry.data} [{entry.source}]"


def side_by_side(ours: pd.DataFrame, data: str, entries: Iterable[Published] = PUBLISHED) -> pd.DataFrame:
    """Published numbers with ours of the same kind beside them, where there is one (PAIRED; `data` names ours).

    ours: rows of `results.our_table`.
    """
    found = {row["metric"]: row for row in ours.to_dict("records")}
    rows = []
    for entry in entries:
        here = f"{entry.ours}: {in_cell(found[entry.ours])}" if entry.ours in found else "–"
        rows.append((_published(entry), here, entry.note))
    return pd.DataFrame(rows, columns=PAIRED).rename(columns={"ours": f"ours, {data}"})


def experiments(folder: Path | str | None) -> pd.DataFrame:
    """Every results.csv below the folder (EXPERIMENT), in the order of names; empty where there is none."""
    files = sorted(Path(folder).glob("*/results.csv")) if folder else []
    tables = [pd.read_csv(file).reindex(columns=EXPERIMENT).assign(experiment=file.parent.name) for file in files]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=EXPERIMENT)


def filled_card(card: str, ours: pd.DataFrame, names: Mapping[str, str], data: str) -> str:
    """The model card with what its weights reached: a line for each of `names` (metric → words) that was measured.

    Raises ValueError for a card without the heading that the results stand before.
    """
    if LIMITS not in card:
        raise ValueError(f"The model card has no heading {LIMITS}: the stage pretrain writes it.")
    found = {row["metric"]: row for row in ours.to_dict("records")}
    lines = [f"- {words}: {in_cell(found[name])}" for name, words in names.items() if name in found]
    told = "\n".join(lines) or "- nothing could be measured."
    section = f"**How it did** ({data}; test patients, 95 % intervals by patient).\n\n{told}\n\n"
    return card.replace(LIMITS, section + LIMITS, 1)
