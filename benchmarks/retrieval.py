"""Retrieval numbers in large galleries: seconds, memory, and against the metric code of Frozen in Time (and CMR-CLIP).

`python -m benchmarks.retrieval --peer FOLDER` with FOLDER a checkout of github.com/m-bain/frozen-in-time (or of
github.com/Makiya11/CMRCLIP, whose model/metric.py is the same file). Both sides start from the same unit vectors of
random pairs and end in recall@1/5/10/50 and median rank of both directions; ours gives ties their mean place, MRR,
precision and nDCG as well. Processor time of one thread, the least of the rounds. Two sizes that no matrix should be
made of come after: all queries against the published cohort's 13,787, and a share of 100,000 against all of them.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks import log_line, peers
from cmr_lib.evaluation import ranks, retrieval

COHORT, LARGE = 13_787, 100_000
WANTED_TIMES, WANTED_S = 2.0, 30.0


def pairs(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """N images and their reports: unit vectors, float32, some far from their own."""
    random = np.random.default_rng(seed)
    image = random.normal(size=(n, width))
    text = image + random.gamma(2, 1.5, size=(n, 1)) * random.normal(size=(n, width))
    first, second = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (image, text))
    return first.astype(np.float32), second.astype(np.float32)


def ours(image: np.ndarray, text: np.ndarray) -> dict[str, float]:
    """Both directions, all numbers of the tables."""
    numbers = {}
    for way, found in zip(retrieval.DIRECTIONS, ranks.search_pairs(image, text), strict=True):
        numbers |= {f"{way} R@{k}": float(found.first.hits(k).mean()) for k in ranks.RECALL_AT}
        numbers[f"{way} median rank"] = retrieval.median_rank(found.first.ranks())
        found.reciprocal(), found.precision(10), found.ndcg(10)
    return numbers


def theirs(peer: ModuleType, image: np.ndarray, text: np.ndarray) -> dict[str, float]:
    """What the peer says of the same pairs, in our units; its functions want a (texts, videos) matrix."""
    similarity = text @ image.T
    numbers = {}
    for way, found in (
        ("report → image", peer.t2v_metrics(similarity)),
        ("image → report", peer.v2t_metrics(similarity)),
    ):
        numbers |= {f"{way} R@{k}": found[f"R{k}"] / 100 for k in ranks.RECALL_AT}
        numbers[f"{way} median rank"] = float(found["MedR"])
    return numbers


def seconds(work: Callable[[], Any], rounds: int) -> float:
    """Least processor time of the rounds."""
    took = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


def against(peer: ModuleType, n: int, width: int, rounds: int) -> str:
    """One line: both times, their ratio, and the largest difference of a number. Raises SystemExit where too slow."""
    image, text = pairs(n, width)
    one, other = ours(image, text), theirs(peer, image, text)
    apart = max(abs(one[name] - other[name]) for name in other if "R@" in name)
    mine, peers = seconds(lambda: ours(image, text), rounds), seconds(lambda: theirs(peer, image, text), rounds)
    if n >= 5000 and peers < WANTED_TIMES * mine:
        raise SystemExit(f"N = {n:,}: {mine:.2f} s against the peer's {peers:.2f} s; wanted {WANTED_TIMES:g} × faster.")
    return f"N = {n:,}: {mine:.2f} s, peer {peers:.2f} s, {peers / mine:.1f} ×, recalls apart by at most {apart:.4f}"


def peak_mib(image: np.ndarray, text: np.ndarray, queries: int) -> float:
    """Most memory (MiB) that a search of so many queries allocates."""
    tracemalloc.start()
    ranks.search(image[:queries], text, ranks.Right(np.arange(queries), np.arange(len(text))))
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def large(n: int, width: int, queries: int) -> str:
    """One line: time and memory of some and of four times as many queries in a gallery that makes no matrix."""
    image, text = pairs(n, width)
    took = seconds(lambda: ranks.search(image[:queries], text, ranks.Right(np.arange(queries), np.arange(n))), 1)
    few, many = peak_mib(image, text, queries // 4), peak_mib(image, text, queries)
    return f"{queries:,} queries in {n:,}: {took:.1f} s; {few:.0f} MiB with a quarter of them, {many:.0f} MiB with all"


def main() -> None:
    """Command line; exit 1 when slower than wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peer", type=Path, help="a checkout of m-bain/frozen-in-time or Makiya11/CMRCLIP")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 5000, 10_000], help="compared with the peer")
    parser.add_argument("--cohort", type=int, default=COHORT, help="gallery that all its items are sought in")
    parser.add_argument("--large", type=int, default=LARGE, help="gallery that some of its items are sought in")
    parser.add_argument("--queries", type=int, default=4000)
    parser.add_argument("--width", type=int, default=128, help="of the embeddings")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    peer = peers.module(args.peer, "model/metric.py") if args.peer else None
    lines = [against(peer, n, args.width, args.rounds) for n in args.sizes] if peer else []
    image, text = pairs(args.cohort, args.width)
    took = seconds(lambda: ours(image, text), 1)
    lines += [f"N = {args.cohort:,}, both directions: {took:.1f} s", large(args.large, args.width, args.queries)]
    log_line.say(lines)
    if took > WANTED_S * args.cohort / COHORT:
        raise SystemExit(f"{took:.0f} s for {args.cohort:,}; at most {WANTED_S:g} s are wanted for {COHORT:,}.")


if __name__ == "__main__":
    main()
