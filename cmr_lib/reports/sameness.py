"""Which reports say the same: word for word, nearly, or clinically. For fair retrieval and for several right answers.

Exact: equal after letters' case, blanks and punctuation are levelled. Near: Jaccard similarity of word triples at least
0.9, candidates from MinHash (Broder 1997, doi 10.1109/SEQUEN.1997.666900) in bands. Clinical: the same findings with
the
same severity, whatever the words.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int, UInt32

from cmr_lib import labels, project
from cmr_lib.reports.assertion import Status
from cmr_lib.reports.findings import MORE_FINDINGS
from cmr_lib.reports.summary import Summary

HASHES, BANDS, WORDS, NEAR = 128, 32, 3, 0.9
_RANDOM = project.rng(0, "minhash")
_FACTORS = _RANDOM.integers(1, 2**63, size=HASHES, dtype=np.uint64) | np.uint64(1)
_OFFSETS = _RANDOM.integers(0, 2**63, size=HASHES, dtype=np.uint64)
# A diagnosis is what a reader makes of the findings; clinical sameness compares the findings alone.
COMPARED = (*labels.FINDINGS, *(name for name in MORE_FINDINGS if name != "NICM"))


def levelled(text: str) -> str:
    """Text in one case, with single blanks, without punctuation except inside numbers."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\d+(?:[.,]\d+)?%?|[^\W\d_]+", plain))


def exact_key(text: str) -> str:
    """SHA-256 of the levelled text. Restricted: whoever guesses a text can check the guess."""
    return hashlib.sha256(levelled(text).encode()).hexdigest()


def shingles(text: str) -> frozenset[str]:
    """All runs of three words; a shorter text is one shingle of its own."""
    words = levelled(text).split()
    return frozenset(" ".join(words[place : place + WORDS]) for place in range(max(len(words) - WORDS + 1, 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared shingles over all shingles."""
    return len(one & other) / len(one | other)


def minhash(text: str) -> UInt32[np.ndarray, "hashes"]:  # noqa: F821
    """Signature of 128 hashes: the share of equal places estimates the Jaccard similarity of two texts."""
    raw = [int.from_bytes(hashlib.blake2b(part.encode(), digest_size=8).digest(), "little") for part in shingles(text)]
    values = np.array(raw, dtype=np.uint64)[:, None]
    return ((values * _FACTORS + _OFFSETS) >> np.uint64(32)).astype(np.uint32).min(axis=0)


def clinical_key(summary: Summary) -> tuple[tuple[str, str, str], ...]:
    """What is there or may be, and how severe: (finding, status, severity), sorted. Absent and unsaid are the same."""
    stated = {Status.PRESENT, Status.UNCERTAIN}
    return tuple(
        (name, found.status.value, found.severity)
        for name in sorted(COMPARED)
        if (found := summary.findings.get(name)) and found.status in stated and found.severity != "trivial"
    )


# --- groups -----------------------------------------------------------------------------------------------------
def groups_by(keys: Sequence[Hashable]) -> Int[np.ndarray, "reports"]:  # noqa: F821
    """Group number of each report: equal keys, equal numbers, in the order in which they first occur."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


def _candidates(signatures: UInt32[np.ndarray, "reports hashes"]) -> list[tuple[int, int]]:
    """Pairs of texts that agree in at least one band, each member of a bucket with the first."""
    rows = HASHES // BANDS
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        first: dict[bytes, list[int]] = {}
        for place, signature in enumerate(signatures[:, band * rows : (band + 1) * rows]):
            first.setdefault(signature.tobytes(), []).append(place)
        for bucket in first.values():
            pairs.update((bucket[0], other) for other in bucket[1:])
            pairs.update(pairwise(bucket))
    return sorted(pairs)


def near_groups(texts: Sequence[str], least: float = NEAR) -> Int[np.ndarray, "reports"]:  # noqa: F821
    """Group number of each text: texts of one group are linked by similarities of at least `least`, checked exactly."""
    unique = list(dict.fromkeys(levelled(text) for text in texts))
    if not unique:
        return np.empty(0, dtype=np.int64)
    sets = [shingles(text) for text in unique]
    parents = list(range(len(unique)))
    for one, other in _candidates(np.stack([minhash(text) for text in unique])):
        if _root(parents, one) != _root(parents, other) and jaccard(sets[one], sets[other]) >= least:
            parents[_root(parents, other)] = _root(parents, one)
    roots = {text: _root(parents, place) for place, text in enumerate(unique)}
    return groups_by([roots[levelled(text)] for text in texts])


@dataclass(frozen=True)
class Sameness:
    """Group numbers of the same reports in three senses."""

    exact: Int[np.ndarray, "reports"]  # noqa: F821
    near: Int[np.ndarray, "reports"]  # noqa: F821
    clinical: Int[np.ndarray, "reports"]  # noqa: F821

    def rates(self) -> dict[str, dict[str, float | int]]:
        """For metrics.json: the share of reports that are not alone in their group, with n."""
        return {
            name: project.estimate(shared(getattr(self, name)), n=len(getattr(self, name)))
            for name in ("exact", "near", "clinical")
        }


def sameness(texts: Sequence[str], summaries: Sequence[Summary]) -> Sameness:
    """Exact, near and clinical groups of reports; `texts` and `summaries` are of the same reports in the same order."""
    if len(texts) != len(summaries):
        raise ValueError(f"{len(texts)} texts and {len(summaries)} summaries; as many are wanted.")
    key: Callable[[Summary], Hashable] = clinical_key
    return Sameness(
        groups_by([exact_key(text) for text in texts]), near_groups(texts), groups_by(list(map(key, summaries)))
    )


def shared(groups: Int[np.ndarray, "reports"]) -> float:  # noqa: F821
    """Share of reports that have at least one other in their group; 0 for none."""
    if not groups.size:
        return 0.0
    return float((np.bincount(groups)[groups] > 1).mean())


def positives(groups: Int[np.ndarray, "reports"]) -> Bool[np.ndarray, "reports reports"]:  # noqa: F821
    """Which report is a right answer for which: true on the diagonal and within a group (multi-positive targets)."""
    return groups[:, None] == groups[None, :]
