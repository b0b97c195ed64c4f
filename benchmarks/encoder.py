"""The image tower against the peer's module: equal outputs, time of a step, memory kept for the backward pass.

    PYTHONPATH=FOLDER python -m benchmarks.encoder --peer CHECKOUT     # FOLDER holds einops and timm

fp32, on a CPU, one thread. Both sides have the same weights and the same images and take turns, in changing order;
each round is forward and backward of one batch and gives one ratio of processor times. Wanted: the interval of the
ratio (peer / ours) not below 0.95, outputs within 1e-5, at most 0.88 of the peer's bytes kept for the backward pass.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import peers
from benchmarks.log_line import leave
from cmr_lib.training.machine import keep_freed_memory

SIZES = {"S": {"embed_dim": 384, "depth": 12, "num_heads": 6}, "B": {"embed_dim": 768, "depth": 12, "num_heads": 12}}
RESAMPLES = 2000


def kept_bytes(run: Callable[[], torch.Tensor], weights: set[int]) -> int:
    """Bytes that a forward pass keeps for the backward pass, each storage once, weights not counted."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = run()
    total = sum(kept.values())
    del out
    return total


def storages(model: torch.nn.Module) -> set[int]:
    """Where the weights lie."""
    return {weight.untyped_storage().data_ptr() for weight in model.parameters()}


def step_of(model: torch.nn.Module, given: Any, goal: torch.Tensor) -> Callable[[], None]:
    """One forward and backward pass with a fixed linear loss."""

    def step() -> None:
        model.zero_grad(set_to_none=True)
        (model(given) * goal).sum().backward()

    return step


def rounds_of(sides: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    """Processor time of side 1 over that of side 0, round by round; the first round is for warmth."""
    ratios = []
    for turn in range(rounds + 1):
        spent = [0.0, 0.0]
        for index in (0, 1) if turn % 2 else (1, 0):
            start = time.process_time()
            sides[index]()
            spent[index] = time.process_time() - start
        ratios.append(spent[1] / spent[0])
    return ratios[1:]


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Median with a 95 % bootstrap interval over rounds."""
    draws = np.random.default_rng(0).choice(np.asarray(ratios), (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def measure(checkout: Path, size: dict[str, int], frames: int, side: int, studies: int, rounds: int) -> dict[str, Any]:
    """Both sides once for their outputs and bytes, then `rounds` times for their speed."""
    peer = peers.encoder(checkout, img_size=side, patch_size=16, num_frames=frames, **size)
    ours = peers.ours(peer, size["num_heads"])
    images = peers.grey(studies, frames, side)
    films = peers.coloured(images)
    with torch.no_grad():
        apart = float((ours(images) - peer(films)).abs().max())
    ours_bytes = kept_bytes(lambda: ours(images), storages(ours))
    peer_bytes = kept_bytes(lambda: peer(films), storages(peer))
    goal = torch.randn(studies, size["embed_dim"])
    ratios = rounds_of([step_of(ours, images, goal), step_of(peer, films, goal)], rounds)
    median, low, high = interval(ratios)
    return {
        "largest_difference": f"{apart:.1e}",
        "speed": {"value": median, "low": low, "high": high, "rounds": rounds},
        "kept_bytes_share": ours_bytes / peer_bytes,
        "kept_mib_a_study": ours_bytes / studies / 2**20,
    }


def _in_words(name: str, found: dict[str, Any]) -> str:
    speed = found["speed"]
    return (
        f"{name}: {speed['value']:.2f} ({speed['low']:.2f} to {speed['high']:.2f}) × the peer's speed, n = "
        f"{speed['rounds']} rounds, {found['kept_bytes_share']:.2f} of its bytes, outputs within "
        f"{found['largest_difference']}"
    )


def main(words: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--peer", type=Path, required=True, help="a checkout of Makiya11/CMRCLIP or frozen-in-time")
    parser.add_argument("--size", choices=SIZES, default="S")
    parser.add_argument("--frames", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--studies", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="where the numbers go as JSON; default: to the screen only")
    chosen = parser.parse_args(words)
    torch.set_num_threads(1)
    keep_freed_memory()  # for both sides
    result = {
        f"{chosen.size}, {frames} frames of {chosen.side} px, {chosen.studies} studies": measure(
            chosen.peer, SIZES[chosen.size], frames, chosen.side, chosen.studies, chosen.rounds
        )
        for frames in chosen.frames
    }
    leave(result, chosen.out, _in_words)


if __name__ == "__main__":
    main()
