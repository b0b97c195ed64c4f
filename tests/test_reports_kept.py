"""Between a report and the text that a model reads no digit, unit, denial or side is lost: numbers in, numbers out."""

import csv
import datetime
import re
from pathlib import Path

import pytest

from cmr_lib.clips.report_reading import Reports, Scrubber, Waiting, accept
from cmr_lib.models.vocabulary import learn
from cmr_lib.reports.identifiers import Identifiers
from cmr_lib.reports.numbers import numbers
from cmr_lib.reports.sections import split_sections
from cmr_lib.reports.summary import summarise
from cmr_lib.simulate.identity import accession, identity_of
from tools.simulated_reports import SEED, simulated

SENTENCES = Path(__file__).parent / "data" / "report_sentences"
KINDS = {
    "digits": r"\d",
    "numbers": r"\d+(?:[.,]\d+)?(?:-\d+)?",
    "units": r"%|m[lL](?:/m2|/m²)?|\bmm\b|\bcm\b|\bms\b|\bg(?:/m2)?\b|\bbpm\b",
    "denials": r"(?i)\b(?:no|not|non|nor|neither|without|absent|denies|negative|never|cannot|unlikely)\b",
    "sides": r"(?i)\b(?:left|right|both|bilateral|l[va]|r[va]|lvef|rvef|septal|lateral|anterior|inferior)\b",
}


def model_text(text, known, number=1):
    """What the stage keeps of a report, as the tokenizer gets it."""
    reports = Reports(waiting={"x": Waiting(text, f"SYN{number:06d}", accession(number, 1), 1)})
    accept(reports, "x", Scrubber(b"k" * 32, True, None), known, "patient", "M")
    return reports.accepted["x"].report.text()


def known_of(number):
    who = identity_of(SEED, number, 50)
    return Identifiers(
        names=(who.dicom_name, f"{who.referring}^Dr", f"{who.reader}^Dr"),
        numbers=(who.patient_id, who.telephone, accession(number, 1)),
        words=(who.address,),
        dates=(datetime.date(2015, 3, 9),),
        births=(who.birth_date,),
    )


def kept(before, after):
    for kind, pattern in KINDS.items():
        assert re.findall(pattern, after) == re.findall(pattern, before), kind


def hand_written():
    for half in ("dev", "held_out"):
        with (SENTENCES / f"{half}.csv").open(encoding="utf-8", newline="") as file:
            yield from (row["sentence"] for row in csv.DictReader(file))


def test_of_every_hand_written_sentence_all_is_kept():
    known = known_of(1)
    sentences = [one for one in hand_written() if not re.search(r"\b(?:19|20)\d\d\b", one)]  # dates are moved
    assert len(sentences) > 300
    for sentence in sentences:
        kept(sentence, model_text(f"FINDINGS: {sentence}\nIMPRESSION: see above.", known))


@pytest.mark.parametrize("hospital", ["first", "second"])
def test_of_simulated_reports_every_number_denial_and_side_is_kept_in_its_order(hospital):
    dated = re.compile(r"\d{1,4}[-./]\w+[-./]\d{2,4}|\b\d{1,2} [A-Z][a-z]{2} \d{4}|SYN\d+|A\d{8}")
    plain = 0
    for number in range(60):
        text, reading, _ = simulated(hospital, number)
        report = split_sections(text)
        body, after = report.text(), model_text(text, known_of(number), number)
        assert [str(one) for one in numbers(after)] == [str(one) for one in numbers(body)]
        if not dated.search(body):
            kept(body, after)
            plain += 1
        assert summarise(report, reading.sex) == summarise(report, reading.sex)  # pure
    assert plain > 40


def test_tokens_spell_every_digit_and_every_sign():
    texts = [model_text(simulated("first", number)[0], known_of(number), number) for number in range(40)]
    tokenizer = learn(texts[:20], 300, [str(number) for number in range(20)], 3)
    for text in texts:
        tokens = tokenizer.encode(text).tokens[1:-1]
        assert "[UNK]" not in tokens
        spelled = "".join(token.removeprefix("##") for token in tokens)
        assert spelled == "".join(text.lower().split())
