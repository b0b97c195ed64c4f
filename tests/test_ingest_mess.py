"""A hospital's mess ends as its truth table says: simulated studies (synthetic phantom) with every share turned up."""

from collections import Counter
from pathlib import Path

import pytest

from cmr_lib import params
from cmr_lib.ingest.studies import read_study
from cmr_lib.simulate.mess import SPOILS
from cmr_lib.simulate.study import Visit, make_study
from cmr_lib.types import ImageKind, Sequence, View

ROOT = Path(__file__).resolve().parents[1]
KEY = b"a key for tests, 32 bytes or more"
STUDIES = 12
KINDS = {
    "cine": ImageKind.CINE,
    "lge": ImageKind.LGE_MAGNITUDE,
    "psir": ImageKind.LGE_PSIR,
    "localiser": ImageKind.LOCALISER,
    "flow_magnitude": ImageKind.FLOW_MAGNITUDE,
    "flow_phase": ImageKind.FLOW_VELOCITY,
    "t1_map": ImageKind.T1_MAP,
}
ASIDE = {"localiser": "N_LOCALISER", "flow_magnitude": "N_OTHER_SEQUENCE", "flow_phase": "N_OTHER_SEQUENCE",
         "t1_map": "N_OTHER_SEQUENCE"}  # fmt: skip
COUNTED = {"used": "accepted", "repaired": "accepted", "ignored": "ignored", "rejected": "rejected"}


def settings():
    values = params.read_yaml(ROOT / "params/smoke/simulate.yaml") | {"out_dir": "unused", "data_dir": "unused"}
    shares = dict.fromkeys(values["mess"], 0.6) | {"artefact": 0.3}
    image = values["image"] | {"matrix_px": 84, "spacing_mm": 2.5, "phases": 8}
    changes = {"mess": shares, "image": image, "full_size": values["full_size"] | {"share": 0.0}}
    return params.check("simulate", values | changes)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """(contents of the truth table, what was read) of every study."""
    folder, found = tmp_path_factory.mktemp("mess"), []
    for patient in range(STUDIES):
        study = make_study(settings(), Visit(patient, 1, has_images=True, has_report=False))
        path = folder / f"{patient}.zip"
        path.write_bytes(study.archive)
        found.append((study.contents, read_study(path, KEY)))
    return found


def test_the_cohort_holds_every_kind_of_mess(cohort):
    rows = [row for contents, _ in cohort for row in contents]
    assert set(KINDS) <= {row["kind"] for row in rows} | {"psir"}
    assert {"pair", "repeat", "wrong_name", "missing_view", "missing_slice"} <= {row["trick"] for row in rows}
    assert len({row["trick"] for row in rows} & set(SPOILS)) >= 3


def test_every_file_ends_as_the_truth_table_says(cohort):
    for contents, study in cohort:
        wanted = Counter({"found": 0, "accepted": 0, "rejected": 0, "ignored": 0})
        for row in contents:
            wanted["found"] += row["files"]
            wanted[COUNTED.get(row["outcome"], "found")] += row["files"] if row["outcome"] in COUNTED else 0
        assert study.counts == dict(wanted)


def test_what_is_set_aside_is_counted_by_code_and_kind(cohort):
    for contents, study in cohort:
        whole = [row for row in contents if row["trick"] not in (*SPOILS, "duplicate")]
        wanted = Counter()
        for row in whole:
            if row["kind"] in ASIDE:
                wanted[ASIDE[row["kind"]], KINDS[row["kind"]].value] += row["files"]
            elif row["trick"] in ("pair", "repeat"):
                wanted["N_REPEAT", KINDS[row["kind"]].value] += row["files"]
        codes = ("N_LOCALISER", "N_OTHER_SEQUENCE", "N_REPEAT")
        found = Counter((row.code, row.tag) for row in study.rejects if row.level == "file" and row.code in codes)
        assert found == wanted


def test_every_stack_is_the_view_that_was_scanned_or_unknown_whatever_its_name(cohort):
    named, unknown = 0, 0
    for contents, study in cohort:
        used = [row for row in contents if row["outcome"] == "used" and row["kind"] in KINDS]
        wanted = {(Sequence.CINE if row["kind"] == "cine" else Sequence.LGE, View(row["view"])) for row in used}
        found = [(stack.sequence, stack.view) for stack in study.stacks]
        assert {one for one in found if one[1] != View.UNKNOWN} <= wanted
        lost = [stack for stack in study.stacks if stack.view == View.UNKNOWN]
        assert len(wanted) - len({one for one in found if one[1] != View.UNKNOWN}) == len(lost)
        named, unknown = named + len(found) - len(lost), unknown + len(lost)
        cines = [view for sequence, view in found if sequence == Sequence.CINE and view != View.UNKNOWN]
        assert len(cines) == len(set(cines))  # a short-axis cine is one stack, though a slice be lost or come twice
        assert all(0 < stack.facts["confidence"] <= 1 for stack in study.stacks if stack.view != View.UNKNOWN)
    assert unknown <= 0.03 * named


def test_screenshots_spoiled_and_doubled_files_have_their_codes(cohort):
    codes = {"screenshot": "N_DERIVED", "duplicate": "N_DUPLICATE", "empty": "N_NOT_DICOM", "not_dicom": "N_NOT_DICOM",
             "no_preamble": "W_NO_PREAMBLE"}  # fmt: skip
    for contents, study in cohort:
        wanted, found = Counter(), Counter(row.code for row in study.rejects if row.level == "file")
        for row in contents:
            wanted[codes.get(row["kind"]) or codes.get(row["trick"], "")] += row["files"]
        for code in set(codes.values()):
            assert found[code] == wanted[code]
        cut = sum(row["files"] for row in contents if row["trick"] == "truncated")
        assert sum(number for code, number in found.items() if code.startswith("E_")) == cut
