"""How well findings and numbers are read: on the hand-marked sentences and on simulated reports, beside plain NegEx.

python -m tools.measure_reports dev                  # what the rules were made with: prints scores and misses
python -m tools.measure_reports held_out --write     # the frozen half: also writes measured_*.csv beside it
python -m tools.measure_reports first --write        # reports of the first hospital's readers (rules were made with)
python -m tools.measure_reports second --write       # reports of the second hospital's unseen reader
"""

import argparse
import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cmr_lib import project
from cmr_lib.evaluation import statistics
from cmr_lib.reports.findings import Finding, sentence_findings
from cmr_lib.reports.numbers import numbers

FOLDER = Path("tests/data/report_sentences")
ATTRIBUTES = ("severity", "pattern", "territory", "segments", "side")
BOOTSTRAPS, SEED = 2000, 5
Items = set[tuple[str, str]]  # (finding, status)


@dataclass(frozen=True)
class Marked:
    """One sentence with its gold."""

    id: str
    phenomenon: str
    sentence: str
    findings: tuple[tuple[str, str, dict[str, str]], ...]
    numbers: frozenset[str]

    @property
    def items(self) -> Items:
        """Findings with their status."""
        return {(name, status) for name, status, _ in self.findings}


def _gold(cell: str) -> tuple[tuple[str, str, dict[str, str]], ...]:
    rows = []
    for part in filter(None, (piece.strip() for piece in cell.split(";"))):
        name, status, *rest = part.split()
        rows.append((name, status, dict(pair.split("=", 1) for pair in rest)))
    return tuple(rows)


def _parts(cell: str) -> frozenset[str]:
    return frozenset(filter(None, (part.strip() for part in cell.split(";"))))


def marked(half: str) -> list[Marked]:
    """The sentences of a half with their gold."""
    with (FOLDER / f"{half}.csv").open(encoding="utf-8", newline="") as file:
        return [
            Marked(row["id"], row["phenomenon"], row["sentence"], _gold(row["findings"]), _parts(row["numbers"]))
            for row in csv.DictReader(file)
        ]


# --- scores -----------------------------------------------------------------------------------------------------
def _f1(true: float, said: float, right: float) -> tuple[float, float, float]:
    """Precision, recall and F1 from counts of gold items, items said, and items right; NaN where undefined."""
    precision = right / said if said else float("nan")
    recall = right / true if true else float("nan")
    return precision, recall, 2 * right / (true + said) if true + said else float("nan")


def _counts(gold: Sequence[set], said: Sequence[set]) -> np.ndarray:
    """(sentences, 3): gold items, items said, items right."""
    return np.array([(len(a), len(b), len(a & b)) for a, b in zip(gold, said, strict=True)], dtype=float).reshape(-1, 3)


def _scored(counts: np.ndarray, group: str) -> dict[str, object]:
    """One row of the table: precision and recall with Wilson intervals, F1 with a bootstrap over sentences."""
    random = project.rng(SEED, "measure reports", group)
    draws = random.integers(len(counts), size=(BOOTSTRAPS, len(counts)))
    values = [_f1(*counts[draw].sum(axis=0))[2] for draw in draws]
    true, said, right = (int(number) for number in counts.sum(axis=0))
    precision, recall, f1 = _f1(true, said, right)
    intervals = {"precision": statistics.wilson(right, said), "recall": statistics.wilson(right, true)}
    intervals["f1"] = tuple(np.nanpercentile(values, [2.5, 97.5]))
    row: dict[str, object] = {"group": group, "n": len(counts), "items": true}
    for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
        row |= {name: value, f"{name}_low": intervals[name][0], f"{name}_high": intervals[name][1]}
    return row


def _macro(gold: Sequence[Items], said: Sequence[Items], names: Sequence[str]) -> dict[str, object]:
    """Macro-F1 over the findings that occur in the gold."""
    tables = [_counts(_only(gold, name), _only(said, name)) for name in names]
    random = project.rng(SEED, "measure reports", "macro")
    draws = random.integers(len(gold), size=(BOOTSTRAPS, len(gold)))
    values = [_mean([_f1(*table[draw].sum(axis=0))[2] for table in tables]) for draw in draws]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    value = float(np.mean([_f1(*table.sum(axis=0))[2] for table in tables]))
    items = sum(map(len, gold))
    return {"group": "macro over findings", "n": len(gold), "items": items, "f1": value, "f1_low": low, "f1_high": high}


def _mean(values: Sequence[float]) -> float:
    """Mean of what is defined; NaN where nothing is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _only(items: Sequence[Items], name: str) -> list[Items]:
    return [{item for item in one if item[0] == name} for one in items]


def table_of(sentences: Sequence[Marked], said: Sequence[Items], method: str) -> pd.DataFrame:
    """Scores of one method: all, macro, by phenomenon and by finding."""
    gold = [sentence.items for sentence in sentences]
    names = sorted({name for one in gold for name, _ in one})
    rows = [_scored(_counts(gold, said), "all"), _macro(gold, said, names)]
    for phenomenon in project.unique(sentence.phenomenon for sentence in sentences):
        chosen = [place for place, sentence in enumerate(sentences) if sentence.phenomenon == phenomenon]
        rows.append(_scored(_counts([gold[i] for i in chosen], [said[i] for i in chosen]), phenomenon))
    rows += [_scored(_counts(_only(gold, name), _only(said, name)), f"finding {name}") for name in names]
    return pd.DataFrame(rows).assign(method=method)


# --- attributes and numbers -------------------------------------------------------------------------------------
def attributes(finding: Finding) -> dict[str, str]:
    """The attributes of a finding as the gold writes them, empty ones left out."""
    shown = {
        "severity": finding.severity,
        "pattern": ",".join(sorted(finding.pattern)),
        "territory": ",".join(sorted(finding.territory)),
        "segments": ",".join(map(str, finding.segments)),
        "side": finding.side,
    }
    return {name: value for name, value in shown.items() if value}


def _sorted(wanted: dict[str, str]) -> dict[str, str]:
    return {key: value if key == "segments" else ",".join(sorted(value.split(","))) for key, value in wanted.items()}


def attribute_rows(sentences: Sequence[Marked], found: Sequence[Sequence[Finding]]) -> pd.DataFrame:
    """Of the findings with the right status: how often each attribute is as marked, where either has one."""
    tally = {name: [] for name in ATTRIBUTES}
    for sentence, findings in zip(sentences, found, strict=True):
        for name, status, wanted in sentence.findings:
            for finding in findings:
                if (finding.name, finding.status.value) == (name, status):
                    got, gold = attributes(finding), _sorted(wanted)
                    for key in ATTRIBUTES:
                        if key in got or key in gold:
                            tally[key].append(got.get(key) == gold.get(key))
    rows = []
    for name, hits in tally.items():
        low, high = statistics.wilson(sum(hits), len(hits))
        rows.append(
            {
                "group": f"attribute {name}",
                "items": len(hits),
                "precision": _mean(hits),
                "precision_low": low,
                "precision_high": high,
            }
        )
    return pd.DataFrame(rows).assign(method="rules")


def differences(sentence: Marked, found: Sequence[Finding], got: set[str]) -> Iterable[str]:
    """What differs from the gold, in words."""
    said = {(finding.name, finding.status.value) for finding in found}
    for kind, items in (("missed", sentence.items - said), ("extra", said - sentence.items)):
        if items:
            yield f"{kind} " + ", ".join(" ".join(item) for item in sorted(items))
    for name, status, wanted in sentence.findings:
        for finding in found:
            if (finding.name, finding.status.value) == (name, status) and attributes(finding) != _sorted(wanted):
                yield f"{name}: marked {_sorted(wanted)}, read {attributes(finding)}"
    for kind, numbers_ in (("missed", sentence.numbers - got), ("extra", got - sentence.numbers)):
        if numbers_:
            yield f"number {kind} " + ", ".join(sorted(numbers_))


# --- the two kinds of material ----------------------------------------------------------------------------------
def _negspacy(half: str, sentences: Sequence[Marked]) -> list[Items] | None:
    path = FOLDER / f"negspacy_{half}.csv"
    if not path.is_file():
        return None
    said = pd.read_csv(path, dtype=str, keep_default_na=False)
    by_id = {key: set(zip(rows["finding"], rows["status"], strict=True)) for key, rows in said.groupby("id")}
    return [by_id.get(sentence.id, set()) for sentence in sentences]


def measure_half(half: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and misses on a half of the hand-marked sentences."""
    sentences = marked(half)
    found = [sentence_findings(sentence.sentence) for sentence in sentences]
    read = [{str(number) for number in numbers(sentence.sentence)} for sentence in sentences]
    said = [{(finding.name, finding.status.value) for finding in one} for one in found]
    tables = [table_of(sentences, said, "rules"), attribute_rows(sentences, found)]
    tables.append(
        pd.DataFrame([_scored(_counts([set(s.numbers) for s in sentences], read), "numbers")]).assign(method="rules")
    )
    if (baseline := _negspacy(half, sentences)) is not None:
        tables.append(table_of(sentences, baseline, "negspacy"))
    misses = [
        {"id": sentence.id, "phenomenon": sentence.phenomenon, "sentence": sentence.sentence, "difference": difference}
        for sentence, findings, got in zip(sentences, found, read, strict=True)
        for difference in differences(sentence, findings, got)
    ]
    columns = ["id", "phenomenon", "sentence", "difference"]
    return pd.concat(tables, ignore_index=True), pd.DataFrame(misses, columns=columns)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("material", choices=("dev", "held_out", "first", "second"))
    parser.add_argument("--write", action="store_true", help=f"write measured_*.csv below {FOLDER}")
    parser.add_argument(
        "--label", default="", help="written into the file names; a reported figure is never overwritten"
    )
    chosen = parser.parse_args(arguments)
    if chosen.material in ("dev", "held_out"):
        table, misses = measure_half(chosen.material)
    else:
        from tools.simulated_reports import measure_hospital

        table, misses = measure_hospital(chosen.material)
    first = ["method", "group", "n", "items"]
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    print(table.round(3).to_string(index=False))
    print(misses.to_string(index=False, max_colwidth=120))
    if chosen.write:
        name = f"measured_{chosen.material}{chosen.label and '_' + chosen.label}"
        if chosen.material in ("held_out", "second") and (FOLDER / f"{name}.csv").exists():
            raise SystemExit(f"{name}.csv is a reported figure: it stays. Give a --label for another one.")
        project.write_table(FOLDER / f"{name}.csv", table)
        project.write_table(FOLDER / f"{name}_misses.csv", misses)


if __name__ == "__main__":
    main()
