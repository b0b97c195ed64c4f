"""The split: by patient, by seed, by shares."""

from collections import Counter

import numpy as np
import pytest

from cmr_lib.clips.split import keep_official, split_patients
from cmr_lib.params import SplitShares
from cmr_lib.types import Split

SHARES = SplitShares(train=0.6, validation=0.15, test=0.25)
PATIENTS = [f"p{number:04d}" for number in range(1000)]


@pytest.mark.parametrize("count", [1000, 400, 100, 20])
def test_shares_hold_to_the_nearest_patient(count):
    sizes = Counter(split_patients(PATIENTS[:count], SHARES, 7).values())
    for split, share in ((Split.TRAIN, 0.6), (Split.VALIDATION, 0.15), (Split.TEST, 0.25)):
        assert abs(sizes[split] - share * count) <= 1


def test_order_and_repeats_of_the_input_do_not_matter():
    mixed = list(np.random.default_rng(0).permutation(PATIENTS[:50])) * 2
    assert split_patients([str(name) for name in mixed], SHARES, 3) == split_patients(PATIENTS[:50], SHARES, 3)


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    one, two = split_patients(PATIENTS, SHARES, 1), split_patients(PATIENTS, SHARES, 2)
    assert one == split_patients(PATIENTS, SHARES, 1)
    agree = np.mean([one[name] == two[name] for name in PATIENTS])
    assert agree == pytest.approx(0.6**2 + 0.15**2 + 0.25**2, abs=0.06)


def test_the_split_does_not_follow_the_names():
    train = [int(name[1:]) for name, split in split_patients(PATIENTS, SHARES, 1).items() if split == Split.TRAIN]
    assert abs(np.mean(train) - 499.5) < 40


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_small_cohort_leaves_no_wanted_split_empty(count):
    assert len(set(split_patients(PATIENTS[:count], SHARES, 0).values())) == 3


def test_unwanted_splits_stay_empty_and_tiny_cohorts_do_not_fail():
    only = SplitShares(train=0.0, validation=0.0, test=1.0)
    assert set(split_patients(PATIENTS[:9], only, 0).values()) == {Split.TEST}
    assert len(split_patients(PATIENTS[:1], SHARES, 0)) == 1
    assert split_patients([], SHARES, 0) == {}


# --- public sets ------------------------------------------------------------------------------------------------
TRAINING = {f"p{number:03d}": Split.TRAIN for number in range(100)}
TESTING = {f"q{number:03d}": Split.TEST for number in range(50)}


def test_official_test_patients_stay_and_validation_is_taken_from_training_by_the_shares():
    found = keep_official(TRAINING | TESTING, SHARES, 7)
    assert {patient for patient, split in found.items() if split == Split.TEST} == set(TESTING)
    assert Counter(found.values()) == {Split.TRAIN: 80, Split.VALIDATION: 20, Split.TEST: 50}  # 0.15 of 0.75
    assert found == keep_official(dict(reversed((TRAINING | TESTING).items())), SHARES, 7)


def test_a_set_with_all_three_splits_keeps_them_all():
    official = TRAINING | TESTING | {"r1": Split.VALIDATION}
    assert keep_official(official, SHARES, 7) == official


@pytest.mark.parametrize("official", [TRAINING, TESTING, {**TRAINING, **TESTING, "x": None}, dict.fromkeys(TRAINING)])
def test_a_set_without_a_whole_split_of_its_own_gets_ours(official):
    assert keep_official(official, SHARES, 7) == split_patients(list(official), SHARES, 7)
