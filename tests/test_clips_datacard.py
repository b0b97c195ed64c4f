"""The data card says what the tables hold, counted another way."""

import collections
import json
import re

import dicom_maker as maker
import pandas as pd
import pytest
from test_clips_build import clinic

from cmr_lib.clips import datacard
from cmr_lib.clips.build import preprocess
from cmr_lib.clips.origin import read_origin


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Three studies: a woman of 45 at 1.5 T, a man of 71 at 3 T, somebody unknown; one zip that is none."""
    root = tmp_path_factory.mktemp("cohort")
    (root / "in").mkdir()
    people = {
        "A1": {"PatientSex": "F", "PatientAge": "045Y", "MagneticFieldStrength": "1.5"},
        "A2": {"PatientSex": "M", "PatientAge": "071Y", "MagneticFieldStrength": "3", "Manufacturer": "GE MEDICAL"},
        "A3": {"PatientSex": "SECRET", "PatientAge": "099Y"},
    }
    for name, changes in people.items():
        files = maker.study(4, 5, AccessionNumber=name, PatientID=f"P{name}", **changes)
        data = {str(number): maker.encode(ds).replace(b"099Y", b"zqx ") for number, ds in enumerate(files)}
        maker.write_zip(root / "in" / f"{name}.zip", dict(list(data.items())[: 20 if name == "A2" else None]))
    (root / "in" / "bad.zip").write_bytes(b"no zip")
    preprocess(clinic(root, studies=str(root / "in")), progress=False)
    return root / "out"


def counted(cohort, section):
    table = pd.read_csv(cohort / "data_card.csv", dtype={"item": str})
    return table[table.section == section].set_index("item")["count"].to_dict()


def test_counts_are_those_of_the_people_who_came(cohort):
    assert counted(cohort, "sex") == {"F": 1, "M": 1, "not said": 1}
    assert counted(cohort, "age_band") == {"40-49": 1, "70-79": 1, "not said": 1}
    assert counted(cohort, "field_strength_t") == {"1.5": 2, "3.0": 1}
    assert counted(cohort, "vendor") == {"ge": 1, "siemens": 2}
    assert sum(counted(cohort, "split").values()) == 3


def test_clips_are_counted_as_the_index_has_them(cohort):
    index = pd.read_parquet(cohort / "store" / "index.parquet")
    for name in ("view", "sequence"):
        assert counted(cohort, name) == dict(collections.Counter(index[name].tolist()))


def test_what_is_missing_is_said(cohort):
    missing = counted(cohort, "missing")
    assert missing["a report"] == 3
    assert missing["lax_3ch cine"] == 3
    assert missing["lax_4ch cine"] == missing["late enhancement"] == 1  # the study whose files end early
    assert missing["sax cine"] == 0
    assert missing["sex"] == missing["age_band"] == 1


def test_found_is_accepted_plus_rejected_plus_ignored_on_the_card_and_rejects_have_their_meaning(cohort):
    text = (cohort / "data_card.md").read_text()
    for level in ("files", "studies", "reports"):
        numbers = re.search(rf"\| {level} \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", text).groups()
        found, *parts = (int(number.replace(",", "")) for number in numbers)
        assert found == sum(parts)
    assert "| studies | 4 | 3 | 1 | 0 |" in text
    assert "E_ARCHIVE" in text
    assert "broken, encrypted, oversized" in text
    assert counted(cohort, "rejects")["E_ARCHIVE"] == 1


REPORTS = {
    "A1": "FINDINGS: LVEF 60 %. No late enhancement.\nIMPRESSION: Normal study.",
    "A2": "findings: LVEF 60 %; no late enhancement.\nimpression: normal study",  # the same words
    "A3": "FINDINGS: Good function, LVEF 61 %.\nIMPRESSION: No disease found.",  # the same findings
    "A4": "FINDINGS: LVEF 25 %. Large effusion.\nIMPRESSION: Dilated cardiomyopathy.",
}


def test_the_card_counts_reports_that_say_the_same(tmp_path):
    (tmp_path / "in").mkdir()
    for name in (*REPORTS, "A5"):
        maker.write_zip(tmp_path / "in" / f"{name}.zip", maker.study(3, 4, AccessionNumber=name, PatientID=f"P{name}"))
    rows = [{"patient_id": f"P{name}", "accession": name, "report": text} for name, text in REPORTS.items()]
    pd.DataFrame(rows).to_excel(tmp_path / "r.xlsx", index=False)
    preprocess(clinic(tmp_path, studies=str(tmp_path / "in"), reports=str(tmp_path / "r.xlsx")), progress=False)
    card = pd.read_csv(tmp_path / "out" / "data_card.csv").query("section == 'same'")
    assert card["count"].tolist() == [2, 2, 3]
    assert card["share"].tolist() == [0.5, 0.5, 0.75]  # of four reports; the fifth study has none
    text = (tmp_path / "out" / "data_card.md").read_text()
    assert "## Reports that say the same as another one" in text
    assert "| word for word | 2 | 50.0 % |" in text


def test_no_value_of_a_header_is_on_the_card(cohort):
    for name in ("data_card.md", "data_card.csv", "cohort.json", "qc.csv", "rejects.csv"):
        text = (cohort / name).read_text()
        assert not any(word in text for word in ("Secret", "SECRET", "zqx", "PA1", "A1.zip", "MRN"))


def test_a_clinics_figures_do_not_call_themselves_phantoms(cohort):
    origin = read_origin(cohort)
    assert (origin.source, origin.synthetic) == ("dicom", False)
    assert "phantom" not in (cohort / "data_card.md").read_text()


@pytest.mark.parametrize("source", ["acdc", "mnms", "sunnybrook"])
def test_public_sets_bring_citation_and_licence_and_phantoms_in_their_layout_say_so(source):
    real, made = (datacard.origin_of(source, synthetic=made) for made in (False, True))
    assert "phantom" not in json.dumps(datacard.as_record(real))
    assert made.synthetic
    assert real.title in made.note
    counts = {"files": {"found": 1, "accepted": 1}, "studies": {"found": 1, "accepted": 1}, "reports": {"found": 0}}
    table = pd.DataFrame(columns=list(datacard.COLUMNS))
    card = datacard.card_text(real, table, counts | {"clips": {"clips": 1}}, 1)
    assert real.citation in card
    assert real.licence in card


def test_a_stage_that_finds_no_origin_names_the_stage_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="notebook 02"):
        read_origin(tmp_path)
