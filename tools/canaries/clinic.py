"""A clinic's export on disk: planted studies in zips and folders that name the patient, a report table, bad tables."""

import csv
import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from tools.canaries import forms, tags
from tools.canaries.mint import Canary, Person, person_of

COLUMNS = ("patient_id", "accession", "report")
TABLE, BAD_TABLES, BAD_STUDIES = 4_000, 5_000, 6_000  # numbers that no study has


@dataclass
class Clinic:
    """What was planted, and where it lies. Everything below `folder` is restricted."""

    folder: Path
    canaries: list[Canary] = field(default_factory=list)
    tables: dict[str, Path] = field(default_factory=dict)  # report tables that cannot be read, by what is wrong

    @property
    def studies(self) -> Path:
        """The folder of studies."""
        return self.folder / "studies"

    @property
    def reports(self) -> Path:
        """The report table."""
        return self.folder / "reports.csv"


def _bare_plan(seed: int, number: int) -> tags.Plan:
    """Identifiers of nobody's study: only those that are asked for are noted."""
    plan = tags.Plan(person_of(seed, number), seed)
    plan.canaries.clear()
    return plan


# --- studies ----------------------------------------------------------------------------------------------------
def _names(person: Person, plan: tags.Plan) -> tuple[str, str, str]:
    """Names of a study's own file or folder, of a folder in it, and the beginning of its files' names."""
    outer = person.accession if plan.silent else f"{person.dicom_name} {plan.new('LO', 'name of a study')}"
    inner = f"{forms.plain(person.family)} {plan.new('LO', 'name of a folder')}"
    return outer, inner, plan.new("LO", "name of a file")


def _files(source: Path, plan: tags.Plan) -> dict[str, bytes]:
    """The study's files by their names: planted images, and some that no reader likes."""
    with zipfile.ZipFile(source) as archive:
        found = [archive.read(name) for name in sorted(archive.namelist()) if not name.endswith("/")]
    outer, inner, first = _names(plan.person, plan)
    files = {f"{inner}/{first}_{number:03d}": data for number, data in enumerate(tags.planted(found, plan))}
    whole = next(data for data in found if data[128:132] == b"DICM")
    files |= {
        f"{inner}/{plan.name('name of a broken file')} {why}": bad for why, bad in tags.crooked(whole, plan).items()
    }
    return {f"{outer}/{name}": data for name, data in files.items()}


def _write_zip(files: dict[str, bytes], folder: Path, plan: tags.Plan) -> None:
    outer = next(iter(files)).split("/")[0]
    with zipfile.ZipFile(folder / f"{outer}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files.items():
            archive.writestr(name.split("/", 1)[1], data)
        archive.comment = plan.new("LO", "comment of a zip").encode()


def _write_folder(files: dict[str, bytes], folder: Path, plan: tags.Plan) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (path.parent / plan.name("name of a link")).symlink_to(plan.name("target of a link"))
    odd = os.fsencode(path.parent) + b"/" + f"{plan.name('name in Latin-1')} ö".encode("latin-1")
    Path(os.fsdecode(odd)).write_bytes(b"no image")


def _write_bad_studies(clinic: Clinic, seed: int) -> None:
    """Studies that are refused as a whole: a zip that is none, and a folder without images."""
    plan = _bare_plan(seed, BAD_STUDIES)
    (clinic.studies / f"{plan.name('name of a broken zip')}.zip").write_text(f"PK {plan.name('broken zip')}")
    empty = clinic.studies / plan.name("name of a folder without images")
    empty.mkdir()
    (empty / f"{plan.name('name of a letter')}.txt").write_text(f"Dear {plan.name('letter')}")
    clinic.canaries += plan.canaries


# --- reports ----------------------------------------------------------------------------------------------------
def with_sentences(report: str, person: Person) -> str:
    """A report with every written form in its findings, and again in its impression."""
    lines = list(forms.sentences(person).values())
    text = "\n".join(lines)
    return f"{text}\n\nFINDINGS:\n{report.strip()}\n{text}\n\nIMPRESSION:\n{' '.join(lines)}\n"


def _rows(clinic: Clinic, reports: Sequence[str], people: Sequence[Person], extra: tags.Plan) -> list[dict[str, str]]:
    note = f"note for {extra.name('name of a column')}"
    rows = []
    for report, person in zip(reports, people, strict=True):
        row = dict(zip(COLUMNS, (person.patient_id, person.accession, with_sentences(report, person)), strict=True))
        rows.append(row | {"name": person.dicom_name, "born": f"{person.birth:%d.%m.%Y}", note: extra.name("column")})
    blank = dict.fromkeys(rows[0], "")
    name, number = extra.name("orphan report"), extra.new("LO", "orphan report")
    rows.append(
        blank | {"patient_id": number, "accession": extra.new("LO", "orphan report"), "report": f"Mr {name}: LVEF 60 %"}
    )
    rows.append(blank | {"patient_id": extra.new("LO", "report without accession"), "report": "LVEF 55 %"})
    rows.append(blank | {"accession": extra.new("LO", "report without text")})
    clinic.canaries += extra.canaries
    return rows


def _csv(rows: Sequence[dict[str, str]], *, header: bool = True) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _workbook(sheets: Sequence[Sequence[dict[str, str]]], title: str) -> bytes:
    """An Excel file of sheets that all bear somebody's name."""
    data = io.BytesIO()
    with pd.ExcelWriter(data, engine="openpyxl") as writer:
        for number, rows in enumerate(sheets):
            pd.DataFrame(rows).to_excel(writer, sheet_name=f"{title} {number}"[:31], index=False)
    return data.getvalue()


def _write_tables(clinic: Clinic, rows: list[dict[str, str]], seed: int) -> None:
    """The report table, and tables that make a reader complain."""
    clinic.reports.write_text(_csv(rows), encoding="utf-8")
    plan = _bare_plan(seed, BAD_TABLES)
    other = [rows[0] | {"report": f"Another report on {plan.name('table: duplicate accession')}"}, *rows]
    bad = {
        "duplicate accession": _csv(other).encode(),
        "no header": _csv(rows, header=False).encode(),
        "ragged": _csv(rows).encode("cp1252") + f'1,2,3,4,5,6,7,8,9,"{plan.name("table: ragged")}'.encode("cp1252"),
        "binary": b"\0\1\2" + plan.name("table: binary").encode() + bytes(range(256)),
        "empty": b"",
    }
    for why, data in bad.items():
        path = clinic.folder / f"{plan.name('name of a table')} {why}.csv"
        path.write_bytes(data)
        clinic.tables[why] = path
    lines = clinic.folder / f"{plan.name('name of a table')}.jsonl"
    lines.write_text(f'{{"report": "{plan.name("table: cut JSON")}')
    clinic.tables["cut JSON"] = lines
    for why, sheets in (("two sheets", (rows, other)), ("cut workbook", (rows,))):
        book = clinic.folder / f"{plan.name('name of a table')} {why}.xlsx"
        book.write_bytes(_workbook(sheets, plan.name(f"table: {why}"))[: None if why == "two sheets" else -300])
        clinic.tables[why] = book
    clinic.canaries += plan.canaries


# --- all of it --------------------------------------------------------------------------------------------------
def write_clinic(zips: Sequence[Path], reports: Sequence[str], folder: Path, seed: int) -> Clinic:
    """Plant identifiers in studies (zips of DICOM) and their reports (same order), and write them as a clinic's export.

    Every third study is a folder, the others are zips; every fifth has no accession number but the name of its folder.
    """
    clinic, people = Clinic(folder), []
    clinic.studies.mkdir(parents=True)
    for number, source in enumerate(zips):
        person = person_of(seed, number)
        plan = tags.Plan(person, seed, silent=number % 5 == 4)
        write = _write_folder if number % 3 == 1 else _write_zip
        write(_files(source, plan), clinic.studies, plan)
        clinic.canaries += [*plan.canaries, *forms.canaries(person)]
        people.append(person)
    extra = _bare_plan(seed, TABLE)
    _write_tables(clinic, _rows(clinic, reports, people, extra), seed)
    _write_bad_studies(clinic, seed)
    clinic.canaries = list(dict.fromkeys(clinic.canaries))
    return clinic
