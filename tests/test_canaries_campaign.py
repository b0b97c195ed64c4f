"""A clinic's ten studies, each full of invented identifiers, go through every stage: none comes out anywhere.

The machine of the campaign has its own repository, home and temporary files; everything on it but the restricted zone
is searched, and so is DVC's default site cache. The pipeline is the real one, in the sizes of `smoke`.
"""

from pathlib import Path

import pandas as pd
import pytest

from tools.canaries import campaign, forms, machine, scan
from tools.canaries.hunt import Hunt
from tools.canaries.mint import Canary, person_of

pytestmark = pytest.mark.pipeline
ROOT = Path(__file__).resolve().parents[1]
STUDIES, LEAST = 10, 200
RUN = ("preprocess", "pretrain", "retrieval", "attention")  # the others want labels, which a clinic does not give


@pytest.fixture(scope="module")
def walked(ten_studies, tmp_path_factory) -> tuple[campaign.Outcome, machine.Machine]:
    """What the campaign found, and the machine that it ran on."""
    base = tmp_path_factory.mktemp("canaries")
    return campaign.campaign(ROOT, ten_studies, base, studies=STUDIES), machine.Machine(base)


def test_no_identifier_leaves_the_restricted_zone(walked):
    outcome, own = walked
    assert not outcome.hits, campaign.told(outcome, own.base)


def test_every_study_holds_two_hundred_identifiers_and_the_search_finds_each_of_them(walked):
    outcome, _ = walked
    assert len(outcome.planted) == STUDIES
    assert min(outcome.planted.values()) >= LEAST
    assert not outcome.missed


def test_names_of_twelve_forms_dates_of_six_and_every_kind_of_text_are_planted(walked):
    outcome, _ = walked
    carriers = {canary.carrier for canary in outcome.canaries}
    kinds = ["AE", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"]
    assert {f"tag {kind}" for kind in kinds} | {f"private {kind}" for kind in (*kinds, "UN", "OB")} <= carriers
    assert len([carrier for carrier in carriers if carrier.startswith("text: ")]) >= 12 + 6 + 6 + 12
    assert {"preamble", "file meta", "overlay", "behind the pixels", "nested 3 deep", "name of a study"} <= carriers


def test_the_stages_ran_on_the_planted_studies(walked):
    outcome, own = walked
    assert all(outcome.ran[stage] for stage in RUN), campaign.told(outcome, own.base)
    studies = pd.read_parquet(own.copy / "outputs/clinic/preprocess/studies.parquet")
    assert len(studies) == STUDIES
    assert studies.has_report.all()
    for stage in RUN:
        assert list((own.copy / "outputs/clinic" / stage).glob("0?_*.ipynb")), stage


def test_what_stands_around_an_identifier_in_a_report_is_kept(walked):
    _, own = walked
    reports = pd.read_parquet(own.copy / "outputs/clinic/preprocess/reports.parquet")
    wanted = len(forms.sentences(person_of(1, 0)))
    for text in reports.impression:
        assert text.count("Seen today") + text.count("Compare") + text.count("Discussed with") >= wanted // 2


def test_mishaps_were_told_in_words(walked):
    _, own = walked
    said = (own.base / "logs" / "mishaps.txt").read_text()
    assert said.count("Traceback") >= 8
    for words in ("no column 'patient_id'", "is not text", "cohort.reports", "cohort.studies", "max_reject_share"):
        assert words in said
    assert "raised TableRefused" in (own.base / "logs" / "mishap in a notebook.txt").read_text()


def test_an_identifier_in_any_output_would_have_been_found(walked):
    _, own = walked
    places = [
        "repository/.dvc/cache/files",
        "home/.cache",
        "tmp",
        "logs",
        "repository/.ws/clinic/outputs/clinic/pretrain",
    ]
    for place in places:
        (own.base / place).mkdir(parents=True, exist_ok=True)
        (own.base / place / "left behind.txt").write_text("of Qaxevojiwu")
    search = scan.Scan(Hunt([Canary("Qaxevojiwu", 0, "a test")]), machine.own_files(ROOT))
    hits = search.folder(own.base, own.grounds.is_restricted)
    found = {hit.path.parent.relative_to(own.base).as_posix() for hit in hits}
    for place in places:
        (own.base / place / "left behind.txt").unlink()
    assert found == set(places)
