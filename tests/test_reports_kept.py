"""Between a report and the text that a model reads no digit, unit, denial or side is lost: numbers in, numbers out."""

import csv
import datetime
import random
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


CLAUSES = (
    "LVEF {n:.0f} %", "{v} EDV {n:.1f} mL ({n:.0f} mL/m2)", "mass {n:.0f} g", "native T1 {n:.0f}-{m:.0f} ms",
    "ECV {n:.1f}%",
    "wall {n:.0f}/{m:.0f} mm", "aortic root {n:.0f}.{m:.0f} cm", "no {v} effusion > {n:.0f} mm",
    "segments {n:.0f}, {m:.0f}",
    "heart rate {n:.0f} bpm", "scar of <{n:.0f} % in {v} lateral wall", "QRS {n:.0f} ms", "{n:.2f} mmol/kg at 1.5 T",
)  # fmt: skip
NAMING = (
    "Mr {family} agreed",
    "seen with {given} {family}",
    "MRN {mrn}",
    "{family}, {given}: as before",
    "(Dr {reader})",
)


@pytest.mark.parametrize("seed", range(60))
def test_property_numbers_in_are_numbers_out_whatever_stands_around_them(seed):
    draw, who = random.Random(seed), identity_of(SEED, seed, 50)
    names = {"family": who.family_name, "given": who.given_name, "mrn": who.patient_id, "reader": who.reader}
    told = [
        clause.format(n=draw.uniform(1, 300), m=draw.uniform(1, 300), v=draw.choice(("left", "right", "LV", "RV")))
        for clause in draw.choices(CLAUSES, k=12)
    ]
    mixed = [*told, *(clause.format(**names) for clause in NAMING)]
    draw.shuffle(mixed)
    order = [clause for clause in mixed if clause in told]
    ends = draw.choices((". ", ".\n", "; ", ", "), k=len(mixed))
    text = "FINDINGS: " + "".join(map("".join, zip(mixed, ends, strict=True))) + "\nIMPRESSION: see above."
    after = model_text(text, known_of(seed), seed)
    kept(" ".join(order), after)
    assert not any(name.lower() in after.lower() for name in names.values())


def test_tokens_spell_every_digit_and_every_sign():
    texts = [model_text(simulated("first", number)[0], known_of(number), number) for number in range(40)]
    tokenizer = learn(texts[:20], 300, [str(number) for number in range(20)], 3)
    for text in texts:
        tokens = tokenizer.encode(text).tokens[1:-1]
        assert "[UNK]" not in tokens
        spelled = "".join(token.removeprefix("##") for token in tokens)
        assert spelled == "".join(text.lower().split())


def test_even_a_vocabulary_of_every_word_holds_no_name_that_a_header_knows():
    numbers_ = range(60)
    raw = [simulated("first", number)[0].lower() for number in numbers_]
    texts = [model_text(simulated("first", number)[0], known_of(number), number) for number in numbers_]
    words = set(learn(texts, 3000).get_vocab())
    assert len(words) > 300
    people = [identity_of(SEED, number, 50) for number in numbers_]
    names = {name.lower() for who in people for name in (who.family_name, who.given_name, who.referring, who.reader)}
    assert sum(any(name in text for name in names) for text in raw) > 5  # some reports do name somebody
    assert not names & words
