"""Does each part of the method earn its place? Trainings that differ from a reference in one thing.

The reference is the demo's training, shortened (experiments/params.yaml says how) so that all rows fit into an hour or
two: a difference that only long training shows is not seen here. Judged on the validation split. What was expected of
every row, and by which number it is judged, was written down before it was run.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cmr_lib import params
from cmr_lib.evaluation import harness
from cmr_lib.evaluation.harness import MINUS
from cmr_lib.evaluation.material import Settings
from cmr_lib.trials import judge, pool
from cmr_lib.trials.cohort import Cohort
from cmr_lib.trials.judge import Columns
from cmr_lib.trials.settings import REFERENCE, Ablations, Row, Trials
from cmr_lib.trials.trial import Trial
from cmr_lib.types import Split

NAME = "ablations"
WORKERS, THREADS = 2, 1
FIRST = Row(
    name=REFERENCE, group=REFERENCE, judge="image_to_report", expect="same", why="What the others are held against."
)


def rows_of(how: Ablations) -> list[Row]:
    """The reference, then the others."""
    return [FIRST, *how.rows]


def settings_of(row: Row, how: Ablations, base: Mapping[str, Any], seed: int) -> params.Pretrain:
    """Parameters of one training. Raises ParameterError for a change that the schema does not know."""
    values = params.merge(params.merge(dict(base), how.reference), row.change)
    places = {"out_dir": "", "in_root": "", "seed": seed + row.shift}
    return params.check("pretrain", values | places)


def trials_of(how: Ablations, base: Mapping[str, Any]) -> list[Trial]:
    """Every row with every seed: seeds outside, so that an interruption leaves whole tables of fewer seeds."""
    return [
        Trial(row.name, settings_of(row, how, base, seed), row.missing) for seed in how.seeds for row in rows_of(how)
    ]


def compare(
    cohort: Cohort, found: Mapping[str, Mapping[str, Columns]], how: Ablations, draws: Settings
) -> pd.DataFrame:
    """Each row's five numbers, and each minus those of what it is held against. `found`: columns by row and target."""
    judged = judged_studies(cohort)
    table, patients = [], judged["patient_key"].reset_index(drop=True)
    for measure in judge.measures(judged, how.recall_at, how.gallery_size):
        for row in rows_of(how):
            mine, place = found[row.name][measure.target], {"stratum": row.group}
            table.append(judge.number({**place, "model": row.name}, measure, mine, patients, draws))
            for other in sorted({REFERENCE, row.against} - {row.name}):
                pair = mine, found[other][measure.target]
                place = {"stratum": row.group, "model": f"{row.name}{MINUS}{other}"}
                table.append(judge.difference(place, measure, pair, patients, draws))
    return pd.DataFrame(table).assign(experiment=NAME, data=harness.PHANTOM)[judge.COLUMNS]


def judged_studies(cohort: Cohort) -> pd.DataFrame:
    """Validation studies with a report."""
    inside = (cohort.studies["split"] == Split.VALIDATION.value) & cohort.studies["study_key"].isin(
        cohort.reports.index
    )
    return cohort.studies[inside]


def run(root: Path, draws: Settings, trials: Trials, folder: Path) -> pd.DataFrame:
    """Train what is not trained yet, judge all; a tidy table (judge.COLUMNS)."""
    how, cohort = trials.ablations, Cohort.read(root)
    asked = trials_of(how, params.read_yaml("params/demo/pretrain.yaml"))
    results = pool.run(asked, root, folder, WORKERS, THREADS)
    penalties, judged = judge.Penalties(how.strength, how.ridge), pd.Index(judged_studies(cohort)["study_key"])
    found: dict[str, list[dict[str, Columns]]] = {}
    for trial, result in zip(asked, results, strict=True):
        one = judge.answers(result, cohort.studies, judged, penalties, how.recall_at, how.gallery_size)
        found.setdefault(trial.name, []).append(one)
    return compare(cohort, {name: judge.side_by_side(seeds) for name, seeds in found.items()}, how, draws)


# --- what came ---------------------------------------------------------------------------------------------------
def came(difference: pd.Series, sign: int) -> str:
    """Better | worse where the interval leaves out 0 and every seed says so; otherwise "no difference seen"."""
    low, high = sorted((sign * difference["low"], sign * difference["high"]))
    worst, best = sorted((sign * difference["lowest_seed"], sign * difference["highest_seed"]))
    if low > 0 and worst > 0:
        return "better"
    return "worse" if high < 0 and best < 0 else "no difference seen"


def page(results: pd.DataFrame, trials: Trials) -> str:
    """The table to read: a line a row, in Markdown."""
    table, lines = results.set_index(["target", "model"]), [_head(results, trials.ablations)]
    for row in rows_of(trials.ablations):
        numbers = [f"{table.loc[(target, row.name), 'value']:.3g}" for target in judge.SIGNS]
        verdict = _verdict(row, table) if row.name != REFERENCE else ["", "", "", ""]
        lines.append("| " + " | ".join([row.group, f"`{row.name}`", *numbers, *verdict, row.why]) + " |")
    return "\n".join(lines) + "\n"


def _verdict(row: Row, table: pd.DataFrame) -> list[str]:
    """By what the row is judged, its difference with the interval, what was expected, what came."""
    gap = table.loc[(row.judge, f"{row.name}{MINUS}{row.against}")]
    said = f"{gap['value']:+.3g} ({gap['low']:+.3g} to {gap['high']:+.3g})"
    against = "" if row.against == REFERENCE else f" against `{row.against}`"
    return [f"{row.judge}{against}", said, row.expect, f"**{came(gap, judge.SIGNS[row.judge])}**"]


NUMBERS = ("image → report", "report → image", "diagnosis", "LVEF", "LGE")
HEADS = ("group", "row", *NUMBERS, "judged by", "difference", "expected", "came", "why")


def _head(results: pd.DataFrame, how: Ablations) -> str:
    """What the table is of, and its first lines."""
    first = results.iloc[0]
    chances = results[results["model"] == REFERENCE].set_index("target")["chance"]
    said = ", ".join(f"{chances[target]:.3g}" for target in judge.SIGNS)
    return f"""# Ablations (synthetic phantom)

Made by `make experiments`; every number with its interval stands in `results.csv`. n = {first.n} validation studies
with a report, of {first.n_patients} patients, fewer where a row leaves studies without any image; each number is the
mean of {len(how.seeds)} seeds. The reference is the demo's training with `{how.reference}`, on all training studies.

Both directions: recall at {how.recall_at} in galleries of {how.gallery_size}. Diagnosis: balanced accuracy, eight
classes. LVEF: mean absolute error in points, less is better. LGE: AUROC of its presence. Chance, in this order: {said}.

Difference: paired by study and by seed, 95 % by patient, the seeds taken as they are. "better" and "worse" are said
where the interval leaves out 0 and every seed agrees; of {len(how.rows)} rows about one would do so by luck.

| {" | ".join(HEADS)} |
{"|---" * len(HEADS)}|"""
