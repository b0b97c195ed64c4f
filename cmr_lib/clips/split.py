"""Who is learned from and who is asked: a split by patient, so that nobody stands on both sides."""

from collections.abc import Mapping, Sequence

from cmr_lib.params import SplitShares
from cmr_lib.project import seed_for
from cmr_lib.types import Split


def _borders(count: int, shares: SplitShares) -> tuple[int, int]:
    """Where the sorted patients are cut. A split with a share gets at least one patient, where there are enough."""
    wanted = [shares.train, shares.validation, shares.test]
    first = round(count * shares.train)
    second = round(count * (shares.train + shares.validation))
    sizes = [first, second - first, count - second]
    if count >= sum(share > 0 for share in wanted):
        for empty in range(3):
            if wanted[empty] > 0 and sizes[empty] == 0:
                sizes[max(range(3), key=lambda part: sizes[part])] -= 1
                sizes[empty] = 1
    return sizes[0], sizes[0] + sizes[1]


def split_patients(patient_keys: Sequence[str], shares: SplitShares, seed: int) -> dict[str, Split]:
    """The split of every patient (keyed names; repeats are one patient), in sorted order of names.

    Patients are shuffled by a hash of (seed, patient) and cut at the shares: the order of the input does not matter,
    and the shares hold to the nearest patient in a cohort of any size.
    """
    shuffled = sorted(set(patient_keys), key=lambda patient: (seed_for(seed, "split", patient), patient))
    first, second = _borders(len(shuffled), shares)
    names = [Split.TRAIN] * first + [Split.VALIDATION] * (second - first) + [Split.TEST] * (len(shuffled) - second)
    return dict(sorted(zip(shuffled, names, strict=True)))


def keep_official(official: Mapping[str, Split | None], shares: SplitShares, seed: int) -> dict[str, Split]:
    """The split of every patient where a public set has one of its own: official patients stay where they are.

    A set without validation patients gives some of its training ones, by the shares of the two. A set (or a part of
    one on disk) without test patients has no split of its own: then `split_patients` decides for all.
    """
    given = {patient: split for patient, split in official.items() if split is not None}
    if Split.TEST not in given.values() or Split.TRAIN not in given.values() or len(given) < len(official):
        return split_patients(list(official), shares, seed)
    if Split.VALIDATION in given.values():
        return dict(sorted(given.items()))
    learned = shares.train + shares.validation
    two = SplitShares(train=shares.train / learned, validation=shares.validation / learned, test=0.0)
    train = [patient for patient, split in given.items() if split == Split.TRAIN]
    return dict(sorted((given | split_patients(train, two, seed)).items()))
