"""Is the evaluation itself sound? What must not be there is looked for, and what must come out at chance is run.

- `leakage`: prints of patients, studies, pictures and reports that two splits of the demo share (evaluation.leakage);
- `planted_leaks`: twenty leaks put among the demo's own studies: an audit that finds nothing has to show that it would;
- `label_shuffle`: labels dealt anew to patients in all splits at once, probes fitted and judged on them. A probe that
  still reads them must have met the patients before: a patient on both sides gives itself away here;
- `pair_shuffle`: each scan's report given to another patient's: recall must be k / N.
The shuffles are drawn `SEEDS` times. Each draw has its interval, and one of twenty such intervals misses chance by
luck; the mean of the draws is the row to judge by.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int
from PIL import Image

from cmr_lib import labels, project
from cmr_lib.clips.store import ClipStore
from cmr_lib.evaluation import embeddings, harness, leakage, lge_shuffle, retrieval, statistics
from cmr_lib.evaluation.harness import Features
from cmr_lib.evaluation.leakage import Prints
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.types import Split, StoredFrames

NAME = "guards"
SEEDS = 20
RECALL_AT = (1, 10)
LEAKS = {"patient": 3, "study": 2, "pixels": 4, "look": 5, "report": 3, "near report": 3}  # planted, of each kind


# --- leaks -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Plant:
    """A leak: the kind, the training study that is repeated, and the key of the validation study that repeats it."""

    kind: str
    source: str
    planted: str


def encoded_again(frames: StoredFrames, random: np.random.Generator) -> StoredFrames:
    """The same pictures through a JPEG of quality 80, a tenth brighter and noisier."""

    def through(frame: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=80)
        return np.asarray(Image.open(file))

    coded = np.stack([through(frame) for frame in frames]).astype(float)
    return np.clip(coded * 1.1 + 6 + random.normal(0, 2, coded.shape), 0, 255).astype(np.uint8)


def _candidates(prints: Prints, split: Split) -> Int[np.ndarray, " rows"]:
    """Studies of a split with a picture and a report of their own words."""
    own = np.asarray([bool(text) and not leakage.is_ready_made(text) for text in prints.reports])
    inside = (prints.studies["split"] == split.value).to_numpy()
    return np.flatnonzero(own & inside & prints.look.any(axis=1))


def plant(prints: Prints, store: ClipStore, seed: int) -> tuple[Prints, list[Plant]]:
    """The cohort and `LEAKS` more: copies of validation studies, each but for one thing that a training study has.

    So every other print of a planted study stands on one side only. Raises ValueError with too few studies for it.
    """
    random, kinds = project.rng(seed, "planted leaks"), [kind for kind, n in LEAKS.items() for _ in range(n)]
    rows = [_candidates(prints, split) for split in (Split.TRAIN, Split.VALIDATION)]
    if min(len(one) for one in rows) < len(kinds):
        raise ValueError(f"{len(kinds)} leaks want as many training and validation studies, got {[*map(len, rows)]}.")
    sources, hosts = (random.permutation(one)[: len(kinds)] for one in rows)
    studies, pixels, look, reports, plants = [], list(prints.pixels), [prints.look], list(prints.reports), []
    for number, (kind, source, host) in enumerate(zip(kinds, sources, hosts, strict=True)):
        row = prints.studies.iloc[host].to_dict() | {"study_key": f"planted-{number:02d}"}
        own, taken = (prints.studies.iloc[source][name] for name in ("study_key", "patient_key"))
        row |= {"patient_key": taken} if kind == "patient" else {"study_key": own} if kind == "study" else {}
        studies.append(row)
        pixels.append(prints.pixels[source] if kind == "pixels" else prints.pixels[host])
        again = encoded_again(store.frames(store.middle_cine(own)), random) if kind == "look" else None
        look.append(prints.look[host][None] if again is None else leakage.look_print(again)[None])
        reports.append(_report(kind, prints.reports[source], prints.reports[host]))
        plants.append(Plant(kind, str(own), str(row["study_key"])))
    table = pd.concat([prints.studies, pd.DataFrame(studies)], ignore_index=True)
    return Prints(table, pixels, np.concatenate(look), reports), plants


def _report(kind: str, source: str, host: str) -> str:
    if kind == "report":
        return source.upper().replace(".", " .")
    return f"Second reading: {source}" if kind == "near report" else host


def leak_rows(prints: Prints, store: ClipStore, seed: int) -> list[dict]:
    """What the audit finds as the cohort is, and what it names of the planted leaks."""
    n = {"n": len(prints.studies), "n_patients": prints.studies["patient_key"].nunique()}
    place = {"target": "leakage", "model": "splits of the demo", "metric": "shared_prints"}
    counts = leakage.audit(prints).counts
    rows = [{**place, **n, "stratum": row.kind, "value": float(row.pairs)} for row in counts.itertuples()]
    planted, plants = plant(prints, store, seed)
    pairs = leakage.audit(planted).pairs
    named = {(row.kind, row.study, row.other_study) for row in pairs.itertuples()}
    found = [(one.kind, one.source, one.planted) in named for one in plants]
    place = {"target": "planted_leaks", "model": "audit", "metric": "share_named"}
    for kind in ("all", *LEAKS):
        hits = [hit for hit, one in zip(found, plants, strict=True) if kind in ("all", one.kind)]
        low, high = statistics.wilson(sum(hits), len(hits))
        share = {"value": sum(hits) / len(hits), "low": low, "high": high, "n": len(hits), "n_patients": len(hits)}
        rows.append({**place, **share, "stratum": kind})
    return rows


# --- shuffles ----------------------------------------------------------------------------------------------------
def dealt(patients: pd.Series, seed: int) -> Int[np.ndarray, " studies"]:
    """For each study the row whose labels it gets: patients exchange theirs, whatever their splits.

    The j-th study of a patient gets those of the other patient's j-th, counting round where that one has fewer: so two
    studies of a patient stay as alike in their labels as studies of a patient are.
    """
    rows = patients.groupby(patients.to_numpy(), sort=True).indices
    names = list(rows)
    given = np.empty(len(patients), dtype=int)
    for name, other in zip(names, project.rng(seed, "labels").permutation(len(names)), strict=True):
        theirs = rows[names[other]]
        given[rows[name]] = theirs[np.arange(len(rows[name])) % len(theirs)]
    return given


def _judged(material: Material, settings: Settings, seed: int) -> dict[str, list[harness.Answers]]:
    """Answers of probes on shuffled labels: of every finding, and of the diagnosis."""
    names = ["diagnosis", *(name for name in labels.FINDINGS if name in material.studies.columns)]
    given = dealt(material.studies["patient_key"], seed)
    shuffled = material.studies.assign(**{name: material.studies[name].to_numpy()[given] for name in names})
    targets = [harness.every_diagnosis_target(shuffled), *(harness.finding_target(shuffled, one) for one in names[1:])]
    found = [harness.answers(one, material.image, shuffled["split"], settings.probe) for one in targets]
    common = [one for one in found[1:] if harness.common(one)]
    return {"findings_mean": common, "diagnosis": found[:1]}


def label_rows(material: Material, settings: Settings) -> list[dict]:
    """AUROC of the findings and balanced accuracy of the diagnosis, by draw and as the mean of all."""
    draws = [_judged(material, settings, project.seed_for(settings.seed, "label shuffle", n)) for n in range(SEEDS)]
    classes = material.studies.loc[material.rows(Split.TRAIN), "diagnosis"].nunique()
    metrics = {"findings_mean": ("auroc", 0.5), "diagnosis": ("balanced_accuracy", 1 / classes)}
    rows = []
    for task, (metric, chance) in metrics.items():
        statistic = statistics.over_pairs(getattr(statistics, metric))
        place = {"target": "label_shuffle", "model": task, "metric": metric, "chance": chance}
        joined = [np.concatenate(draw[task], axis=1) for draw in draws if draw[task]]
        if not joined:  # no finding has cases enough on both sides
            continue
        for stratum, values in [*((f"draw {n + 1}", one) for n, one in enumerate(joined)), ("mean", None)]:
            values = np.concatenate(joined, axis=1) if values is None else values
            where = {**place, "stratum": stratum}
            rows.append(harness.row(where, values, material.studies["patient_key"], statistic, settings))
    return rows


def pair_rows(image: Features, text: Features, patients: Sequence[str], settings: Settings) -> list[dict]:
    """Recall of a report that belongs to another patient; rows are test studies with a report."""
    seeds = [project.seed_for(settings.seed, "pair shuffle", n) for n in range(SEEDS)]
    found = [retrieval.embedding_places(image, text, own=lge_shuffle.derangement(patients, seed)) for seed in seeds]
    rows = []
    for k in RECALL_AT:
        place = {"target": "pair_shuffle", "model": "image_to_report", "metric": f"recall_at_{k}"}
        chance = min(1.0, k / len(text))
        hits = np.stack([one.hits(k) for one in found], axis=1)
        for stratum, values in [*((f"draw {n + 1}", hits[:, [n]]) for n in range(SEEDS)), ("mean", hits)]:
            sampling = settings.bootstrap, settings.seed
            numbers = statistics.summarise(values, list(patients), statistics.mean_of_all, *sampling, is_share=True)
            rows.append({**place, "stratum": stratum, "chance": chance, **numbers})
    return rows


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """The experiment: a tidy table (harness.COLUMNS)."""
    prints = leakage.prints_of(material.clips, material.studies, material.texts)
    rows = leak_rows(prints, material.clips, settings.seed)
    rows += label_rows(material, settings)
    test = np.asarray([row for row in material.rows(Split.TEST) if material.texts[row]])
    table = embeddings.read_embeddings(material.root / "pretrain" / "embeddings")
    owners = material.studies["patient_key"].iloc[test].tolist()
    rows += pair_rows(table.image[test].astype(float), table.text[test].astype(float), owners, settings)
    return harness.table(NAME, rows)
