"""Every class of broken file ends with its code, in time, and nothing else in the batch is touched."""

import io
import time

import dicom_maker as maker
import numpy as np
import psutil
import pytest
from broken_files import CASES, good
from pydicom import dcmread

from cmr_lib.ingest.enhanced import parse_all
from cmr_lib.ingest.header import quiet_pydicom
from cmr_lib.ingest.rejects import CODES, Refused
from cmr_lib.ingest.studies import read_study

KEY = b"a key for tests, 32 bytes or more"
SEEDS = range(10)
HUGE = ("zeros behind the pixels", "deflated bomb", "20,000 sequences deep")


def made(case, seed):
    with quiet_pydicom():
        return case.make(np.random.default_rng([seed, case.number]))


def code_of(data):
    try:
        with quiet_pydicom():
            images = parse_all(data)
    except Refused as refused:
        return refused.code
    return " ".join(images[0].remarks)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.number}, {case.name}")
def test_each_class_ends_with_its_code_in_time(case):
    for seed in SEEDS if case.name not in HUGE else SEEDS[:2]:
        data = made(case, seed)
        start = time.process_time()
        assert code_of(data) == case.code
        assert time.process_time() - start < 2


def test_a_file_without_fault_has_no_code():
    assert code_of(good(np.random.default_rng(0))) == ""
    assert {case.code for case in CASES} <= set(CODES) | {""}


@pytest.mark.parametrize("name", ["deflated", "big-endian", "implicit said to be explicit", "no frames", "no preamble"])
def test_odd_files_give_the_pixels_that_pydicom_gives(name):
    (case,) = [case for case in CASES if case.name == name]
    data = made(case, 3)
    with quiet_pydicom():
        np.testing.assert_array_equal(parse_all(data)[0].raw, dcmread(io.BytesIO(data), force=True).pixel_array)


def test_a_bomb_costs_no_memory():
    (case,) = [case for case in CASES if case.name == "deflated bomb"]
    data = made(case, 0)
    assert len(data) < 2**20
    me = psutil.Process()
    before = me.memory_info().rss
    assert code_of(data) == "E_BOMB"
    assert me.memory_info().rss - before < 40 * 2**20


def test_good_files_of_a_batch_are_read_as_if_the_bad_ones_were_not_there(tmp_path):
    study = maker.study(3, 5)
    alone = read_study(maker.write_zip(tmp_path / "alone.zip", study), KEY)
    refused = [case for case in CASES if case.code[:1] in ("E", "N")]
    files = {f"{n:03d}.dcm": maker.encode(ds) for n, ds in enumerate(study)}
    files |= {f"0{case.number}{case.name}.dcm": made(case, 5) for case in refused}
    folder = tmp_path / "batch"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    mixed = read_study(folder, KEY)
    assert [stack.view for stack in mixed.stacks] == [stack.view for stack in alone.stacks]
    for one, other in zip(mixed.stacks, alone.stacks, strict=True):
        assert one.pixels.tobytes() == other.pixels.tobytes()
    found = sorted(row.code for row in mixed.rejects if row.level == "file")
    assert found == sorted(case.code for case in refused)
    counts = mixed.counts
    assert counts["found"] == len(files) == counts["accepted"] + counts["rejected"] + counts["ignored"]
    assert counts["accepted"] == alone.counts["accepted"]
