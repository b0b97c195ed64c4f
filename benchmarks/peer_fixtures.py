"""Are the outputs that our encoders are tested against those of the peers' own code?

    python -m benchmarks.peer_fixtures [--frozen-in-time CHECKOUT] [--cmr-clip CHECKOUT]

tests/data/*.safetensors hold random weights, inputs and outputs. Here the peers' modules, from checkouts that the user
names, are given the same weights and inputs; the largest difference of any output is printed, and more than 1e-5 is an
error. Of CMR-CLIP the towers run as its `model/cmrclip.py` puts them together, with a text tower of the fixture's size.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from benchmarks import peers
from benchmarks.log_line import say

DATA = Path(__file__).parents[1] / "tests" / "data"
TOLERANCE = 1e-5
SIZES = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_frames": 4}


def part(content: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The arrays under a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in content.items() if name.startswith(prefix)}


def tower(checkout: Path, weights: Mapping[str, Tensor]) -> nn.Module:
    """The peer's image tower with these weights."""
    model = peers.encoder(checkout, **SIZES).eval()
    model.load_state_dict(weights)
    return model


def films(content: Mapping[str, Tensor]) -> Tensor:
    """The fixture's grey films in the three channels that the peers read."""
    return content["frames"].expand(-1, -1, 3, -1, -1).contiguous()


def frozen_in_time(checkout: Path, content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Output of the tower, and what goes into its first block and comes out of it."""
    model, seen = tower(checkout, part(content, "weights/")), {}

    def look(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        seen.update(block0_in=given[0], block0_out=out)

    model.blocks[0].register_forward_hook(look)
    return {"out": model(films(content))} | seen


def cmr_clip(checkout: Path, content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Projections of studies and reports, and their cosines."""
    weights = part(content, "weights/")
    words, width = weights["text_model.embeddings.word_embeddings.weight"].shape
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 2 * width}
    text = BertModel(BertConfig(vocab_size=words, hidden_size=width, max_position_embeddings=24, **sizes)).eval()
    text.load_state_dict(part(weights, "text_model."))
    projections = {}
    for name in ("vid_proj", "txt_proj"):
        linear = part(weights, f"{name}.1.")
        projections[name] = nn.Sequential(nn.ReLU(), nn.Linear(*reversed(linear["weight"].shape)))
        projections[name][1].load_state_dict(linear)
    video = projections["vid_proj"](tower(checkout, part(weights, "video_model."))(films(content)))
    hidden = text(content["ids"], attention_mask=content["mask"]).last_hidden_state
    there = content["mask"].unsqueeze(-1).float()
    report = projections["txt_proj"]((hidden * there).sum(1) / there.sum(1))
    unit = [nn.functional.normalize(rows, dim=-1) for rows in (video, report)]
    return {"video": video, "text": report, "similarity": unit[0] @ unit[1].T}


def furthest(found: Mapping[str, Tensor], content: Mapping[str, Tensor]) -> float:
    """The largest difference of any output from what is stored."""
    return max(float((array - content[name]).abs().max()) for name, array in found.items())


def main(words: list[str] | None = None) -> int:
    """The command line; 1 when an output differs, 2 when no checkout is named."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    makers = {"frozen_in_time": frozen_in_time, "cmr_clip": cmr_clip}
    for name in makers:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help="a checkout of the peer's repository")
    named = {name: path for name, path in vars(parser.parse_args(words)).items() if path is not None}
    if not named:
        parser.print_usage(sys.stderr)
        return 2
    gaps = {}
    with torch.no_grad():
        for name, checkout in named.items():
            content = load_file(DATA / f"{name}.safetensors")
            gaps[name] = furthest(makers[name](checkout, content), content)
    say(f"{name}: largest difference {gap:.1e}" for name, gap in gaps.items())
    return int(not all(gap <= TOLERANCE for gap in gaps.values()))  # NaN, too, is an error


if __name__ == "__main__":
    sys.exit(main())
