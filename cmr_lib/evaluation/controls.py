"""Does the model look, and at what? Its images and reports are altered at test time, and the loss is measured.

The model is not trained again; probes are fitted on the unaltered training studies and read the altered test studies:
- `image_blanked`: all images black: what is left is which views there are and where they lie;
- `single_frame`: one end-diastolic image of the middle short-axis slice, all others masked;
- `ed_frozen`: every clip stands still at end-diastole: still hearts of the right size;
- `frame_shuffled`: the images of each clip out of order, the same images at wrong phases: the mean of `SHUFFLES` draws;
- `report_blanked`: every word of a report unknown, so that only its length is left (retrieval alone reads reports);
- `…_refitted`: the same, by probes fitted on training studies altered in the same way. A heart that never moves is one
  that no probe has met, and it errs more than it must: this row says what is no longer there to be read.
Each stands beside `unaltered` and as the difference to it, paired on the same studies. Whether the cohort holds what
only the order of frames tells is asked of a linear reader of all phases (evaluation.cine_order), in and out of order.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from tqdm import tqdm

from cmr_lib import labels, project
from cmr_lib.clips import dataset
from cmr_lib.evaluation import alterations, baselines, cine_order, embed, embeddings, harness, retrieval, statistics
from cmr_lib.evaluation.harness import MINUS, Features, Target
from cmr_lib.evaluation.material import Material, Settings
from cmr_lib.evaluation.probes import Probe, apply_probe
from cmr_lib.models import pretrained
from cmr_lib.types import Split

NAME = "controls"
TRUE, FROZEN, SHUFFLED, REFITTED = "unaltered", "ed_frozen", "frame_shuffled", "_refitted"
IN_ORDER, OUT_OF_ORDER = "cine_in_order", "cine_out_of_order"
SHUFFLES = 4
RECALL_AT = 10
GRID_PX, COMPONENTS = 8, 128  # of the reader of all phases; chosen on validation (64 components lose the timing)
Rows = Int[np.ndarray, " rows"]
Columns = Float[np.ndarray, "studies _"]
Versions = Mapping[str, list[Features]]  # embeddings of the same studies; several where it was drawn several times


# --- what is asked -----------------------------------------------------------------------------------------------
def timing_targets(studies: pd.DataFrame) -> list[Target]:
    """What the order of frames alone tells: walls that do not contract together, who leads, and slow filling.

    Which wall leads can be read by a linear probe of the images; that one does, whichever it is, cannot.
    """
    delay, filling = (
        studies.get(name, pd.Series(np.nan, index=studies.index)).to_numpy(dtype=float)
        for name in ("septal_delay_ms", "half_filling_share")
    )
    asked = {
        "dyssynchrony": (delay, np.abs(delay) >= labels.DELAY_MS),
        "septum_leads": (delay, delay >= labels.DELAY_MS),
        "slow_relaxation": (filling, filling >= labels.SLOW_FILLING_SHARE),
    }
    return [
        Target(name, "all", "finding", np.where(np.isfinite(known), true, np.nan), ("absent", "present"), 0.5)
        for name, (known, true) in asked.items()
    ]


def probe_of(target: Target, material: Material, features: Features, settings: Settings) -> Probe | None:
    """The target's probe on these features of all studies; None where training or validation studies are all alike."""
    known = np.isfinite(target.true) & np.isfinite(features).all(axis=1)
    train, validation = (rows[known[rows]] for rows in map(material.rows, (Split.TRAIN, Split.VALIDATION)))
    if min(len(np.unique(target.true[rows])) for rows in (train, validation)) < 2:
        return None
    return harness.fit(target, features, train, validation, settings.probe)


# --- what is shown -----------------------------------------------------------------------------------------------
class Eye:
    """The trained model, and the studies that it looks at through an alteration."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.model, self.tokenizer = pretrained.from_pretrained(material.root / "pretrain" / "model")

    def see(self, rows: Rows, alter: alterations.Alteration) -> Features:
        """Embeddings of these studies; all other rows of the table, and studies without any image, are NaN."""
        keys = self.material.studies["study_key"].iloc[rows].tolist()
        having = np.isin(keys, dataset.with_any_image(self.material.clips, keys, self.material.plan))
        shown = [key for key, there in zip(keys, having, strict=True) if there]
        found = np.full((len(self.material.studies), self.model.config.embed_dim), np.nan)
        studies = alterations.Altered(self.material.clips, shown, self.material.plan, alter)
        found[rows[having]] = embed.embed_studies(self.model, studies, self.material.plan.crop_px)
        return found

    def hidden_reports(self, rows: Rows) -> Features:
        """Embeddings of these studies' reports with every word unknown: only the number of tokens is left."""
        texts = [self.material.texts[row] for row in rows]
        lengths = [len(self.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        unknown = [" ".join([self.tokenizer.unk_token] * length) for length in lengths]
        return embed.embed_texts(self.model, self.tokenizer, unknown).astype(float)


def versions(eye: Eye, test: Rows, seed: int) -> tuple[Versions, Mapping[str, Features]]:
    """Test studies under every alteration; and, for what is refitted, training and validation studies altered alike."""
    material = eye.material
    draws = [project.seed_for(seed, "frame shuffle", draw) for draw in range(SHUFFLES)]
    shuffles = [partial(alterations.out_of_order, seed=draw) for draw in draws]
    one = np.full((len(material.studies), eye.model.config.embed_dim), np.nan)
    keys = material.studies["study_key"].iloc[test].tolist()
    one[test] = baselines.embedded(eye.model, material.clips, keys, baselines.one_frame_plan(material.plan))
    seen = {
        TRUE: [eye.see(test, lambda study: study)],
        "image_blanked": [eye.see(test, alterations.blank)],
        "single_frame": [one],
        FROZEN: [eye.see(test, alterations.frozen)],
        SHUFFLED: [eye.see(test, alter) for alter in shuffles],
    }
    learned = np.concatenate([material.rows(Split.TRAIN), material.rows(Split.VALIDATION)])
    again = {FROZEN: eye.see(learned, alterations.frozen), SHUFFLED: eye.see(learned, shuffles[0])}
    return seen, again


# --- what it costs -----------------------------------------------------------------------------------------------
def compare(
    place: dict, shown: Mapping[str, Columns], patients: pd.Series, statistic: statistics.Statistic, settings: Settings
) -> list[dict]:
    """A row for each version and for its difference to the first one; columns of all draws side by side."""
    first, rows = next(iter(shown)), []
    for name, one in shown.items():
        rows.append(harness.row({**place, "model": name}, one, patients, statistic, settings))
    for name, one in list(shown.items())[1:]:
        where, wide = {**place, "model": f"{name}{MINUS}{first}"}, _as_wide(shown[first], one)
        rows.append(harness.difference_row(where, one, wide, patients, statistic, settings))
    return rows


def _as_wide(values: Columns, other: Columns) -> Columns:
    """Columns repeated until there are as many as the other has: the same number for every draw."""
    return np.tile(values, other.shape[1] // values.shape[1])


def said(target: Target, probe: Probe, seen: list[Features], each_class: bool = False) -> Columns:
    """(true, answer) of every draw side by side, or (is it, probability) of every class; NaN where nothing was seen."""

    def one(features: Features) -> list[Columns]:
        if not each_class:
            return [np.stack([target.true, harness.answer(target, probe, features)], axis=1)]
        chances = apply_probe(features, probe).T
        is_it = [(target.true == target.outputs.index(name)).astype(float) for name in probe.outputs]
        return [np.stack(pair, axis=1) for pair in zip(is_it, chances, strict=True)]

    return np.concatenate(
        [np.where(np.isfinite(draw).all(axis=1, keepdims=True), pair, np.nan) for draw in seen for pair in one(draw)],
        axis=1,
    )


def target_rows(
    target: Target, material: Material, seen: Versions, again: Mapping[str, Features], settings: Settings
) -> list[dict]:
    """One target read off every version; nothing where it cannot be learned."""
    probe = probe_of(target, material, material.image, settings)
    if probe is None:
        return []
    readings = {name: (probe, draws) for name, draws in seen.items()}
    for name, features in again.items():
        refitted = probe_of(target, material, features, settings)
        readings |= {name + REFITTED: (refitted, seen[name][:1])} if refitted else {}
    patients, rows = material.studies["patient_key"], []
    asked = [(target.metric, target.chance, statistics.over_pairs(target.statistic), False)]
    asked += [("macro_auroc", 0.5, harness.mean_auroc, True)] if target.kind == "classes" else []
    for metric, chance, statistic, each_class in asked:
        shown = {name: said(target, *reading, each_class) for name, reading in readings.items()}
        place = {"target": target.name, "stratum": target.stratum, "metric": metric, "chance": chance}
        rows += compare(place, shown, patients, statistic, settings)
    return rows


def order_rows(targets: Sequence[Target], material: Material, test: Rows, settings: Settings) -> list[dict]:
    """What a linear reader of all phases of the middle cine makes of frames in order, and out of order."""
    keys, train = material.studies["study_key"].tolist(), material.rows(Split.TRAIN)
    images, rows = cine_order.unrolled(material.clips, keys, GRID_PX), []
    draws = [project.seed_for(settings.seed, "cine order", draw) for draw in range(SHUFFLES)]
    model = cine_order.fit_components(images, train, COMPONENTS)
    inside, *moved = (
        cine_order.in_components(one, model) for one in (images, *(cine_order.dealt(images, draw) for draw in draws))
    )
    read = {IN_ORDER: [inside], OUT_OF_ORDER: moved}
    for target in targets:
        probe = probe_of(target, material, inside, settings)
        if probe is None:
            continue
        shown = {name: _only(said(target, probe, draws), test) for name, draws in read.items()}
        place = {"target": target.name, "stratum": target.stratum, "metric": target.metric, "chance": target.chance}
        patients = material.studies["patient_key"]
        rows += compare(place, shown, patients, statistics.over_pairs(target.statistic), settings)
    return rows


def _only(values: Columns, rows: Rows) -> Columns:
    found = np.full_like(values, np.nan)
    found[rows] = values[rows]
    return found


def retrieval_rows(
    seen: Versions, text: Features, hidden: Features, patients: pd.Series, settings: Settings
) -> list[dict]:
    """Recall@10 of the study's own report in the gallery of all, by images and by reports altered.

    A study without an image under an alteration is level with every report.
    """

    def hits(image: Features, reports: Features) -> Float[np.ndarray, " studies"]:
        return retrieval.embedding_places(np.nan_to_num(image), reports).hits(RECALL_AT)

    shown = {name: np.stack([hits(one, text) for one in draws], axis=1) for name, draws in seen.items()}
    shown["report_blanked"] = hits(seen[TRUE][0], hidden)[:, None]
    place = {"target": "image_to_report", "stratum": f"gallery of {len(text)}", "metric": f"recall_at_{RECALL_AT}"}
    place["chance"] = min(1.0, RECALL_AT / len(text))
    return compare(place, shown, patients, statistics.mean_of_all, settings)


def run(material: Material, settings: Settings) -> pd.DataFrame:
    """The experiment: a tidy table (harness.COLUMNS). A cost is `altered_minus_unaltered`."""
    eye, test = Eye(material), material.rows(Split.TEST)
    seen, again = versions(eye, test, settings.seed)
    wanted, timing = harness.targets(material.studies)[1:], timing_targets(material.studies)  # but ACDC's five classes
    quantities = [target for target in wanted if target.kind == "quantity"]
    rows = []
    for target in tqdm([*wanted, *timing], "probes", unit="target", disable=None):
        rows += target_rows(target, material, seen, again, settings)
    rows += order_rows([*quantities, *timing], material, test, settings)
    told = np.asarray([row for row in test if material.texts[row]])
    text = embeddings.read_embeddings(material.root / "pretrain" / "embeddings").text[told].astype(float)
    some = {name: [one[told] for one in draws] for name, draws in seen.items()}
    patients = material.studies["patient_key"].iloc[told].reset_index(drop=True)
    rows += retrieval_rows(some, text, eye.hidden_reports(told), patients, settings)
    return harness.table(NAME, rows)
