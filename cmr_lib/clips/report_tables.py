"""What leaves of a cohort's reports, as tables: scrubbed text, findings, numbers, and which reports say the same."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cmr_lib import labels
from cmr_lib.clips.report_reading import Accepted
from cmr_lib.reports import sameness
from cmr_lib.reports.agreement import agreement, is_said
from cmr_lib.reports.summary import Summary

TEXT = ("study_key", "findings", "impression")
FINDINGS = ("study_key", "finding", "status", "severity", "pattern", "territory", "segments", "side", "read_from")
NUMBERS = ("study_key", "quantity", "value", "high", "unit")
SAME = ("same_exact", "same_near", "same_clinical")  # group numbers; -1: no report
SAID = tuple(f"said_{name}" for name in labels.FINDINGS)  # present | absent | uncertain | historical | "" (not said)


def _joined(values: tuple[object, ...]) -> str:
    return ";".join(str(value) for value in values)


def text_table(accepted: Mapping[str, Accepted]) -> pd.DataFrame:
    """Findings and impression of each report, scrubbed; the other sections are not kept."""
    rows = [(key, one.report.findings, one.report.impression) for key, one in sorted(accepted.items())]
    return pd.DataFrame(rows, columns=list(TEXT))


def _findings(summary: Summary) -> list[tuple[str, ...]]:
    """FINDINGS of one report, without its key."""
    return [
        (name, one.status.value, one.severity, _joined(one.pattern), _joined(one.territory), _joined(one.segments),
         one.side, "words" if one.end else "numbers")
        for name, one in sorted(summary.findings.items())
    ]  # fmt: skip


def findings_of(summary: Summary) -> pd.DataFrame:
    """One row a finding of one report, to look at."""
    return pd.DataFrame(_findings(summary), columns=list(FINDINGS[1:]))


def findings_table(accepted: Mapping[str, Accepted]) -> pd.DataFrame:
    """One row a finding of a report, as the whole report states it; `read_from` is words or numbers."""
    rows = [(key, *row) for key, report in sorted(accepted.items()) for row in _findings(report.summary)]
    return pd.DataFrame(rows, columns=list(FINDINGS))


def numbers_table(accepted: Mapping[str, Accepted]) -> pd.DataFrame:
    """One row a measurement of a report; `high` differs from `value` where a range is written."""
    rows = [
        (key, name, one.value, one.high, one.unit)
        for key, report in sorted(accepted.items())
        for name, one in sorted(report.summary.numbers.items())
    ]
    return pd.DataFrame(rows, columns=list(NUMBERS)).astype({"value": "float64", "high": "float64"})


def _said(summary: Summary, name: str) -> str:
    found = summary.findings.get(name)
    if found is None:
        return ""
    return "absent" if found.severity == "trivial" else found.status.value


def cohort_columns(accepted: Mapping[str, Accepted]) -> tuple[pd.DataFrame, sameness.Sameness]:
    """Columns SAME and SAID by study key, and the groups behind them. A trivial finding counts as absent."""
    keys = sorted(accepted)
    texts = [accepted[key].report.text() for key in keys]
    same = sameness.sameness(texts, [accepted[key].summary for key in keys])
    rows = [[_said(accepted[key].summary, name) for name in labels.FINDINGS] for key in keys]
    table = pd.DataFrame(rows, columns=list(SAID), index=pd.Index(keys, name="study_key", dtype=str), dtype=str)
    for name, groups in zip(SAME, (same.exact, same.near, same.clinical), strict=True):
        table.insert(SAME.index(name), name, groups)
    return table, same


def with_reports(studies: pd.DataFrame, columns: pd.DataFrame) -> pd.DataFrame:
    """The table of studies with the columns of `cohort_columns`: -1 and "" where a study has no report."""
    joined = studies.join(columns, on="study_key")
    joined[list(SAME)] = joined[list(SAME)].fillna(-1).astype("int64")
    joined[list(SAID)] = joined[list(SAID)].fillna("").astype(str)
    return joined


def findings_against_truth(studies: pd.DataFrame) -> pd.DataFrame:
    """`reports.agreement.agreement` over the studies that have a report and a truth; empty where none has both."""
    names = list(labels.FINDINGS)
    if not set(names) <= set(studies.columns):
        return agreement(np.zeros((0, len(names)), bool), np.zeros((0, len(names)), bool), [])
    both = studies[studies["has_report"] & studies[names].notna().all(axis=1)]
    truth = both[names].to_numpy(dtype=float) > 0
    return agreement(truth, is_said(both[list(SAID)]), both["patient_key"].tolist())


def sameness_rates(studies: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Share of reports with another one that says the same, among all and among the `normal` ones: SAME, and n.

    `normal` is a boolean column of the same rows. A report counts as alike where its double is among the same ones.
    """
    told = studies["has_report"]
    rows = {"all reports": told, "reports of normal hearts": told & normal, "all others": told & ~normal}
    return pd.DataFrame(
        {
            name: {"n": int(chosen.sum())}
            | {column: sameness.shared(studies.loc[chosen, column].to_numpy()) for column in SAME}
            for name, chosen in rows.items()
        }
    ).T.astype({"n": int})
