"""A training step at the published scale on a GPU: time, share of the card's rate, memory, largest batch.

    python -m benchmarks.gpu_step [--peer CHECKOUT] [--frames 64] [--studies 16]

ViT-B/16, 224 px, a report of 512 tokens by a BERT of base size, random images and weights, by the same `train_step` as
every training, with its deterministic kernels. The rate that the share is of is measured here, on a large bf16
product. With a checkout of CMR-CLIP (and einops and timm in PYTHONPATH) its step runs in turns with ours, as its
authors configured it: fp16 autocast with a gradient scaler, three channels, its tower and its loss; only its weights
are not downloaded. All studies have all frames, as the peer wants them; ours is measured without the last frame of each
as well. Wanted: 30 % of the rate or more (stretch: 45 %), at least 2 × the peer's studies a second, with --compile.
Without a GPU it says "not measured".
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm
from transformers import BertConfig, BertModel

from benchmarks import peers
from benchmarks.encoder import interval
from benchmarks.log_line import leave, say
from cmr_lib import params, project
from cmr_lib.models import text
from cmr_lib.models.cmrformer import CMRformerConfig, build
from cmr_lib.models.video import VideoConfig
from cmr_lib.training import step
from cmr_lib.training.machine import NO_MEMORY, memory_savers, reproducible
from cmr_lib.training.pairs import Pairs

PRODUCT = 8192  # side of the matrices whose product gives the card's rate
Step = Callable[[], object]
Side = Callable[[int], AbstractContextManager[Step]]  # of so many studies


@dataclass(frozen=True)
class Scale:
    """What a step is measured at; the defaults are CMR-CLIP's (configs/cmr.json)."""

    frames: int = 64
    side: int = 224
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    tokens: int = 512
    vocabulary: int = 28996
    embed_dim: int = 512

    def bert(self) -> BertConfig:
        """The report tower of both sides."""
        layers = {"num_hidden_layers": self.depth, "num_attention_heads": self.heads}
        sizes = {"hidden_size": self.width, "intermediate_size": 4 * self.width, "max_position_embeddings": self.tokens}
        return BertConfig(vocab_size=self.vocabulary, **layers, **sizes)

    def reports(self, studies: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Random token numbers, no padding."""
        draw = torch.Generator().manual_seed(0)
        ids = torch.randint(1000 % self.vocabulary, self.vocabulary, (studies, self.tokens), generator=draw)
        return ids.to(device), torch.ones(studies, self.tokens, dtype=torch.bool, device=device)


def how_of(**changed: Any) -> params.Optimiser:
    """The paper profile's optimiser, with what is tried here."""
    values = params.read_yaml(Path(__file__).parents[1] / "params" / "paper" / "pretrain.yaml")["optim"]
    return params.Optimiser(**values | {"loss": "norm_softmax"} | changed)


@contextmanager
def our_step(
    scale: Scale,
    studies: int,
    device: torch.device,
    how: params.Optimiser,
    precision: str = "bf16",
    complete: bool = True,
) -> Iterator[Step]:
    """Our training step on random studies, as `training.loop` runs it; not `complete`: each lacks its last frame."""
    video = VideoConfig(scale.side, scale.patch, "patch", scale.width, scale.depth, scale.heads)
    config = CMRformerConfig(
        video, text.plain_config(scale.bert()), scale.embed_dim, temperature=0.05, projection="relu"
    )
    model = build(config, 0).to(device).train()
    optimiser = step.make_optimiser(model, how)
    ids, mask = scale.reports(studies, device)
    images = peers.grey(studies, scale.frames, scale.side, device.type)
    if not complete:
        there = images.mask.clone()
        there[:, -1] = False
        images = replace(images, mask=there)
    pairs = Pairs.of(model, images, ids, mask)

    with reproducible(device), memory_savers(model, how):
        yield lambda: step.train_step(model, optimiser, [pairs], how, precision)


class _Peer(nn.Module):
    """CMR-CLIP's model around the tower of its checkout, put together as its `model/cmrclip.py` does."""

    def __init__(self, checkout: Path, scale: Scale) -> None:
        super().__init__()
        sizes = {"img_size": scale.side, "patch_size": scale.patch, "embed_dim": scale.width}
        self.video = peers.encoder(checkout, **sizes, depth=scale.depth, num_heads=scale.heads, num_frames=scale.frames)
        self.text = BertModel(scale.bert(), add_pooling_layer=True)
        self.video_projection, self.text_projection = (
            nn.Sequential(nn.ReLU(), nn.Linear(scale.width, scale.embed_dim)) for _ in range(2)
        )

    def forward(self, films: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reports and studies before normalisation: its loss does that."""
        hidden = self.text(ids, attention_mask=mask.long()).last_hidden_state
        weight = mask.unsqueeze(-1).float()
        mean = (hidden * weight).sum(1) / weight.sum(1)
        return self.text_projection(mean.float()), self.video_projection(self.video(films))


@contextmanager
def peer_step(checkout: Path, scale: Scale, studies: int, device: torch.device) -> Iterator[Step]:
    """The peer's training step (trainer/trainer.py): AdamW, fp16 autocast, gradient scaler, its own loss."""
    model = _Peer(checkout, scale).to(device).train()
    loss_of = peers.module(checkout, "model/loss.py").NormSoftmaxLoss()
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=1e-5)
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    films = peers.coloured(peers.grey(studies, scale.frames, scale.side, device.type))
    ids, mask = scale.reports(studies, device)

    def run() -> object:
        optimiser.zero_grad()
        with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
            loss = loss_of(*model(films, ids, mask))
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        return loss.item()

    yield run


# --- numbers ------------------------------------------------------------------------------------------------------
def seconds(run: Step, device: torch.device, rounds: int) -> list[float]:
    """Wall time of each of `rounds` runs after two for warmth."""
    found = []
    for number in range(rounds + 2):
        _wait(device)
        start = time.perf_counter()
        run()
        _wait(device)
        if number >= 2:
            found.append(time.perf_counter() - start)
    return found


def _tidy() -> None:
    """Free what the last side held, cycles too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matmul_rate(device: torch.device, rounds: int = 20) -> float:
    """Floating-point operations a second of a bf16 product of two square matrices, the best of `rounds`."""
    side = PRODUCT
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / min(seconds(lambda: a @ b, device, rounds))


def flops_of(run: Step) -> int:
    """Floating-point operations of the products in one run, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def largest(fits: Callable[[int], bool], guess: int = 1, limit: int = 4096) -> int:
    """The largest batch that fits, to one part in eight; 0 when not even one study does. `guess`: where to begin."""
    low, high = 0, 2 * limit
    tried = guess
    while low < tried < high and low < limit:
        low, high = (tried, high) if fits(tried) else (low, tried)
        if high > limit:
            tried = 2 * low
        elif low == 0:
            tried = high // 2
        else:
            tried = (low + high) // 2 if high - low > max(1, low // 8) else low
    return low


def runs(make: Side) -> Callable[[int], bool]:
    """Whether a step of so many studies fits into memory."""

    def fits(studies: int) -> bool:
        try:
            with make(studies) as run:
                run()
        except (MemoryError, RuntimeError) as error:
            if not any(words in str(error).lower() for words in NO_MEMORY):
                raise
            return False
        finally:
            _tidy()
        return True

    return fits


def measure(
    scale: Scale, studies: int, device: torch.device, how: params.Optimiser, checkout: Path | None, rounds: int
) -> dict[str, Any]:
    """Everything that is printed: our step of `studies` or as many as fit, and beside the peer's, as both fit."""
    sides: dict[str, Side] = {"ours": lambda count: our_step(scale, count, device, how)}
    if checkout is not None:
        sides["peer"] = lambda count: peer_step(checkout, scale, count, device)
    most = {name: largest(runs(make), studies) for name, make in sides.items()}
    common = min(studies, *most.values())
    if common < 2:
        raise MemoryError(f"Not even two studies fit ({most}): lower --frames.")
    plain = how.model_copy(update={"compile": False, "recompute": False})
    with our_step(scale, 2, device, plain) as run:
        flops = flops_of(run) / 2
    rate = matmul_rate(device)
    found: dict[str, Any] = {"matmul_tflops": rate / 1e12, "tflop_a_study": flops / 1e12, "largest_batch": most}
    sides["incomplete"] = lambda count: our_step(scale, count, device, how, complete=False)
    times, peaks = by_turns(sides, common, device, rounds)
    found["together"] = _rows((times, peaks), common, flops, rate)
    batch = min(studies, most["ours"])
    found["alone"] = _rows(by_turns({"ours": sides["ours"]}, batch, device, rounds), batch, flops, rate)
    if checkout is not None:
        ratios = [theirs / ours for ours, theirs in zip(times["ours"], times["peer"], strict=True)]
        found["peer_over_ours"] = dict(zip(("value", "low", "high"), interval(ratios), strict=True))
    return found


Sitting = tuple[dict[str, list[float]], dict[str, float]]  # seconds of each side's steps, and its peak memory in GiB


def _rows(sitting: Sitting, studies: int, flops: float, rate: float) -> dict[str, Any]:
    """The numbers of each side; `flops` are those of our step a study, so the peer has no share."""
    rows: dict[str, Any] = {"studies": studies}
    for name, times in sitting[0].items():
        median, low, high = interval(times)
        rows[name] = {
            "step_s": {"value": median, "low": low, "high": high},
            "studies_a_second": studies / median,
            "peak_gib": sitting[1][name],
        }
        if name != "peer":
            rows[name]["share_of_rate"] = flops * studies / median / rate
    return rows


def by_turns(sides: dict[str, Side], studies: int, device: torch.device, rounds: int) -> Sitting:
    """Each side in two sittings, so that a warm card is warm for all."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    peaks = dict.fromkeys(sides, 0.0)
    for _ in range(2):
        for name, make in sides.items():
            _tidy()
            torch.compiler.reset()  # or blocks compiled for another batch would be made general in place of fast
            with make(studies) as run:
                times[name] += seconds(run, device, rounds)
            if device.type == "cuda":
                peaks[name] = torch.cuda.max_memory_allocated() / 2**30
            median, low, high = interval(times[name])
            steps = f"{median:.4f} s ({low:.4f} to {high:.4f}, n = {len(times[name])})"
            tqdm.write(f"{name}, {studies} studies: {steps}, {peaks[name]:.1f} GiB")
    return times, peaks


def main(words: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--peer", type=Path, help="a checkout of Makiya11/CMRCLIP")
    parser.add_argument("--frames", type=int, default=Scale.frames)
    parser.add_argument("--studies", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--out", type=Path, help="where the numbers go as JSON; default: to the screen only")
    chosen = parser.parse_args(words)
    if not torch.cuda.is_available():
        say(["not measured: this machine offers no GPU"])
        return
    how = how_of(compile=chosen.compile, recompute=chosen.recompute)
    scale, device = Scale(frames=chosen.frames), torch.device("cuda")
    found = measure(scale, chosen.studies, device, how, chosen.peer, chosen.rounds)
    found["card"] = torch.cuda.get_device_name()
    leave({"step": found}, chosen.out, lambda _, one: ", ".join(f"{k} {v}" for k, v in project.rounded(one).items()))


if __name__ == "__main__":
    main()
