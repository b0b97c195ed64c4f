"""Findings and numbers of a report: what is said, of what, how sure, how severe and where. Expected values by hand."""

import csv
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from cmr_lib import labels
from cmr_lib.reports import checks
from cmr_lib.reports.findings import MORE_FINDINGS, findings, sentence_findings
from cmr_lib.reports.numbers import numbers
from cmr_lib.reports.sections import split_sections
from cmr_lib.reports.segments import TERRITORIES
from cmr_lib.reports.sentences import sentences
from cmr_lib.reports.summary import summarise
from cmr_lib.reports.words import mended, plain

FOLDER = Path(__file__).parent / "data" / "report_sentences"


def said(sentence):
    return {(found.name, found.status.value) for found in sentence_findings(sentence)}


def only(sentence):
    (found,) = sentence_findings(sentence)
    return found


def rows(half):
    with (FOLDER / f"{half}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- the hand-marked sentences ----------------------------------------------------------------------------------
def test_the_sentences_are_frozen_and_split_by_their_hashes():
    for line in (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split()
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
    halves = {row["sentence"]: half for half in ("dev", "held_out") for row in rows(half)}
    assert len(halves) == 364
    by_phenomenon = {}
    for half in ("dev", "held_out"):
        for row in rows(half):
            by_phenomenon.setdefault(row["phenomenon"], []).append(row["sentence"])
    for members in by_phenomenon.values():
        ordered = sorted(members, key=lambda sentence: hashlib.sha256(sentence.encode()).hexdigest())
        assert [halves[sentence] for sentence in ordered] == (["dev", "held_out"] * len(ordered))[: len(ordered)]


def test_the_sentences_that_the_rules_were_made_with_are_read_as_marked():
    for row in rows("dev"):
        gold = {tuple(part.split()[:2]) for part in row["findings"].split(";") if part.strip()}
        assert said(row["sentence"]) == gold, row["sentence"]
        numbers_ = {part.strip() for part in row["numbers"].split(";") if part.strip()}
        assert {str(number) for number in numbers(row["sentence"])} == numbers_, row["sentence"]


# --- status -----------------------------------------------------------------------------------------------------
CHAMBERS = {
    "lv_dilation": "left ventricle is dilated",
    "rv_dilation": "RV is enlarged",
    "lv_dysfunction": "LV function is impaired",
    "aortic_dilation": "aortic root is dilated",
    "la_dilation": "left atrium is dilated",
}
THINGS = {
    "lge": "late gadolinium enhancement",
    "thrombus": "apical thrombus",
    "effusion": "pericardial effusion",
    "lv_hypertrophy": "left ventricular hypertrophy",
    "AMY": "cardiac amyloidosis",
    "MYO": "myocarditis",
}


@pytest.mark.parametrize(("name", "words"), THINGS.items())
@pytest.mark.parametrize(
    ("frame", "status"),
    [
        ("There is {}.", "present"),
        ("Findings consistent with {}.", "present"),
        ("No change in the {}.", "present"),
        ("No {} is seen.", "absent"),
        ("There is no evidence of {}.", "absent"),
        ("Without {}.", "absent"),
        ("{} is absent.", "absent"),
        ("The {} has resolved.", "absent"),
        ("Possible {}.", "uncertain"),
        ("? {}", "uncertain"),
        ("{} cannot be excluded.", "uncertain"),
        ("Cannot exclude {}.", "uncertain"),
        ("Small volume of contrast; {} is likely.", "uncertain"),
        ("History of {}.", "historical"),
    ],
)
def test_a_finding_is_present_absent_uncertain_or_past_by_its_frame(name, words, frame, status):
    assert (name, status) in said(frame.format(words))


@pytest.mark.parametrize(("name", "words"), CHAMBERS.items())
def test_a_chamber_is_denied_by_not_and_by_normal(name, words):
    assert said(f"The {words}.") == {(name, "present")}
    assert said(f"The {words.replace(' is ', ' is not ')}.") == {(name, "absent")}


def test_left_and_right_are_never_confused():
    for left, right in (("left", "right"), ("right", "left"), ("LV", "RV"), ("RV", "LV")):
        tail = " ventricle" if left.islower() else ""
        (a, b) = ("lv", "rv") if left in ("left", "LV") else ("rv", "lv")
        assert said(f"The {left}{tail} is dilated, the {right}{tail} is normal in size.") == {
            (f"{a}_dilation", "present"),
            (f"{b}_dilation", "absent"),
        }


def test_relatives_diseases_and_other_vessels_are_no_findings():
    assert said("Father had hypertrophic cardiomyopathy.") == set()
    assert said("The pulmonary artery is dilated.") == set()
    assert said("Left ventricular diastolic function is impaired.") == set()


def test_what_was_not_looked_at_is_neither_there_nor_absent():
    assert said("Late enhancement: Contrast not given, scar not assessed.") == set()


# --- attributes -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "severity"),
    [
        ("Mild LV dilatation.", "mildly"),
        ("The LV is severely dilated.", "severely"),
        ("LV dysfunction is moderate.", "moderately"),
        ("A large pericardial effusion.", "severely"),
        ("Trace pericardial fluid.", "trivial"),
        ("LV dilated.", ""),
    ],
)
def test_severity_is_read_before_and_behind(words, severity):
    assert only(words).severity == severity


# Cerqueira 2002, figure 3, copied by hand: basal and mid rings of six, an apical ring of four, the apex.
SEGMENTS = {
    "basal anterior": 1, "basal anteroseptal": 2, "basal inferoseptal": 3, "basal inferior": 4,
    "basal inferolateral": 5, "basal anterolateral": 6,
    "mid anterior": 7, "mid anteroseptal": 8, "mid inferoseptal": 9, "mid inferior": 10,
    "mid inferolateral": 11, "mid anterolateral": 12, "apical anterior": 13, "apical septal": 14, "apical inferior": 15,
    "apical lateral": 16,
}  # fmt: skip


@pytest.mark.parametrize(("place", "segment"), SEGMENTS.items())
def test_one_wall_at_one_level_is_one_segment(place, segment):
    found = only(f"Akinesis of the {place} segment.")
    assert (found.segments, found.pattern) == ((segment,), ("akinesis",))


def test_the_apex_is_segment_17():
    assert only("The apex is dyskinetic.").segments == (17,)


def test_the_seventeen_segments_are_shared_out_among_the_territories():
    assert sorted(sum(TERRITORIES.values(), ())) == list(range(1, 18))


def test_patterns_and_territories_of_enhancement():
    found = only("Transmural late enhancement of the basal to mid inferior wall in the RCA territory.")
    assert (found.pattern, found.segments, found.territory) == (("transmural",), (4, 10), ("RCA",))


# --- numbers ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("LVEF 38 %, RVEF 52%", ["lvef=38 %", "rvef=52 %"]),
        ("LVEDV 212 mL (108 mL/m2)", ["lvedv=212 mL", "lvedvi=108 mL/m2"]),
        ("Right ventricle: EDV 150 ml, EF 55 %", ["rvedv=150 mL", "rvef=55 %"]),
        ("Native T1 1,045 ms (normal 950-1050)", ["t1=1045 ms"]),
        ("LVEF 55-60 %", ["lvef=55-60 %"]),
        ("wall 1.2 cm", ["wall=1.2 cm"]),
        ("0.1 mmol/kg at 1.5 T on 12.03.2015", []),
    ],
)
def test_numbers_keep_value_unit_and_index(text, wanted):
    assert [str(number) for number in numbers(text)] == wanted


@pytest.mark.parametrize("seed", range(60))
def test_numbers_in_are_numbers_out(seed):
    random = np.random.default_rng(seed)
    written = {
        "lvef": "LVEF {} %",
        "lvedv": "LVEDV {} mL",
        "lvedvi": "LVEDVi {} mL/m2",
        "rvef": "RVEF {} %",
        "lv_mass": "LV mass {} g",
        "t1": "Native T1 {} ms",
        "ecv": "ECV {} %",
        "wall": "Wall thickness {} mm",
        "aorta": "Aortic root {} mm",
    }
    chosen = random.permutation(list(written))[: random.integers(1, 9)]
    values = [f"{random.uniform(1, 400):.{random.integers(2)}f}" for _ in chosen]
    between = str(random.choice([". ", ", ", "; ", "\n"]))
    text = between.join(written[name].format(value) for name, value in zip(chosen, values, strict=True))
    assert [(one.quantity, one.value) for one in numbers(text)] == [
        (n, float(v)) for n, v in zip(chosen, values, strict=True)
    ]
    report = split_sections(f"FINDINGS: {text}\nIMPRESSION: No LGE.")
    assert re.findall(r"\d+(?:\.\d+)?", report.text()) == re.findall(r"\d+(?:\.\d+)?", text)


# --- a whole report ---------------------------------------------------------------------------------------------
REPORT = """INDICATION: ? HCM. History of myocarditis.
FINDINGS:
Left ventricle: Mildly dilated. LVEF 41 %, moderately impaired systolic function.
Right ventricle: Normal size and function, RVEF 58 %.
Late enhancement: No LGE.
Pericardium: Trace fluid.
IMPRESSION: 1. Possible apical thrombus. 2. No LVH.
"""


def test_a_report_is_summarised_by_its_findings_and_impression():
    summary = summarise(split_sections(REPORT))
    positive = {name for name in labels.FINDINGS if summary.positive(name)}
    assert positive == {"lv_dysfunction", "lv_dilation", "thrombus"}
    assert summary.status("thrombus").value == "uncertain"
    assert not summary.positive("thrombus", doubtful=False)
    assert summary.status("HCM") is None
    assert {name: number.value for name, number in summary.numbers.items()} == {"lvef": 41, "rvef": 58}


def test_numbers_speak_where_words_are_silent_and_words_lead():
    assert summarise(split_sections("LVEF 41 %.")).findings["lv_dysfunction"].severity == "moderately"
    assert not summarise(split_sections("LVEF 52 %, preserved.")).positive("lv_dysfunction")
    assert summarise(split_sections("LVEDVi 140 mL/m2."), "F").positive("lv_dilation")
    assert summarise(split_sections("LVEDVi 140 mL/m2.")).status("lv_dilation") is None


def test_a_trace_of_fluid_outweighs_no_doubt():
    text = "Trace pericardial fluid. Possible small pericardial effusion."
    assert summarise(split_sections(text)).status("effusion").value == "uncertain"
    assert not summarise(split_sections("Trace pericardial fluid.")).positive("effusion")


def test_findings_are_pure_known_by_name_and_framed_in_the_text():
    first, again = findings(REPORT), findings(REPORT)
    assert first == again
    names = {*labels.FINDINGS, *labels.Diagnosis, *MORE_FINDINGS}
    for found in first:
        assert found.name in names
        assert 0 <= found.start < found.end <= len(REPORT)
    (clot,) = [found for found in first if found.name == "thrombus"]
    assert REPORT[clot.start : clot.end] == "Possible apical thrombus."


def test_sentences_are_cut_at_stops_and_never_inside_numbers():
    text = "EF 38.5 %. Max. wall 12 mm. No LGE.\n- Effusion 4 mm\n2) Root 35 mm"
    assert [one.text for one in sentences(text)] == [
        "EF 38.5 %.",
        "Max. wall 12 mm.",
        "No LGE.",
        "Effusion 4 mm",
        "Root 35 mm",
    ]


# --- spelling ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wrong", "right"), [("ventrical", "ventricle"), ("hypertophic", "hypertrophic"), ("enhacement", "enhancement")]
)
def test_slips_are_mended(wrong, right):
    assert mended(wrong) == right


@pytest.mark.parametrize(
    "word", ["systemic", "diastolic", "moderator", "presented", "mass", "negative", "pericarditis"]
)
def test_words_that_only_look_like_slips_stay(word):
    assert mended(word) == word


@pytest.mark.parametrize("text", ["no", "not", "right", "left", "without", "38.5 %", "LVEF 5 %", "neither", "1120 ms"])
def test_the_plain_spelling_keeps_digits_denials_and_sides(text):
    for pattern in (r"\d+(?:\.\d+)?", r"\b(?:no|not|without|neither)\b", r"\b(?:left|right)\b", "%|ms"):
        assert re.findall(pattern, plain(text)) == re.findall(pattern, text.lower())


# --- bad input --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "E_REPORT_EMPTY"),
        (" \n\t", "E_REPORT_EMPTY"),
        ("x" * 10_000_000, "E_REPORT_TOO_LONG"),
        ("12 34", "E_REPORT_BINARY"),
        ("\x00\x01\x02 EF" * 50, "E_REPORT_BINARY"),
        ("\ufffd\ufffd EF 60 %", "E_REPORT_BINARY"),
        ("EF 60 %.", ""),
    ],
    ids=["empty", "blank", "10 MB", "no letters", "binary", "wrong encoding", "good"],
)
def test_bad_reports_get_a_code(text, code):
    assert checks.fault(text) == code


def test_a_report_without_impression_or_sense_gets_a_remark():
    assert checks.remarks("FINDINGS: LVEF 60 %.") == ("W_REPORT_NO_IMPRESSION",)
    assert checks.remarks("Impression: Letter attached.") == ("W_REPORT_NO_FINDINGS",)
    assert checks.remarks(REPORT) == ()


@pytest.mark.parametrize("seed", range(30))
def test_no_text_makes_the_reader_crash(seed):
    random = np.random.default_rng(seed)
    letters = [
        *"no LGE LV 12.5% mL/m2 :;,.()?!\n\t-/ßöÄ²\x00😀\u202e",
        "not ",
        "normal ",
        "scar ",
        "is ",
        "and ",
        "RV ",
    ]
    text = "".join(random.choice(letters, size=400))
    findings(text)
    numbers(text)
    checks.remarks(text)
