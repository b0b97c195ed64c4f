"""Sections of a report, whatever style its headers have."""

import re

import pytest

from cmr_lib.reports.sections import split_sections

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
