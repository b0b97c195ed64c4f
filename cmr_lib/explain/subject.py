"""Whom notebook 07 asks: a trained model, others of its make that learned nothing, and the images it was made for."""

import json
from pathlib import Path
from typing import NamedTuple

from cmr_lib import params, project
from cmr_lib.clips.store import ClipStore
from cmr_lib.explain import capture
from cmr_lib.models import cmrformer, pretrained
from cmr_lib.models.cmrformer import CMRformer


class Subject(NamedTuple):
    """`why`: why the model has no maps of a whole study; empty where it has."""

    model: CMRformer
    untrained: list[CMRformer]
    plan: params.FramePlan
    clips: ClipStore
    why: str

    @property
    def mapped(self) -> slice:
        """Which of some studies have maps: all of them, or none."""
        return slice(0) if self.why else slice(None)


def read(source: Path, controls: int, seed: int) -> Subject:
    """What the stages preprocess and pretrain left in `source` (outputs/<profile>), and `controls` untrained models.

    Raises FileNotFoundError with the notebook that makes what is missing.
    """
    made = source / "pretrain"
    model, _ = pretrained.from_pretrained(project.require(made / "model", "notebook 03"))
    plan = params.FramePlan(**json.loads((made / "frames.json").read_text(encoding="utf-8")))
    untrained = [cmrformer.build(model.config, seed + number) for number in range(controls)]
    return Subject(model, untrained, plan, ClipStore(source / "preprocess" / "store"), capture.no_maps(model.video))
