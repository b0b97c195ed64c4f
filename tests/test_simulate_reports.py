"""Readers and their reports: what is measured, seen and said, in which words, and where a name may stand."""

import datetime
import re
import string
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cmr_lib import labels, params
from cmr_lib.labels import Diagnosis
from cmr_lib.reports.sections import HEADERS, split_sections
from cmr_lib.simulate import letterhead, phrases
from cmr_lib.simulate.diseases import Disease
from cmr_lib.simulate.identity import SECOND_HOSPITAL, SECOND_SITE, SITES, accession, identity_of
from cmr_lib.simulate.latents import Latents, Person, Targets, draw_latents
from cmr_lib.simulate.opinion import opinion
from cmr_lib.simulate.reading import read_study
from cmr_lib.simulate.report import INVENTED, STYLES, Letterhead, findings, impression, styles_of, write_report
from cmr_lib.simulate.slips import DENYING, with_typo
from cmr_lib.simulate.voices import Speaker

SHARES = {"NOR": 0.24, "DCM": 0.14, "HCM": 0.13, "ICM": 0.17, "ARV": 0.08, "AMY": 0.08, "MYO": 0.08, "NIF": 0.08}
DEMO = {
    "lvef_points": 2.5,
    "volume_ml": 5.0,
    "omission_share": 0.15,
    "template_share": 0.3,
    "typo_share": 0.1,
    "addendum_share": 0.04,
    "identifier_share": 0.25,
}
PLAIN = DEMO | {name: 0.0 for name in DEMO if name.endswith("share")}
VOICES = {style.voice.lines["lv_size"]: style.voice for style in STYLES}.values()


def reader(**changes):
    return params.Reader(**(PLAIN | changes))


def latents_of(disease, site=SITES[0], sex="M", **targets):
    sizes = {"lvedv_ml": 150.0, "lvef": 62.0, "wall_mm": 9.0, "rvedv_ml": 160.0, "rvef": 60.0} | targets
    return Latents(0, 1, Person(sex, 50, 180.0, 80.0), disease, Targets(**sizes), 60.0, 1, site=site)


def truth_of(latents, half_filling_ms=150.0, septal_delay_ms=5.0):
    """A truth table's row without a phantom: the targets themselves."""
    targets, disease = latents.targets, latents.disease
    return {
        "lvef": targets.lvef,
        "lvedv_ml": targets.lvedv_ml,
        "lv_mass_g": 70 * latents.person.bsa_m2,
        "rvef": targets.rvef,
        "rvedv_ml": targets.rvedv_ml,
        "wall_mm": targets.wall_mm,
        "aorta_mm": targets.aorta_mm,
        "effusion_mm": targets.effusion_mm,
        "half_filling_ms": half_filling_ms,
        "septal_delay_ms": septal_delay_ms,
        "lge": int(disease.lge_pattern != "none"),
        "thrombus": int(disease.thrombus),
    }


def reading_of(disease=None, seed=0, settings=None, site=SITES[0], timing=(150.0, 5.0), **targets):
    latents = latents_of(disease or Disease(Diagnosis.NOR), site, **targets)
    return read_study(latents, truth_of(latents, *timing), settings or reader(), np.random.default_rng(seed))


NORMAL = reading_of(settings=reader(lvef_points=0.0, volume_ml=0.0))


def sane(**changes):
    """A normal reading with some things changed."""
    base = {"half_filling": 150, "delay": 0, "slow_relaxation": False, "dyssynchrony": False, "fluid": 0}
    return replace(NORMAL, **(base | {"scar_imagined": False, "thrombus_doubted": False} | changes))


def patient_report(patient, study=1, settings=None):
    """One report of the demo's hospital: (text, latents, reading, findings)."""
    settings = settings or params.Reader(**DEMO)
    latents, before, earlier = draw_latents(2304, patient, study, SHARES), None, None
    if study > 1:
        *_, reading, found = patient_report(patient, study - 1, settings)
        before, earlier = (reading, found), datetime.date(2013, 8, 17)
    random = np.random.default_rng([patient, study])
    timing = latents.timing
    slow = (0.19 + 0.034 * timing.relaxation) * 60000 / latents.heart_rate
    truth = truth_of(latents, slow, 0.115 * timing.dyssynchrony * 60000 / latents.heart_rate)
    reading = read_study(latents, truth, settings, random)
    head = Letterhead(identity_of(2304, patient, 50), accession(patient, study), datetime.date(2015, 3, 9), earlier)
    text, found = write_report(reading, random, settings, before, head)
    return text, latents, reading, found


@pytest.fixture(scope="module")
def hospital():
    """Reports of 360 patients, a fifth of the second hospital's, every eighth a follow-up."""
    return [
        patient_report(patient + SECOND_HOSPITAL * (patient % 5 == 0), 1 + (patient % 8 == 1)) for patient in range(360)
    ]


def speak(style, seed=0):
    return Speaker(style.voice, style.habit, np.random.default_rng(seed))


def said(reading, style, seed=0):
    """Findings and impression of one reader who leaves nothing out."""
    speaker = speak(style, seed)
    lines = impression(reading, style, speaker, 0.0)
    return " ".join([*findings(reading, style, speaker, 0.0).values(), *lines])


def style_of(text):
    """Whose report it is, by its headers."""
    return next(
        style for style in STYLES if all(re.search(f"^{name}\\b", text, re.MULTILINE) for name in style.headers[:3])
    )


# --- reading ----------------------------------------------------------------------------------------------------
def test_a_noiseless_reader_prints_the_true_numbers():
    reading = reading_of(settings=reader(lvef_points=0.0, volume_ml=0.0), lvef=57.2, lvedv_ml=149.6, rvef=48.8)
    assert (reading.lvef, reading.lvedv, reading.rvef) == (57, 150, 49)
    assert reading.lvesv == round(149.6 * (1 - 0.572))
    assert reading.lvedvi == round(149.6 / 2.0)


def test_reader_noise_is_of_the_asked_size():
    settings = reader(lvef_points=3.0)
    errors = [reading_of(seed=seed, settings=settings, lvef=50.0).lvef - 50 for seed in range(400)]
    assert np.std(errors) == pytest.approx(3.0, rel=0.15)


def test_readers_miss_things_at_the_stated_rates():
    infarct = Disease(Diagnosis.ICM, "transmural", "LAD", (13, 14), 1.0, (13, 14), 0.1, 0.3, thrombus=True)
    seen = [reading_of(infarct, seed, effusion_mm=8.0, timing=(250.0, 80.0)) for seed in range(1200)]
    rates = {
        "scar_seen": 0.97,
        "motion_seen": 0.94,
        "thrombus_seen": 0.90,
        "slow_relaxation": 0.85,
        "dyssynchrony": 0.85,
        "fluid": 0.85,
    }
    for name, rate in rates.items():
        assert np.mean([bool(getattr(reading, name)) for reading in seen]) == pytest.approx(rate, abs=0.03), name
    assert all(reading.slow_relaxation == (reading.half_filling > 0) for reading in seen)
    imagined = np.mean([reading_of(seed=seed).scar_imagined for seed in range(1200)])
    assert 0.002 < imagined < 0.016


def test_timing_is_judged_on_the_printed_numbers_whatever_the_sign():
    for delay in (-90.0, 90.0):
        readings = [reading_of(seed=seed, timing=(150.0, delay)) for seed in range(20)]
        assert {np.sign(reading.delay) for reading in readings if reading.dyssynchrony} == {np.sign(delay)}
    for seed in range(100):
        reading = reading_of(seed=seed, timing=(218.0, 38.0))
        if reading.half_filling:
            share = reading.half_filling * reading.heart_rate / 60000
            assert reading.slow_relaxation == (share >= labels.SLOW_FILLING_SHARE)
        if reading.delay:
            assert reading.dyssynchrony == (abs(reading.delay) >= labels.DELAY_MS)


def test_nothing_is_seen_of_enhancement_that_was_never_imaged():
    disease = Disease(Diagnosis.MYO, "subepicardial", scar_segments=(5, 11))
    latents = latents_of(disease)
    for seed in range(20):
        random = np.random.default_rng(seed)
        reading = read_study(latents, truth_of(latents), reader(), random, late_imaged=False)
        text, _ = write_report(reading, random, reader())
        assert not re.search(r"\bLGE\b|enhancement|myocarditis|subepicardial", text.replace("Late enhancement:", ""))


# --- words ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "grade"),
    [
        ({"lvef": 29}, "severely"),
        ({"lvef": 30}, "moderately"),
        ({"lvef": 44}, "moderately"),
        ({"lvef": 45}, "mildly"),
        ({"lvef": 54}, "mildly"),
        ({"lvef": 55}, ""),
        ({"lvedvi": 97}, ""),
        ({"lvedvi": 98}, "mildly"),
        ({"lvedvi": 135}, "severely"),
        ({"rvef": 49}, "mildly"),
        ({"rvef": 29}, "severely"),
        ({"rvedvi": 122}, "moderately"),
        ({"wall": 12}, "mildly"),
        ({"wall": 19}, "moderately"),
        ({"wall": 20}, "severely"),
        ({"aorta": 39}, ""),
        ({"aorta": 40}, "mildly"),
        ({"aorta": 50}, "severely"),
    ],
)
def test_severity_words_are_those_of_the_cut_points(changes, grade):
    for style in STYLES:
        voice = style.voice
        for seed in range(6):
            text = said(sane(**changes), replace(style, names_diagnosis=0.0), seed).lower()
            for name in voice.degrees:
                words = rf"\b(?:{voice.degrees[name]}|{voice.nouns[name]})\b"
                assert bool(re.search(words, text)) == (name == grade), (style.name, text)


@pytest.mark.parametrize(
    ("fluid", "words"),
    [(0, "no .*effusion|dry|no fluid"), (3, "trivial|trace|film"), (4, "small"), (10, "moderate"), (20, "large")],
)
def test_an_effusion_is_called_by_its_size(fluid, words):
    for style in STYLES:
        for seed in range(6):
            text = phrases.pericardium(sane(fluid=fluid), speak(style, seed)).lower()
            assert re.search(words, text), text


def test_a_denial_is_made_only_of_what_was_not_seen(hospital):
    denials = {
        r"no effusion|no pericardial effusion|pericardium dry|no fluid in": lambda reading: reading.effusion != "none",
        r"no (?:intracardiac |lv )?thrombus|free of clot": lambda reading: (
            reading.thrombus_seen or reading.thrombus_doubted
        ),
        r"no lge|negative for lge|no late (?:gad|enh)|none, no scar|no evidence of myocardial scar|without hyperenh|"
        r"nothing retained|dhe absent": lambda reading: reading.scar_seen or reading.scar_imagined,
        r"no (?:rwma|regional|segmental|disorder)|normal in all segments|regular everywhere": lambda reading: (
            reading.motion_seen
        ),
        r"no dyssynchrony|no mechanical dys|contract together|in step": lambda reading: reading.dyssynchrony,
        r"no lvh|no left ventricular hyp|not thickened": lambda reading: reading.hypertrophy != "normal",
        r"not delayed|filling prompt|normal early filling": lambda reading: reading.slow_relaxation,
    }
    made = Counter()
    for text, _, reading, _ in hospital:
        body = split_sections(text).text().lower()
        for words, seen in denials.items():
            if re.search(words, body):
                assert not seen(reading), body
                made[words] += 1
    assert set(made) == set(denials)
    assert min(made.values()) > 5


def test_scars_are_named_and_their_absence_is_said():
    scar = Disease(Diagnosis.ICM, "subendocardial", "RCA", (4, 10, 15), 0.5, (4, 10, 15), 0.2)
    for style in STYLES:
        for seed in range(10):
            seen = said(sane(disease=scar, scar_seen=True, motion_seen=True), style, seed)
            assert re.search(r"(?i)subendocardial|inner[- ]layer", seen)
            assert "RCA" in seen
            assert "basal to apical inferior" in seen
            denied = said(sane(), style, seed)
            assert re.search(r"(?i)no l|none|scar|without|retained|absent|negative", denied)


WORDS = {
    Diagnosis.NOR: r"normal|regular|without pathology",
    Diagnosis.DCM: r"dilated cardio|\bdcm\b",
    Diagnosis.HCM: r"hypertrophic cardio|\bhcm\b",
    Diagnosis.ICM: r"infarct|ischaemic|\bmi\b",
    Diagnosis.ARV: r"right ventric|right[- ](?:heart|sided)|abnormal rv|rv pressure|\bph\b",
    Diagnosis.AMY: r"amyloid|infiltrat",
    Diagnosis.MYO: r"myocarditis",
    Diagnosis.NIF: r"non-ischaemic|not? (?:of )?coronary|middle-layer scar|spotted scar|mid-wall fibrosis|sarcoid",
}


@pytest.mark.parametrize("diagnosis", list(Diagnosis))
def test_each_diagnosis_has_its_words_and_is_sometimes_not_named(diagnosis):
    settings = reader()
    named = []
    for patient in range(40):
        place = SECOND_HOSPITAL * (patient % 4 == 0) + patient
        latents = draw_latents(1, place, 1, {diagnosis.value: 1.0})
        random = np.random.default_rng(patient)
        reading = read_study(latents, truth_of(latents), settings, random)
        text, _ = write_report(reading, random, settings)
        named.append(bool(re.search(WORDS[diagnosis], split_sections(text).impression.lower())))
    assert np.mean(named) > 0.45
    if diagnosis is not Diagnosis.NOR:
        assert not all(named)


def test_a_report_is_made_of_what_was_seen_and_not_of_the_label(hospital):
    for _, latents, reading, _ in hospital[:100]:
        other = replace(reading, disease=replace(latents.disease, diagnosis=Diagnosis.NOR, silent=False))
        texts = [write_report(one, np.random.default_rng(5), reader())[0] for one in (reading, other)]
        assert texts[0] == texts[1]


def test_a_silent_myocarditis_whose_scar_was_missed_is_a_normal_heart():
    disease = Disease(Diagnosis.MYO, "subepicardial", scar_segments=(5, 11), silent=True)
    assert opinion(sane(disease=disease, scar_seen=True)) == "myocarditis"
    assert opinion(sane(disease=disease)) == "normal"


def test_thick_hearts_without_enhancement_stay_open():
    wall = Disease(Diagnosis.AMY, hypertrophy="concentric")
    assert opinion(sane(disease=wall, wall=15)) == opinion(
        sane(disease=replace(wall, diagnosis=Diagnosis.HCM), wall=15)
    )


def test_timing_and_thrombus_are_told_with_their_walls_and_numbers():
    reading = sane(half_filling=240, slow_relaxation=True, delay=-60, dyssynchrony=True, thrombus_seen=True)
    for style in STYLES:
        for seed in range(6):
            found = findings(reading, style, speak(style, seed), 0.0)
            assert "240 ms" in found["timing"]
            assert "60 ms" in found["timing"]
            assert re.search(r"(?i)^[^.]*\b(?:lateral|free) wall\b[^.]*\bsept", found["timing"].split(". ")[-1])
            assert re.search(r"thrombus|clot", found["negatives"].lower())


def test_places_are_told_wall_by_wall():
    assert phrases.place((4, 10, 9)) == "basal to mid inferior and mid inferoseptal segments"
    assert phrases.place((13, 14, 17)) == "apical anterior and apical septal segments and the apex"
    assert phrases.place((1, 13)) == "basal and apical anterior segments"
    assert phrases.place((5,)) == "basal inferolateral segment"
    assert phrases.place((17,)) == "apex"
    assert phrases.territories((3, 4, 9, 1)) == ["RCA", "LAD"]


def test_all_voices_can_say_everything():
    keys = {frozenset(voice.lines) for voice in VOICES}, {frozenset(voice.words) for voice in VOICES}
    assert [len(found) for found in keys] == [1, 1]
    for style in STYLES:
        allowed = {*phrases.FACTS, *phrases.NUMBERS, *style.voice.words, "scar", "before"}
        for key, forms in style.voice.lines.items():
            for form in forms:
                assert {name for _, name, _, _ in string.Formatter().parse(form) if name} <= allowed, (key, form)


# --- readers ----------------------------------------------------------------------------------------------------
def test_the_first_hospital_has_four_readers_and_the_second_one_of_its_own():
    first = {style.name for site in SITES for style in styles_of(site)}
    second = {style.name for style in styles_of(SECOND_SITE)}
    assert len(first) >= 4
    assert len(second) == 1
    assert not first & second
    assert len({style.headers for style in STYLES}) == len(STYLES)
    with pytest.raises(ValueError, match="Elsewhere"):
        styles_of("Elsewhere")


def test_the_second_hospitals_words_are_never_the_firsts():
    *firsts, north = (set(style.voice.lines["lv_size"] + style.voice.lines["late_none"]) for style in STYLES)
    assert not any(north & first for first in firsts)


def test_every_reader_writes_five_sections_that_are_found_again(hospital):
    names = set()
    for text, latents, _, found in hospital:
        style, report = style_of(text), split_sections(text)
        names.add(style.name)
        assert style in styles_of(latents.site)
        assert all((report.indication, report.technique, report.findings, report.impression))
        assert INVENTED in report.technique
        assert text.count(INVENTED) == 1
        assert (f"\n{style.headers[3]}" in text) == bool(found)  # a ready-made text has no measurements
    assert names == {style.name for style in STYLES}


def test_reports_are_short_enough_to_be_read_by_the_model(hospital):
    lengths = [len(split_sections(text).text()) for text, *_ in hospital]
    assert np.percentile(lengths, 90) < 1200
    assert max(lengths) < 1700
    lines = [split_sections(text).impression.count("\n") + 1 for text, *_ in hospital]
    assert max(lines) <= 7  # six, and an addendum


def test_the_same_reading_can_be_written_in_many_ways():
    texts = {write_report(NORMAL, np.random.default_rng(seed), reader(omission_share=0.15))[0] for seed in range(40)}
    assert len(texts) == 40


def test_reports_print_the_ejection_fraction_that_was_read(hospital):
    for text, latents, reading, found in hospital:
        if found:
            assert f"{reading.lvef} %" in split_sections(text).findings
            assert abs(reading.lvef - latents.targets.lvef) < 12


def test_omission_leaves_out_optional_topics_only():
    for style in STYLES:
        everything = findings(NORMAL, style, speak(style), 0.0)
        little = findings(NORMAL, style, speak(style), 1.0)
        assert tuple(everything) == style.order
        assert set(style.order) == set(phrases.WRITERS)
        assert set(little) == {"lv_size", "lv_function", "enhancement"}


# --- ready-made texts, slips and follow-ups ---------------------------------------------------------------------
def test_normal_studies_get_the_ready_made_text_at_the_stated_rate():
    settings = reader(template_share=0.3, typo_share=0.5, addendum_share=0.5)
    ready = {style.normal_findings: style.normal_impression for style in STYLES}
    made = []
    for seed in range(600):
        text, found = write_report(sane(), np.random.default_rng(seed), settings)
        report = split_sections(text)
        made.append(report.findings in ready)
        assert made[-1] == (not found)
        if made[-1]:
            assert report.impression.removeprefix("- ") == ready[report.findings].removeprefix("- ")
            assert not re.search(r"\d", report.text())
    assert np.mean(made) == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    "changes",
    [
        {"lvef": 54},
        {"wall": 12},
        {"aorta": 40},
        {"fluid": 2},
        {"slow_relaxation": True, "half_filling": 240},
        {"dyssynchrony": True, "delay": 60},
        {"scar_imagined": True},
        {"thrombus_doubted": True},
        {"late_imaged": False},
        {"disease": Disease(Diagnosis.ARV, septal_flattening=0.15)},
    ],
)
def test_whatever_is_worth_a_remark_is_never_ready_made(changes):
    reading = sane(**changes)
    assert not reading.is_normal
    for seed in range(20):
        assert write_report(reading, np.random.default_rng(seed), reader(template_share=1.0))[1]


def test_a_typing_error_changes_exactly_one_word_and_never_what_counts():
    changed = 0
    for seed in range(150):
        one, other = (
            re.findall(r"\S+", write_report(NORMAL, np.random.default_rng(seed), reader(typo_share=share))[0])
            for share in (0.0, 1.0)
        )
        pairs = [(right, wrong) for right, wrong in zip(one, other, strict=True) if right != wrong]
        assert len(pairs) <= 1
        for right, wrong in pairs:
            assert right.strip(".,;:()").islower()  # neither header, name, abbreviation nor number
            assert right.strip(".,;:()").isalpha()
            assert right.strip(".,;:()") not in DENYING
            assert (right[0], right[-1]) == (wrong[0], wrong[-1])
            assert abs(len(right) - len(wrong)) <= 1
        changed += len(pairs)
    assert changed > 140


def test_a_word_that_denies_is_never_misspelt():
    texts = ["No scar, EF 60 %, without LGE; cannot be excluded, absent, negative.", "LVEDVi 80 mL/m2 mid-wall"]
    for seed in range(20):
        assert with_typo(texts, np.random.default_rng(seed)) == texts
        assert with_typo([*texts, "preserved"], np.random.default_rng(seed))[:2] == texts


def test_typing_errors_come_at_the_stated_rate():
    clean, dirty = (
        [write_report(NORMAL, np.random.default_rng(seed), reader(typo_share=share))[0] for seed in range(300)]
        for share in (0.0, 0.1)
    )
    wrong = np.mean([one != other for one, other in zip(clean, dirty, strict=True)])
    assert wrong == pytest.approx(0.1, abs=0.05)


def test_addenda_stand_at_the_end_at_the_stated_rate():
    texts = [write_report(NORMAL, np.random.default_rng(seed), reader(addendum_share=0.2))[0] for seed in range(350)]
    added = [text for text in texts if "ADDENDUM" in text]
    assert len(added) / len(texts) == pytest.approx(0.2, abs=0.05)
    for text in added:
        last = text.strip().split("\n")[-1]
        assert last.startswith("ADDENDUM: ")
        assert split_sections(text).impression.endswith(last.removeprefix("ADDENDUM: "))


def test_follow_ups_compare_with_the_study_before_and_copy_what_still_holds():
    old = sane(lvef=40, fluid=12, wall=13)
    new = sane(lvef=58, fluid=0, wall=13)
    copied = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        _, found = write_report(old, random, reader())
        text, again = write_report(new, random, reader(template_share=1.0), (old, found))
        impression_text = split_sections(text).impression
        assert "40 % to 58 %" in impression_text
        assert "resolved" in impression_text
        assert again["pericardium"] != found["pericardium"]
        copied += again["lv_wall"] == found["lv_wall"]
    assert 10 < copied < 38


# --- names ------------------------------------------------------------------------------------------------------
def identifiers(patient, study):
    """Everything that names the patient of one report."""
    person = identity_of(2304, patient, 50)
    days = [person.birth_date, datetime.date(2015, 3, 9), datetime.date(2013, 8, 17)]
    names = [person.family_name, person.given_name, person.referring, person.reader]
    return [
        *names,
        *(name.upper() for name in names),
        *(person.patient_id, accession(patient, study), person.address, person.telephone),
        *(form(day) for form in letterhead.DATES for day in days),
    ]


def test_names_stand_in_letterhead_indication_comparison_and_signature_only():
    settings = params.Reader(**(DEMO | {"identifier_share": 1.0}))
    forms = Counter()
    for patient in range(120):
        number = patient + SECOND_HOSPITAL * (patient % 4 == 0)
        study = 1 + patient % 2
        text, *_ = patient_report(number, study, settings)
        report = split_sections(text)
        named = identifiers(number, study)
        assert not [name for name in named if name in report.text()], text
        assert sum(name in text for name in named) >= 5
        assert report.text()
        forms["signed"] += identity_of(2304, number, 50).reader in report.technique
        forms["compared"] += "2013" in report.technique
    assert forms == {"signed": 120, "compared": 60}


def test_names_appear_at_the_stated_rate(hospital):
    named = [latents.patient for text, latents, *_ in hospital if f"SYN{latents.patient:06d}" in text]
    assert len(named) / len(hospital) == pytest.approx(0.25, abs=0.06)


def test_signature_and_addendum_are_headers():
    assert {"reported by", "dictated by"} <= set(HEADERS["technique"])
    report = split_sections("FINDINGS: a\nIMPRESSION: b\nElectronically signed by: Dr Zor, 1.1.2020\nADDENDUM: c")
    assert (report.findings, report.impression, report.technique) == ("a", "b\nc", "Dr Zor, 1.1.2020")
