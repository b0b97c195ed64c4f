"""The questions that notebook 04 puts to a gallery, each with what counts as right, in one tidy table.

Column `right`: `own`, the study's own report or images and nothing else; `same_exact`, `same_near`, `same_clinical`,
any report that says the same in the same words, nearly the same words, or the same findings (`reports.sameness`), so
that a template costs nothing; a diagnosis or a finding, any study that shares it. By finding only studies with it ask.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from cmr_lib import labels, params, project
from cmr_lib.evaluation import ranks, retrieval

IMAGE_TO_IMAGE = "image → image"
SAME = ("same_exact", "same_near", "same_clinical")
COLUMNS = ["question", "right", *ranks.COLUMNS, "note"]
TOP = (10,)  # where a question has many right answers

Embeddings = Float[np.ndarray, "studies embed"]
Present = Bool[np.ndarray, " studies"]


def judged_findings(studies: pd.DataFrame) -> list[str]:
    """Findings that every study of the table was judged for (a public set decides few)."""
    return [name for name in labels.FINDINGS if name in studies and studies[name].notna().all()]


def _having(present: Present, *, apart: bool) -> ranks.Right:
    """Studies that have it ask for others that have it; the rest ask nothing (their number is in no gallery)."""
    return ranks.Right(np.where(present, 1, -1), np.where(present, 1, -2), apart)


def _by_label(studies: pd.DataFrame, *, apart: bool) -> Iterator[tuple[str, ranks.Right]]:
    """(what is shared, who is right) for the diagnosis and each finding of the studies."""
    named = studies["diagnosis"].to_numpy() != ""
    if named.any():
        codes = pd.factorize(studies["diagnosis"])[0]
        yield "diagnosis", ranks.Right(np.where(named, codes, -1), np.where(named, codes, -2), apart)
    for name in judged_findings(studies):
        yield name, _having(studies[name].to_numpy(dtype=float) > 0, apart=apart)


def _answerable(right: ranks.Right) -> bool:
    counts = np.asarray([(right.gallery == number).sum() for number in np.unique(right.queries)])
    return bool((counts > int(right.apart)).any())


def _rows(
    question: str, name: str, found: ranks.Found, patients: Sequence[Any], settings: params.Retrieval, at: Sequence[int]
) -> pd.DataFrame:
    table = ranks.rank_table(found, patients, settings.bootstrap, settings.seed, at)
    return table.assign(question=question, right=name, note="")[COLUMNS]


def _none(question: str, name: str, n: int) -> pd.DataFrame:
    note = f"No two of {n} studies share it: nothing to find."
    return pd.DataFrame([{"question": question, "right": name, "metric": "mrr", "n": 0, "note": note}], columns=COLUMNS)


def report_questions(
    image: Embeddings, text: Embeddings, studies: pd.DataFrame, settings: params.Retrieval
) -> tuple[pd.DataFrame, dict[str, ranks.Found]]:
    """Image → report and report → image (COLUMNS), and what strict search found, by direction.

    image, text, studies: rows of the test studies that have a report. No studies give an empty table.
    Raises ValueError for unequal lengths or NaN.
    """
    if not len(studies):
        return pd.DataFrame(columns=COLUMNS), {}
    patients = studies["patient_key"].tolist()
    found = dict(zip(retrieval.DIRECTIONS, ranks.search_pairs(image, text), strict=True))
    parts = [_rows(way, "own", one, patients, settings, settings.recall_at) for way, one in found.items()]
    for way, queries, gallery in ((retrieval.DIRECTIONS[0], image, text), (retrieval.DIRECTIONS[1], text, image)):
        for name in (column for column in SAME if column in studies):
            right = ranks.Right.multi(studies[name].to_numpy())
            one = ranks.search(queries, gallery, right, max(settings.recall_at))
            parts.append(_rows(way, name, one, patients, settings, settings.recall_at))
        parts += _label_parts(way, queries, gallery, studies, settings, apart=False)
    return pd.concat(parts, ignore_index=True), found


def _label_parts(
    question: str,
    queries: Embeddings,
    gallery: Embeddings,
    studies: pd.DataFrame,
    settings: params.Retrieval,
    *,
    apart: bool,
) -> list[pd.DataFrame]:
    parts = []
    for name, right in _by_label(studies, apart=apart):
        if not _answerable(right):
            parts.append(_none(question, name, len(studies)))
            continue
        found = ranks.search(queries, gallery, right, max(TOP))
        parts.append(_rows(question, name, found, studies["patient_key"].tolist(), settings, TOP))
    return parts


def image_questions(image: Embeddings, studies: pd.DataFrame, settings: params.Retrieval) -> pd.DataFrame:
    """Image → image (COLUMNS): does a scan bring up others of its diagnosis, of its findings? Itself is left out."""
    if len(studies) < 2:
        return pd.DataFrame(columns=COLUMNS)
    parts = _label_parts(IMAGE_TO_IMAGE, image, image, studies, settings, apart=True)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def gallery_sizes(n: int) -> list[int]:
    """10, 20, 50, 100, … up to n, and n itself."""
    steps = (factor * 10**power for power in range(1, 6) for factor in (1, 2, 5))
    return [*(size for size in steps if size < n), n]


def gallery_curve(found: dict[str, ranks.Found], studies: pd.DataFrame, settings: params.Retrieval) -> pd.DataFrame:
    """Recall@k by the size of the gallery, of both directions: question, k, gallery, value, low, high, n, chance."""
    patients = studies["patient_key"].tolist()
    parts = [
        ranks.recall_by_gallery(one, patients, settings.recall_at, gallery_sizes(one.first.gallery), settings).assign(
            question=way
        )
        for way, one in found.items()
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["question", *ranks.CURVE])


def question_metrics(table: pd.DataFrame) -> dict[str, dict[str, float | int]]:
    """Rows as entries of metrics.json: MRR, precision and nDCG at 10 everywhere, recall@10 where reports say the same.

    The strict recalls and median ranks are those of `retrieval.retrieval_metrics`. Rows without a number have n = 0.
    """
    metrics = {}
    for row in table.to_dict("records"):
        wanted = row["k"] == 10 and (row["metric"] != "recall_at_k" or row["right"] in SAME)
        if row["metric"] != "mrr" and not (wanted and (row["metric"] != "precision_at_k" or row["right"] != "own")):
            continue
        name = row["metric"] if row["metric"] == "mrr" else row["metric"].replace("_k", "_10")
        key = f"{row['question'].replace(' → ', '_to_')}.{row['right']}.{name}"
        entry = project.estimate(row["value"], n=row["n"], low=row["low"], high=row["high"], chance=row["chance"])
        metrics[key] = entry if pd.isna(row["gallery"]) else entry | {"gallery": int(row["gallery"])}
    return metrics
