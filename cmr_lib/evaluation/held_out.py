"""The test split, behind one door that writes down who came.

Whatever is measured on test studies asks here for their rows, and each asking is a line in a log (`LOG`, a JSON object
a line: when, who, how many studies). Whoever tries a second idea after a look at the first result has read the test
split twice, and the count says so. The log is no output: git and DVC ignore it, it names no study, and nothing is ever
computed from it. No other code picks test studies (`tests/test_evaluation_held_out.py` searches for it).
"""

import datetime
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from cmr_lib.types import Split

LOG = Path(".ws/test_split_readings.jsonl")  # below the working folder: the repository, or a profile's copy of it
LOG_VARIABLE = "CMR_TEST_SPLIT_LOG"  # another place for the log
NAMES = tuple(split.value for split in Split)  # in the order of `three`
COLUMNS = ["reader", "readings", "studies", "last"]


def log_path() -> Path:
    """Where readings are written down."""
    return Path(os.environ.get(LOG_VARIABLE) or LOG)


def rows(
    splits: Iterable[Any], reader: str, among: Bool[np.ndarray, " studies"] | pd.Series | None = None
) -> Int[np.ndarray, " rows"]:
    """Row numbers of the test studies (`among` some of the rows), after writing down that `reader` asked for them.

    splits: the split's name of each row. reader: who asks, for what. Raises ValueError for an unnamed reader, and
    OSError where the log cannot be written: a test split that is read unseen is what this module is there to prevent.
    """
    if not reader.strip():
        raise ValueError("Whoever reads the test split says who it is: reader is empty.")
    chosen = np.asarray([str(split) == Split.TEST.value for split in splits], dtype=bool)
    found = np.flatnonzero(chosen if among is None else chosen & np.asarray(among, dtype=bool))
    _write_down({"reader": reader, "studies": len(found)})
    return found


def rows_of(
    split: Split, splits: Iterable[Any], reader: str, among: Bool[np.ndarray, " studies"] | None = None
) -> Int[np.ndarray, " rows"]:
    """Row numbers of any split; of the test split through `rows`."""
    if split == Split.TEST:
        return rows(splits, reader, among)
    chosen = np.asarray([str(name) == split.value for name in splits], dtype=bool)
    return np.flatnonzero(chosen if among is None else chosen & among)


def three(
    splits: Iterable[Any], reader: str, among: Bool[np.ndarray, " studies"] | None = None
) -> tuple[Int[np.ndarray, " rows"], ...]:
    """Row numbers of train, validation and test: what a probe is fitted on, chosen on and judged on."""
    names = list(splits)
    return tuple(rows_of(split, names, reader, among) for split in Split)


def _write_down(entry: dict[str, Any]) -> None:
    """One line, in one write, so that two processes do not mix theirs."""
    path = log_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps({"when": when, **entry}) + "\n")


def readings(path: Path | str | None = None) -> pd.DataFrame:
    """The log counted: a row a reader (COLUMNS), most readings first; empty where there is no log."""
    path = log_path() if path is None else Path(path)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if not lines:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.DataFrame([json.loads(line) for line in lines])
    groups = table.groupby("reader", sort=False)
    counted = groups.agg(readings=("reader", "size"), studies=("studies", "max"), last=("when", "max")).reset_index()
    return counted.sort_values(["readings", "reader"], ascending=[False, True], ignore_index=True)[COLUMNS]
