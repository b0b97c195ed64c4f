"""Hearts and reports in one space, ready to be searched: by a phrase, or by a heart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from cmr_lib import params, project
from cmr_lib.clips import dataset, origin, prepare, store
from cmr_lib.evaluation import embed, released
from cmr_lib.ingest import studies
from cmr_lib.models import vocabulary
from cmr_lib.reports import sections
from cmr_lib.simulate import cohort
from cmr_lib.types import Report
from cmr_lib.view.animation import Cine

EXAMPLES = "septal, scar, dilated, effusion"
HEARTS = ("study_key", "findings", "impression")


@dataclass(frozen=True)
class Gallery:
    """Rows of `hearts` and `image` belong together, and those of `reports` and `text`; vectors have length 1."""

    hearts: pd.DataFrame  # study_key; findings and impression of its own report
    image: Float[np.ndarray, "hearts embed"]
    reports: pd.DataFrame  # findings, impression
    text: Float[np.ndarray, "reports embed"]
    cine: Callable[[str], Cine]  # frames of a heart by study key
    embed: Callable[[str], Float[np.ndarray, " embed"]]
    words: frozenset[str]  # that the model has met
    note: str  # whose hearts these are

    def unknown(self, phrase: str) -> tuple[list[str], list[str]]:
        """Words of the phrase that the model has met, and those it has not: only spelled, so they mean nothing."""
        asked = project.unique(word for word in vocabulary.words_of(phrase) if word.isalnum())
        return [word for word in asked if word in self.words], [word for word in asked if word not in self.words]

    def hearts_for(self, phrase: str, k: int = 3) -> pd.DataFrame:
        """The k hearts that lie closest to a phrase: rank, similarity, study_key, findings, impression.

        Raises ValueError for an empty phrase or one of which no word is known.
        """
        known, unknown = self.unknown(phrase)
        if not known:
            what = f"No word of “{phrase.strip()}” is known" if unknown else "Nothing was asked"
            raise ValueError(f"{what}: type words of a report, such as {EXAMPLES}.")
        return _closest(self.image @ self.embed(phrase), self.hearts, k)

    def reports_for(self, study_key: str, k: int = 3) -> pd.DataFrame:
        """The k reports that lie closest to a heart: rank, similarity, findings, impression. Raises KeyError."""
        places = np.flatnonzero(self.hearts["study_key"] == study_key)
        if not len(places):
            raise KeyError(f"Heart {study_key} is not among these {len(self.hearts)}.")
        return _closest(self.text @ self.image[places[0]], self.reports, k)


def _closest(similarity: Float[np.ndarray, " n"], rows: pd.DataFrame, k: int) -> pd.DataFrame:
    best = np.argsort(-similarity, kind="stable")[:k]
    found = rows.iloc[best].reset_index(drop=True)
    found.insert(0, "similarity", similarity[best])
    found.insert(0, "rank", np.arange(1, len(best) + 1))
    return found


def of(model: released.Released, clips: store.ClipStore, hearts: pd.DataFrame, note: str, own: bool = False) -> Gallery:
    """Hearts of a clip store beside the reports shipped with a model (with `own`, the hearts' reports among them).

    `hearts` has the columns of HEARTS; the clips were made with `model.clip`.
    """

    def embedded(text: str) -> Float[np.ndarray, " embed"]:
        return embed.embed_texts(model.model, model.tokenizer, [text])[0]

    reports, text = model.reports[["findings", "impression"]], model.report_embedding
    if own:
        texts = [report_text(row.findings, row.impression) for row in hearts.itertuples()]
        reports = pd.concat([hearts[["findings", "impression"]], reports], ignore_index=True)
        text = np.concatenate([embed.embed_texts(model.model, model.tokenizer, texts), text])
    planned = dataset.StudyDataset(clips, hearts["study_key"].tolist(), model.frames)
    known = (model.reports["findings"] + " " + model.reports["impression"]).map(vocabulary.words_of)
    return Gallery(
        hearts=hearts.reset_index(drop=True),
        image=embed.embed_studies(model.model, planned, model.frames.crop_px, progress=False),
        reports=reports,
        text=text,
        cine=lambda key: clips.frames(clips.middle_cine(key)),
        embed=embedded,
        words=frozenset(word for words in known for word in words),
        note=note,
    )


def report_text(findings: str, impression: str) -> str:
    """What the text tower reads of a report: the impression first, as it was trained."""
    return Report(findings, impression).text(("impression", "findings"))


def invented(
    model: released.Released, settings: params.Simulate, patients: Sequence[int], folder: Path | str
) -> tuple[store.ClipStore, pd.DataFrame]:
    """Scan these phantom patients into DICOM, read them back, and keep their clips and reports below `folder`.

    Returns the clip store and the table of HEARTS, a row a patient. No report names anybody.
    """
    folder, rows, prepared = Path(folder), [], []
    clean = settings.model_copy(update={"reader": settings.reader.model_copy(update={"identifier_share": 0.0})})
    for patient in patients:
        study = cohort.make_study(clean, cohort.Visit(patient, 1, has_images=True, has_report=True))
        path = folder / f"{study.truth['accession']}.zip"
        project.write_bytes(path, study.archive or b"")
        opened = studies.read_study(path, project.read_key(None))
        report = sections.split_sections(study.report or "")
        prepared.append((opened.study_key, prepare.clips_of(opened.stacks, model.clip)))
        rows.append((opened.study_key, report.findings, report.impression))
    store.write_store(folder / "store", prepared)
    return store.ClipStore(folder / "store"), pd.DataFrame(rows, columns=list(HEARTS))


def phantoms(weights: Path | str, settings: params.Simulate, patients: Sequence[int], folder: Path | str) -> Gallery:
    """A gallery of invented patients, with the shipped model. Raises as `released.load`."""
    model = released.load(weights)
    clips, hearts = invented(model, settings, patients, folder)
    return of(model, clips, hearts, origin.PHANTOM, own=True)
