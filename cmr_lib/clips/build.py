"""The stage preprocess: studies and reports in; clips, tables, a split and a list of rejects out.

Studies are read by a pool of processes and written in the order of their keyed names, so that the output does not
depend on how many processes there are. What leaves is numbers, codes and keyed names, and the scrubbed text of reports
in reports.parquet.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from cmr_lib import params, project
from cmr_lib.clips import cohort, datacard, quality, report_tables, resume
from cmr_lib.clips.cohort import StudyResult
from cmr_lib.clips.origin import ORIGIN_NAME
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.report_reading import Reports, Scrubber, drop_orphans, load_reports
from cmr_lib.clips.split import keep_official, split_patients
from cmr_lib.clips.store import write_store
from cmr_lib.clips.work import FILES, Item, Work, name_of, places_of, read_item, unread
from cmr_lib.ingest.cluster import open_pool
from cmr_lib.ingest.public.catalogue import find_cases
from cmr_lib.ingest.rejects import COLUMNS, Refused
from cmr_lib.ingest.studies import StudyRead, find_studies
from cmr_lib.ingest.workers import AHEAD, CAPS, Caps, in_order
from cmr_lib.reports.agreement import estimates
from cmr_lib.reports.sameness import Sameness
from cmr_lib.types import Reject, Split, View
from cmr_lib.types import Sequence as Kind

OUTPUTS = (
    *("store", "studies.parquet", "reports.parquet", "report_findings.parquet", "report_numbers.parquet"),
    *("rejects.csv", "qc.csv"),
    *(ORIGIN_NAME, "data_card.md", "data_card.csv"),
)
EARLIEST = datetime.date(1900, 1, 1).toordinal()  # a day before that is no study's, and could not be shifted


# --- reading ----------------------------------------------------------------------------------------------------
def read_all(
    items: Sequence[Item], work: Work, workers: int, *, progress: bool = True, caps: Caps = CAPS
) -> Iterator[StudyResult]:
    """Results in the order of `items`, whatever the number of workers; a study that breaks its worker gets a row."""
    pool, at_once = open_pool(work, min(workers, len(items)), caps, preload=[__name__])
    with pool:
        results = in_order(pool, items, AHEAD * at_once)
        for item, result in tqdm(results, total=len(items), desc="studies", disable=not progress):
            yield unread(item, work.key, result.code) if isinstance(result, Refused) else result


def _find(settings: params.Preprocess, folder: Path, key: bytes) -> list[Item]:
    """The studies to read, in the order of their keyed names."""
    public = settings.source in params.PUBLIC_SOURCES
    items: list[Item] = [*find_cases(settings.source, folder)] if public else [*find_studies(folder)]
    if not items:
        raise ValueError(
            "No study in the folder that cohort.studies names: wanted one .zip or one folder of DICOM files a study, "
            "found neither."
        )
    return sorted(
        items[: settings.cohort.max_studies], key=lambda item: project.keyed_name(key, "study", name_of(item))
    )


def example(settings: params.Preprocess) -> StudyRead:
    """The first study of the cohort, read: to look at before all of them. Raises as `preprocess` does."""
    key = project.read_key(settings.identity.key_file)
    return read_item(_find(settings, cohort.places(settings).studies, key)[0], key)


def _admitted(
    results: Iterable[StudyResult], reports: Reports, studies: list[StudyResult], scrubber: Scrubber
) -> Iterator[tuple[str, list[PreparedClip]]]:
    """The clips of the studies that stay, one study in memory at a time; every study is noted in `studies`."""
    seen: set[str] = set()
    for study in results:
        cohort.admit(study, reports, seen, scrubber)
        studies.append(study)
        clips, study.clips = study.clips, []
        if study.used:
            yield study.study_key, clips


# --- judging ----------------------------------------------------------------------------------------------------
def _why(studies: Sequence[StudyResult]) -> str:
    """The commonest reasons of unused studies and files, as `code × n`."""
    rows = [row for study in studies if not study.used for row in study.rejects if row.action != "repaired"]
    return ", ".join(f"{code} × {count}" for code, count in Counter(row.code for row in rows).most_common(4))


def judge(studies: Sequence[StudyResult], max_reject_share: float) -> None:
    """Stop the stage when too little can be used. Raises ValueError: what was found, what is wanted, what to do."""
    refused = sum(not study.used for study in studies)
    if refused == len(studies):
        raise ValueError(
            f"None of {len(studies)} studies can be used ({_why(studies)}); wanted MR cine or late-enhancement images. "
            "See rejects.csv; ingest.rejects.CODES says what each code means."
        )
    if refused > max_reject_share * len(studies):
        raise ValueError(
            f"{refused} of {len(studies)} studies were rejected ({_why(studies)}), more than cohort.max_reject_share = "
            f"{max_reject_share:g} allows. See rejects.csv; mend the export or raise the share."
        )


def check_conservation(counts: dict[str, int]) -> None:
    """Either found = accepted + rejected + ignored, or the reader lost something: RuntimeError."""
    if counts["found"] != counts["accepted"] + counts["rejected"] + counts.get("ignored", 0):
        raise RuntimeError(f"Inputs were lost on the way: {counts}.")


# --- writing ----------------------------------------------------------------------------------------------------
def _rejects_table(studies: Sequence[StudyResult], reports: Reports) -> pd.DataFrame:
    rows: list[Reject] = [*(row for study in studies for row in study.rejects), *reports.rejects]
    table = pd.DataFrame([asdict(row) for row in rows], columns=list(COLUMNS))
    return table.sort_values(list(COLUMNS), kind="stable", ignore_index=True)


def _days(studies: Sequence[StudyResult], key: bytes) -> dict[str, tuple[str, float]]:
    """Shifted date (ISO) and days since the patient's first study, by study; "" and NaN where the day is unknown."""
    first: dict[str, datetime.date] = {}
    for study in studies:
        if study.day:
            first[study.patient_key] = min(study.day, first.get(study.patient_key, study.day))
    found = {study.study_key: ("", float("nan")) for study in studies}
    for study in studies:
        if study.day and study.day.toordinal() > EARLIEST:
            shifted = study.day - datetime.timedelta(days=project.shift_days(key, study.patient_key))
            found[study.study_key] = shifted.isoformat(), float((study.day - first[study.patient_key]).days)
    return found


def _studies_table(
    studies: Sequence[StudyResult], index: pd.DataFrame, reports: Reports, splits: dict[str, Split], key: bytes
) -> pd.DataFrame:
    short = index[(index["view"] == View.SAX.value) & (index["sequence"] == Kind.CINE.value)]
    clips, slices = index["study_key"].value_counts(), short["study_key"].value_counts()
    days = _days(studies, key)
    rows = [
        {
            "study_key": study.study_key,
            "patient_key": study.patient_key,
            "split": splits[study.patient_key].value,
            "n_clips": int(clips[study.study_key]),
            "n_sax_slices": int(slices.get(study.study_key, 0)),
            "has_report": study.study_key in reports.accepted,
            "vendor": str(study.facts["vendor"]),
            "field_strength_t": float(study.facts["field_strength_t"]),
            "age_band": str(study.facts["age_band"]),
            "shifted_date": days[study.study_key][0],
            "days_since_first": days[study.study_key][1],
            "sex": str(study.facts["sex"]),
            **{name: study.labels[name] for name in cohort.LABELS if name in study.labels},
        }
        for study in studies
    ]
    return pd.DataFrame(rows).sort_values("study_key", ignore_index=True)


def _with_labels(table: pd.DataFrame, truth: Path | None, key: bytes) -> pd.DataFrame:
    if truth is None:
        return table
    labelled = cohort.load_labels(truth, key)
    unknown = (~table["study_key"].isin(labelled.index)).sum()
    if unknown:
        raise ValueError(f"{unknown} of {len(table)} studies are not in the truth table: run the stage simulate again.")
    return table.drop(columns="sex").join(labelled, on="study_key")


def _counts(
    studies: Sequence[StudyResult], reports: Reports, table: pd.DataFrame, index: pd.DataFrame, rejects: pd.DataFrame
) -> dict[str, dict[str, int]]:
    """What went in and what came out, for metrics.json."""
    files = {name: sum(study.counts[name] for study in studies) for name in FILES}
    known = {"found": len(studies), "accepted": len(table), "rejected": len(studies) - len(table)}
    written = reports.counts()
    check_conservation(files)
    check_conservation(written)
    patients = table.drop_duplicates("patient_key")["split"].value_counts()
    return {
        "files": files,
        "studies": known,
        "reports": written,
        "reports_removed": reports.removed(),
        "patients": {split.value: int(patients.get(split.value, 0)) for split in Split},
        "clips": {"clips": len(index), "frames": int(index["n_frames"].sum())},
        "views": {str(view): int(count) for view, count in index["view"].value_counts(sort=False).sort_index().items()},
        "rejects": {str(code): int(count) for code, count in rejects["code"].value_counts().sort_index().items()},
    }


def _splits(studies: Sequence[StudyResult], settings: params.Preprocess) -> dict[str, Split]:
    """A public set's own split where it has one, else one by patient."""
    if settings.source in params.PUBLIC_SOURCES:
        return keep_official({study.patient_key: study.split for study in studies}, settings.split, settings.seed)
    return split_patients([study.patient_key for study in studies], settings.split, settings.seed)


def _quality_table(studies: Sequence[StudyResult]) -> pd.DataFrame:
    """One row a study, the worst first."""
    rows = [{"study_key": study.study_key, **study.quality} for study in studies]
    table = pd.DataFrame(rows, columns=list(quality.COLUMNS))
    return table.sort_values(["score", "study_key"], kind="stable", ignore_index=True)


def _write_card(
    out: Path, source: str, studies: Sequence[StudyResult], table: pd.DataFrame, index: pd.DataFrame,
    counts: dict[str, dict[str, int]], rejects: pd.DataFrame,
) -> None:  # fmt: skip
    synthetic = source == "simulated" or any(study.facts.get("synthetic") for study in studies)
    origin = datacard.origin_of(source, synthetic=synthetic)
    card = datacard.card_table(table, index, counts, rejects)
    project.write_json(out / ORIGIN_NAME, datacard.as_record(origin))
    project.write_table(out / "data_card.csv", card)
    text = datacard.card_text(origin, card, counts, table["patient_key"].nunique())
    project.write_text(out / "data_card.md", text)


def _inputs(settings: params.Preprocess, where: cohort.Places, items: Sequence[Item], key: bytes) -> str:
    """A keyed hash of everything that decides the outputs: parameters, code, studies, reports, truth."""
    told = settings.model_dump_json(exclude={"out_dir", "data_dir", "workers"})
    listed = [line for item in items for line in places_of(item)]
    tables = [path for path in (where.reports, where.truth) if path is not None]
    text = resume.fingerprint([*listed, *tables], told, resume.code_stamp(), *(name_of(item) for item in items))
    return project.keyed_name(key, "inputs", text)


def _write_tables(out: Path, table: pd.DataFrame, reports: Reports, used: Sequence[StudyResult]) -> None:
    """The tables of studies, of reports and what they say, and of quality."""
    project.write_table(out / "studies.parquet", table)
    project.write_table(out / "reports.parquet", report_tables.text_table(reports.accepted))
    project.write_table(out / "report_findings.parquet", report_tables.findings_table(reports.accepted))
    project.write_table(out / "report_numbers.parquet", report_tables.numbers_table(reports.accepted))
    project.write_table(out / "qc.csv", _quality_table(used))


def _report_figures(table: pd.DataFrame, same: Sameness) -> dict[str, dict[str, Any]]:
    """For metrics.json: how alike reports are, and where there is a truth, how well findings are read (F1)."""
    return {"reports_same": same.rates(), "findings_read": estimates(report_tables.findings_against_truth(table))}


def preprocess(settings: params.Preprocess, progress: bool = True) -> dict[str, dict[str, Any]]:
    """The whole stage; returns counts of files, studies, reports, patients, clips, views and rejects, and estimates.

    Writes store/, studies.parquet, reports.parquet, report_findings.parquet, report_numbers.parquet, rejects.csv,
    qc.csv, data_card.md and .csv, and cohort.json below `out_dir`. A run that was interrupted goes on with the studies
    that are not done; a second run with the same inputs and untouched outputs writes nothing. Raises FileNotFoundError
    or ValueError, in one sentence, when an input is absent, empty, or rejected as a whole or beyond max_reject_share;
    rejects.csv is written before that.
    """
    out, key = Path(settings.out_dir), project.read_key(settings.identity.key_file)
    where = cohort.places(settings)
    items = _find(settings, where.studies, key)
    inputs = _inputs(settings, where, items, key)
    if (counts := resume.finished(out, inputs, OUTPUTS)) is not None:
        return counts
    reports = load_reports(where.reports, settings.cohort, where.columns, key)
    scrubber = Scrubber(key, settings.cohort.day_first, settings.identity.text_model)
    stamp = f"{settings.clip.model_dump_json()} {resume.code_stamp()}"
    work = Work(key, settings.clip, resume.Kept(out / resume.FOLDER, key, stamp))
    studies: list[StudyResult] = []
    results = read_all(items, work, settings.workers, progress=progress)
    index = write_store(out / "store", _admitted(results, reports, studies, scrubber))
    used = sorted((study for study in studies if study.used), key=lambda study: study.study_key)
    drop_orphans(reports)
    rejects = _rejects_table(studies, reports)
    project.write_table(out / "rejects.csv", rejects)
    judge(studies, settings.cohort.max_reject_share)
    table = _with_labels(_studies_table(used, index, reports, _splits(used, settings), key), where.truth, key)
    columns, same = report_tables.cohort_columns(reports.accepted)
    table = report_tables.with_reports(table, columns)
    _write_tables(out, table, reports, used)
    counts = _counts(studies, reports, table, index, rejects) | _report_figures(table, same)
    _write_card(out, settings.source, used, table, index, counts, rejects)
    resume.note_finished(out, inputs, OUTPUTS, counts)
    return counts
