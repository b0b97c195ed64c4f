"""A toy on which temporal attention must learn to choose a frame, and the starts from which it can or cannot.

One patch a frame. Each frame carries a number drawn from N(0, 1) and one of two marks of equal length; one frame of f
bears the first mark, and its number is asked for. A block of the library answers at the patch of the first frame, which
hears of the others through temporal attention alone. Who answers 0 errs by 1 (mean square); who sees the first frame
alone, by 1 - 1 / f, knowing the number where that frame is the marked one; who looks at the marked one, by 0.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from cmr_lib import project
from cmr_lib.models.attention import weights_of
from cmr_lib.models.video import Block, VideoConfig, start_time_attention

WIDTH, HEADS = 16, 2
UNSEEN = 4096  # clips that judge
SMALL = 0.02  # standard deviation of the weights of "random_keys"
Start = Literal["frozen_in_time", "zero_output", "random_keys", "all_zero"]


@dataclass
class Trained:
    """The block, and a row a step: error, gradient norm of temporal queries and keys, and norm of their weights."""

    block: Block
    head: nn.Linear
    history: pd.DataFrame
    error: float  # on clips that it has not seen


def make(start: Start, seed: int) -> tuple[Block, nn.Linear]:
    """A block whose temporal attention starts as asked, and a linear answer; weights are a function of the seed.

    random_keys: as frozen_in_time, but with small random keys. all_zero: output and values both zero.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(project.seed_for(seed, "zero start"))
        config = VideoConfig(image_px=16, patch_px=16, width=WIDTH, depth=1, heads=HEADS)
        block, head = Block(config), nn.Linear(WIDTH, 1)
        start_time_attention(block.time, "zero_output" if start in ("zero_output", "all_zero") else "frozen_in_time")
        if start == "random_keys":
            nn.init.normal_(block.time.qkv.weight[WIDTH : 2 * WIDTH], std=SMALL)
        if start == "all_zero":
            nn.init.zeros_(block.time.qkv.weight[2 * WIDTH :])
    return block, head


def clips(draw: torch.Generator, many: int, frames: int) -> tuple[Float32[Tensor, "b tokens d"], Float32[Tensor, " b"]]:
    """Tokens of clips, and the number of the marked frame: channel 0 holds numbers, 1 and 2 marks, 3 the read-out."""
    number = torch.randn(many, frames, generator=draw)
    marked = torch.randint(frames, (many,), generator=draw)
    x = torch.zeros(many, 1 + frames, WIDTH)
    x[:, 0, 3] = 1.0
    x[:, 1:, 0] = number
    x[:, 1:, 2] = 2.0
    rows = torch.arange(many)
    x[rows, 1 + marked, 2], x[rows, 1 + marked, 1] = 0.0, 2.0
    return x, number[rows, marked]


def answer(block: Block, head: nn.Linear, x: Float[Tensor, "b tokens d"]) -> Float[Tensor, " b"]:
    """What is read at the patch of the first frame."""
    there = torch.ones(len(x), x.shape[1] - 1, dtype=torch.bool)
    return head(block(x, there)[:, 1])[:, 0]


@contextmanager
def _one_thread() -> Iterator[None]:
    """A toy's arrays are too small to share: on a busy machine two threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@_one_thread()
def train(start: Start, seed: int, frames: int, steps: int, batch: int = 64, rate: float = 3e-3) -> Trained:
    """AdamW on fresh clips in every step."""
    block, head = make(start, seed)
    draw = torch.Generator().manual_seed(project.seed_for(seed, "clips"))
    optimiser = torch.optim.AdamW([*block.parameters(), *head.parameters()], lr=rate)
    rows = []
    for step in range(1, steps + 1):
        x, wanted = clips(draw, batch, frames)
        error = (answer(block, head, x) - wanted).square().mean()
        optimiser.zero_grad()
        error.backward()
        rows.append({"step": step, "error": error.item(), **_queries_and_keys(block)})
        optimiser.step()
    x, wanted = clips(draw, UNSEEN, frames)
    with torch.no_grad():
        unseen = float((answer(block, head, x) - wanted).square().mean())
    return Trained(block, head, pd.DataFrame(rows), unseen)


def _queries_and_keys(block: Block) -> dict[str, float]:
    weight = block.time.qkv.weight
    return {"gradient": float(weight.grad[: 2 * WIDTH].norm()), "weight": float(weight.detach()[: 2 * WIDTH].norm())}


def nonzero(block: Block) -> tuple[int, int]:
    """How many of the temporal query and key weights are not exactly zero, and how many there are."""
    weight = block.time.qkv.weight.detach()[: 2 * WIDTH]
    return int((weight != 0).sum()), weight.numel()


@torch.no_grad()
def looks(block: Block, seed: int, frames: int) -> Float[Tensor, "clips frames"]:
    """How the first frame's patch shares out its attention in four clips whose second frame is marked.

    Mean of the heads; what is missing to 1 goes to the read-out token.
    """
    x, _ = clips(torch.Generator().manual_seed(project.seed_for(seed, "looks")), 4, frames)
    x[:, 1:, 1], x[:, 1:, 2] = 0.0, 2.0
    x[:, 2, 1], x[:, 2, 2] = 2.0, 0.0
    q, k, _ = block.time.qkv(block.norm_time(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    return weights_of(q[:, :, 1:2], k, None)[:, :, 0, 1:].mean(1)
