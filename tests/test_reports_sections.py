"""Sections of a report, whatever style its headers have."""

import re

import numpy as np
import pytest

from cmr_lib.reports.sections import pieces_of, split_sections

FINDINGS, IMPRESSION = "LVEF 38 %. LVEDVi 112 mL/m2.", "Dilated cardiomyopathy, 2 of 3 criteria."


@pytest.mark.parametrize(
    "text",
    [
        f"FINDINGS: {FINDINGS}\nIMPRESSION: {IMPRESSION}",
        f"Findings:\n{FINDINGS}\n\nImpression:\n{IMPRESSION}\n",
        f"FINDINGS\n{FINDINGS}\nCONCLUSION\n{IMPRESSION}",
        f"Findings - {FINDINGS}\nConclusions - {IMPRESSION}",
        f"1. FINDINGS: {FINDINGS}\n2. SUMMARY: {IMPRESSION}",
        f"2) Results:\r\n{FINDINGS}\r\n3) Opinion:\r\n{IMPRESSION}",
        f"**Findings:** {FINDINGS}\n## Impression\n{IMPRESSION}",
        f"FINDINGS: {FINDINGS} IMPRESSION: {IMPRESSION}",
        f"Findings: {FINDINGS} Impression: {IMPRESSION}",
    ],
)
def test_headers_of_many_styles_are_understood(text):
    report = split_sections(text)
    assert report.findings == FINDINGS
    assert report.impression == IMPRESSION


def test_all_four_sections_are_told_apart():
    report = split_sections(
        "INDICATION: chest pain\nTECHNIQUE: 1.5 T\nFINDINGS: EF 60 %\nIMPRESSION: 1. Normal\n2. No LGE"
    )
    assert report.indication == "chest pain"
    assert report.technique == "1.5 T"
    assert report.findings == "EF 60 %"
    assert report.impression == "1. Normal\n2. No LGE"


def test_without_headers_everything_is_findings():
    text = "The findings are normal. EF 60 %. History of 2 infarcts; no other\nfindings."
    assert split_sections(text).findings == text
    assert split_sections(text).impression == ""


def test_headers_that_are_no_sections_stay_in_the_text():
    report = split_sections("FINDINGS:\nLEFT VENTRICLE: EF 40 %\nRIGHT VENTRICLE: EF 50 %\nIMPRESSION: reduced")
    assert report.findings == "LEFT VENTRICLE: EF 40 %\nRIGHT VENTRICLE: EF 50 %"


def test_text_before_the_first_header_is_kept():
    assert split_sections("Male, 54 years.\nFINDINGS: EF 60").indication == "Male, 54 years."
    assert split_sections("EF 60, LVEDV 150.\nIMPRESSION: normal").findings == "EF 60, LVEDV 150."


def test_a_section_named_twice_is_joined():
    assert split_sections("FINDINGS: a 1\nIMPRESSION: b\nFINDINGS: c 2").findings == "a 1\nc 2"


@pytest.mark.parametrize("signed", ["Reported by", "ELECTRONICALLY SIGNED BY", "Signed by", "Dictated by"])
def test_a_signature_is_no_impression_and_an_addendum_is(signed):
    report = split_sections(f"FINDINGS: a\n\nIMPRESSION: b\n\n{signed}: Dr Zormek\n\nADDENDUM: c")
    assert (report.findings, report.impression, report.technique) == ("a", "b\nc", "Dr Zormek")


def test_an_empty_text_is_an_empty_report():
    report = split_sections("")
    assert (report.findings, report.impression, report.indication, report.technique) == ("", "", "", "")


def test_no_number_is_ever_dropped():
    text = (
        "Report 12. HISTORY: 54 y, 3 stents. COMPARISON: 2019. TECHNIQUE: 1.5 T, 0.2 mmol/kg. FINDINGS: EF 38.5 %, "
        "mass 117 g. Measurements: 8 mm 9 mm. LGE 50-75 %. "
        "IMPRESSION: 1. EF 38 2. scar 4 segments. Recommendation: 6 months."
    )
    report = split_sections(text)
    kept = " ".join((report.indication, report.technique, report.findings, report.impression))
    assert sorted(re.findall(r"\d+\.?\d*", kept)) == sorted(re.findall(r"\d+\.?\d*", text))


# --- five sections, and readers without headers -----------------------------------------------------------------
@pytest.mark.parametrize("name", ["MEASUREMENTS", "Measurements", "Quantitative data", "VOLUMES"])
def test_measurements_are_a_section_of_their_own_and_part_of_the_findings(name):
    text = f"INDICATION: pain\n{name}: EDV 150 mL, EF 60 %\nFINDINGS: Normal LV.\nIMPRESSION: Normal."
    assert pieces_of(text) == [
        ("indication", "pain"),
        ("measurements", "EDV 150 mL, EF 60 %"),
        ("findings", "Normal LV."),
        ("impression", "Normal."),
    ]
    assert split_sections(text).findings == "EDV 150 mL, EF 60 %\nNormal LV."


def test_paragraphs_without_headers_are_told_apart():
    asks = "54-year-old man referred for assessment of chest pain."
    technique = "SSFP cines and late gadolinium images were acquired after 0.2 mmol/kg contrast at 1.5 T."
    found = "The LV is dilated, EF 38 %."
    end = "In conclusion, dilated cardiomyopathy."
    report = split_sections("\n\n".join((asks, technique, found, end)))
    assert (report.indication, report.technique, report.findings, report.impression) == (asks, technique, found, end)


def test_a_conclusion_inside_running_text_begins_the_impression():
    report = split_sections("EF 60 %. No LGE seen in conclusion images. In summary, a normal heart.")
    assert report.findings == "EF 60 %. No LGE seen in conclusion images."
    assert report.impression == "In summary, a normal heart."


@pytest.mark.parametrize("seed", range(25))
def test_whatever_the_headers_no_number_and_no_denial_is_lost(seed):
    random = np.random.default_rng(seed)
    words = [
        "LVEF 38.5 %",
        "no LGE",
        "not dilated",
        "right",
        "left",
        "12 mm",
        "FINDINGS:",
        "Impression -",
        "\n",
        "\n\n",
        "In summary,",
        "Measurements:",
        "RV: ",
        "without",
        "1.",
        "2)",
        "HISTORY",
        "0.2 mmol/kg",
        "x",
        "\r\n",
    ]
    text = " ".join(words[int(place)] for place in random.integers(len(words), size=60))
    kept = " ".join(piece for _, piece in pieces_of(text))
    for pattern in (r"\d+\.\d+", r"\b(?:no|not|without)\b", r"\b(?:left|right)\b", r"%|mm\b|mmol/kg"):
        assert re.findall(pattern, kept) == re.findall(pattern, text)
