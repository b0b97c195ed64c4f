"""Does the model read "no", and "left" from "right"? A true sentence against the same with one word turned.

For each finding of a study two sentences are made that differ in one thing only: the finding is there or denied
(`negation`), the ventricle is the left or the right one (`laterality`), the scar lies in one coronary territory or
another (`territory`). The study's image embedding is compared with both; it is right if the true one is nearer, and
half right if both are level. A model that never looks at the image always prefers the same sentence: accuracy
is balanced over the sides, so that it scores 0.5.

The module's own reader of reports (`reports.findings`) says what each sentence states: a pair whose two sentences it
reads alike is refused, so that grammar and reader agree on what was turned.

As an experiment (`run`) the trained model reads the pairs of the test studies. Beside them stands the same question in
sentences of other words on either side (`opposite words`: "reduced" against "normal", the prompts of zero-shot
classification): what it gains over a turned word is what the model does not hear in "no" and "not".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib import labels
from cmr_lib.evaluation import embed, harness, statistics
from cmr_lib.evaluation.harness import MINUS
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.models import pretrained
from cmr_lib.reports.findings import sentence_findings
from cmr_lib.types import Split

NAME = "negation"
TURNED, OPPOSITE = "one word turned", "opposite words"
PHENOMENA = ("negation", "laterality", "territory")
COLUMNS = ["phenomenon", "finding", "value", "low", "high", "n", "n_patients", "chance", "note"]
TERRITORIES = ("LAD", "RCA", "LCx")
SIDED = {"lv_dysfunction": "rv_dysfunction", "lv_dilation": "rv_dilation"}
# What a reader writes of a finding, and how the same sentence denies it.
GRAMMAR = {
    "lv_dysfunction": ("Left ventricular function is reduced.", "Left ventricular function is not reduced."),
    "rv_dysfunction": ("Right ventricular function is reduced.", "Right ventricular function is not reduced."),
    "lv_dilation": ("The left ventricle is dilated.", "The left ventricle is not dilated."),
    "rv_dilation": ("The right ventricle is dilated.", "The right ventricle is not dilated."),
    "lv_hypertrophy": ("Left ventricular hypertrophy.", "No left ventricular hypertrophy."),
    "lge": ("Late gadolinium enhancement.", "No late gadolinium enhancement."),
    "wall_motion_abnormality": ("Regional wall motion abnormality.", "No regional wall motion abnormality."),
    "aortic_dilation": ("The aortic root is dilated.", "The aortic root is not dilated."),
    "effusion": ("Pericardial effusion.", "No pericardial effusion."),
    "thrombus": ("Intracardiac thrombus.", "No intracardiac thrombus."),
}
SCAR = "Late gadolinium enhancement in the {} territory."


@dataclass(frozen=True)
class Pair:
    """A sentence that is true of a study and the one that is not; `side` is the answer, for balance."""

    study: int  # row of the table of studies
    phenomenon: str
    finding: str
    side: str
    true: str
    turned: str


def stated(sentence: str) -> frozenset[tuple[str, str, tuple[str, ...]]]:
    """What the reader of reports takes a sentence to say: (finding, status, territories)."""
    return frozenset((found.name, found.status.value, found.territory) for found in sentence_findings(sentence))


def _negations(studies: pd.DataFrame, findings: Sequence[str], grammar: Mapping[str, tuple[str, str]]) -> list[Pair]:
    pairs = []
    for name in findings:
        if name not in grammar:
            raise ValueError(f"The grammar has no sentence for {name}; it knows {', '.join(grammar)}.")
        if name not in studies.columns:
            continue
        present, absent = grammar[name]
        for row, value in enumerate(studies[name].to_numpy(dtype=float)):
            if value == 1:
                pairs.append(Pair(row, "negation", name, "present", present, absent))
            elif value == 0:
                pairs.append(Pair(row, "negation", name, "absent", absent, present))
    return pairs


def _lateralities(studies: pd.DataFrame) -> list[Pair]:
    """Studies in which one ventricle has the finding and the other has not."""
    pairs = []
    for left, right in SIDED.items():
        if left not in studies.columns or right not in studies.columns:
            continue
        name, sentences = left.removeprefix("lv_"), (GRAMMAR[left][0], GRAMMAR[right][0])
        for row, (one, other) in enumerate(studies[[left, right]].to_numpy(dtype=float)):
            if {one, other} == {0.0, 1.0}:
                side, order = ("left", sentences) if one == 1 else ("right", sentences[::-1])
                pairs.append(Pair(row, "laterality", name, side, *order))
    return pairs


def _territories(studies: pd.DataFrame) -> list[Pair]:
    """Studies with a scar in one territory, against each of the others."""
    if "territory" not in studies.columns:
        return []
    return [
        Pair(row, "territory", "lge", own, SCAR.format(own), SCAR.format(other))
        for row, own in enumerate(studies["territory"].astype(str))
        for other in TERRITORIES
        if own in TERRITORIES and other != own
    ]


def pairs_of(studies: pd.DataFrame, findings: Sequence[str] = labels.FINDINGS) -> list[Pair]:
    """All pairs that can be made of a table of studies (0/1 columns of findings; `territory`, a code).

    Findings that the table does not have make no pair. Raises ValueError for a finding without a sentence, and when
    the reader of reports takes both sentences of a pair for the same.
    """
    pairs = [*_negations(studies, findings, GRAMMAR), *_lateralities(studies), *_territories(studies)]
    for true, turned in sorted({(pair.true, pair.turned) for pair in pairs}):
        if stated(true) == stated(turned):
            raise ValueError(f"The reader of reports takes two sentences for the same: {true!r} and {turned!r}.")
    return pairs


def sentences(pairs: Sequence[Pair]) -> list[str]:
    """Every sentence of the pairs once, sorted: what is to be embedded."""
    return sorted({text for pair in pairs for text in (pair.true, pair.turned)})


def score(
    pairs: Sequence[Pair],
    image: Float[np.ndarray, "studies embed"],
    text: Float[np.ndarray, "sentences embed"],
) -> Float[np.ndarray, " pairs"]:
    """1 where the true sentence is nearer to the image, ½ where both are level, 0 else.

    text: embeddings of `sentences(pairs)`, in that order. Raises ValueError for another number of rows or NaN.
    """
    place = {sentence: row for row, sentence in enumerate(sentences(pairs))}
    if len(text) != len(place):
        raise ValueError(f"{len(place)} sentences but {len(text)} embeddings.")
    if not (np.isfinite(image).all() and np.isfinite(text).all()):
        raise ValueError("The embeddings hold NaN or infinity.")
    similarity = np.round(image.astype(float) @ text.astype(float).T, 6)
    rows = np.asarray([pair.study for pair in pairs], dtype=int)
    true, turned = (
        similarity[rows, np.asarray([place[getattr(pair, name)] for pair in pairs], dtype=int)]
        for name in ("true", "turned")
    )
    return np.where(true > turned, 1.0, np.where(true == turned, 0.5, 0.0))


def balanced(values: Float[np.ndarray, "pairs 2"], weights: statistics.Weights) -> Float[np.ndarray, " samples"]:
    """Mean over the sides of the mean score; columns: number of the side, score. An undrawn side is left out."""
    found = np.stack(
        [
            statistics.mean(values[values[:, 0] == side, 1], weights[:, values[:, 0] == side])
            for side in np.unique(values[:, 0])
        ]
    )
    known = np.isfinite(found)
    total = np.where(known, found, 0.0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full(len(total), np.nan), where=known.any(axis=0))


def accuracy_table(
    pairs: Sequence[Pair],
    scores: Float[np.ndarray, " pairs"],
    patients: Sequence[Any] | pd.Series,
    samples: int,
    seed: int,
) -> pd.DataFrame:
    """Accuracy by phenomenon and by finding within it, balanced over the sides, 95 % intervals by patient (COLUMNS).

    patients: of the studies. A phenomenon without pairs, or with one side only, keeps its row and says so: then a model
    that always answers the same would be right.
    """
    owners = [str(patient) for patient in patients]
    table = pd.DataFrame([(p.phenomenon, p.finding, f"{p.finding} {p.side}", owners[p.study]) for p in pairs],
                         columns=["phenomenon", "finding", "side", "patient"])  # fmt: skip
    rows = []
    for phenomenon in PHENOMENA:
        inside = (table["phenomenon"] == phenomenon).to_numpy()
        for finding in ["all", *sorted(set(table.loc[inside, "finding"]))]:
            chosen = inside & ((table["finding"] == finding).to_numpy() | (finding == "all"))
            place = {"phenomenon": phenomenon, "finding": finding, "chance": 0.5}
            sides, codes = np.unique(table.loc[chosen, "side"].to_numpy(dtype=object).astype(str), return_inverse=True)
            held = table.loc[chosen, "patient"].tolist()
            if len(sides) < 2:
                note = f"{len(held)} pairs with {len(sides)} of the two sides: no accuracy."
                rows.append({**place, "n": len(held), "n_patients": len(set(held)), "note": note})
                continue
            values = np.stack([codes.astype(float), scores[chosen]], axis=1)
            rows.append({**place, **statistics.summarise(values, held, balanced, samples, seed), "note": ""})
    return pd.DataFrame(rows, columns=COLUMNS)


# --- the experiment ----------------------------------------------------------------------------------------------
def said_rows(
    pairs: Sequence[Pair],
    scores: Mapping[str, Float[np.ndarray, " pairs"]],
    studies: pd.DataFrame,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Rows of harness.COLUMNS from the scores of every wording (by its name); where both were asked, the difference."""
    rows, patients = [], studies["patient_key"]
    for model, score_ in scores.items():
        table = accuracy_table(pairs, score_, patients, settings.bootstrap, settings.seed)
        table = table[table["n"] > 0].rename(columns={"phenomenon": "target", "finding": "stratum"})
        rows += table.drop(columns=["note"]).assign(model=model, metric="pair_accuracy").to_dict(orient="records")
    if len(scores) < 2:
        return rows
    owners = pd.Series([str(patients.iloc[pair.study]) for pair in pairs])
    _, sides = np.unique([f"{pair.finding} {pair.side}" for pair in pairs], return_inverse=True)
    first, second = (np.stack([sides.astype(float), one], axis=1) for one in scores.values())
    place = {"target": pairs[0].phenomenon, "stratum": "all", "metric": "pair_accuracy"}
    place["model"] = MINUS.join(scores)
    return [*rows, harness.difference_row(place, first, second, owners, balanced, settings)]


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """The experiment: a tidy table (harness.COLUMNS) over the test studies."""
    test = material.rows(Split.TEST)
    studies, image = material.studies.iloc[test].reset_index(drop=True), material.image[test]
    model, tokenizer = pretrained.from_pretrained(material.root / "pretrain" / "model")

    def scored(pairs: Sequence[Pair]) -> Float[np.ndarray, " pairs"]:
        return score(pairs, image, embed.embed_texts(model, tokenizer, sentences(pairs)))

    pairs = pairs_of(studies)
    turned = [pair for pair in pairs if pair.phenomenon == "negation"]
    opposite = _negations(studies, labels.FINDINGS, labels.FINDING_PROMPTS)
    rows = said_rows(turned, {OPPOSITE: scored(opposite), TURNED: scored(turned)}, studies, settings)
    for phenomenon in PHENOMENA[1:]:
        some = [pair for pair in pairs if pair.phenomenon == phenomenon]
        rows += said_rows(some, {TURNED: scored(some)}, studies, settings) if some else []
    return harness.table(NAME, rows)
