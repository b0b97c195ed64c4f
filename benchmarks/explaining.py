"""What looking inside costs: a forward pass whose attentions are taken down, against the same pass without.

`python -m benchmarks.explaining --studies 16 --rounds 30` on a quiet machine. Wanted: at most 1.1 times the plain pass.
Both run the same kernels on the same images in interleaved rounds; that they give the same numbers is checked once. The
maps that follow are timed apart: they are paid for when somebody asks.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.log_line import say
from cmr_lib import params, project
from cmr_lib.clips import dataset
from cmr_lib.clips.dataset import SEQUENCES, VIEWS
from cmr_lib.explain import capture, rollout
from cmr_lib.models import cmrformer, text
from cmr_lib.models.study import StudyImages


def images_of(plan: params.FramePlan, studies: int) -> StudyImages:
    """Random images in the make-up of a plan: the cost does not depend on what they show."""
    places, draw = dataset.places(plan), torch.Generator().manual_seed(0)
    each = {
        "view": torch.tensor([VIEWS.index(place.view) for place in places]),
        "sequence": torch.tensor([SEQUENCES.index(place.sequence) for place in places]),
        "position": torch.tensor([place.position for place in places], dtype=torch.float32),
        "phase": torch.tensor([place.phase for place in places], dtype=torch.float32),
        "mask": torch.ones(len(places), dtype=torch.bool),
    }
    frames = torch.randn(studies, len(places), 1, plan.crop_px, plan.crop_px, generator=draw)
    return StudyImages(frames=frames, **{name: value.expand(studies, -1) for name, value in each.items()})


def measure(profile: str, studies: int, rounds: int) -> dict[str, float]:
    """Milliseconds of each (median of the rounds), and the ratio of the two passes (median of the rounds' ratios)."""
    values = params.read_yaml(project.find_root() / "params" / profile / "pretrain.yaml")
    settings = params.check("pretrain", values | {"out_dir": "out", "in_root": "in"})
    config = cmrformer.CMRformerConfig.of(settings, text.small_config(settings.text, settings.text.vocabulary))
    model, images = cmrformer.build(config, 0).eval(), images_of(settings.frames, studies)

    @torch.no_grad()
    def plain() -> torch.Tensor:
        return model.video(images)

    @torch.no_grad()
    def taken_down() -> torch.Tensor:
        with capture.captured(model.video):
            return model.video(images)

    if not torch.equal(plain(), taken_down()):
        raise RuntimeError("Taking down the attentions changed the numbers.")
    ways: dict[str, Callable[[], object]] = {
        "plain": plain,
        "captured": taken_down,
        "all three maps": lambda: rollout.explain(model, images),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in (list(ways), list(ways)[::-1])[number % 2]:
            start = time.perf_counter()
            ways[name]()
            spent[name].append(1000 * (time.perf_counter() - start))
    ratio = np.median(np.divide(spent["captured"], spent["plain"]))
    return {f"{name} (ms)": float(np.median(times)) for name, times in spent.items()} | {
        "captured over plain": float(ratio)
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explaining", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--profile", default="demo", help="whose model and frame plan")
    parser.add_argument("--studies", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, help="where the numbers go as JSON")
    args = parser.parse_args()
    found = measure(args.profile, args.studies, args.rounds)
    say(f"{name} {value:,.2f}" for name, value in found.items())
    if args.out:
        project.write_json(args.out, found | {"studies": args.studies, "rounds": args.rounds})


if __name__ == "__main__":
    main()
