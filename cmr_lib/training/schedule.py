"""The learning rate, a function of the step: nothing to save, nothing to lose on resume."""

import math

import numpy as np
from jaxtyping import Int64

from cmr_lib import project


def learning_rate(step: int, steps: int, peak: float, warmup_share: float) -> float:
    """Rate of step 0 … steps - 1: a straight rise over the warm-up share, then half a cosine down towards 0."""
    warmup = round(warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))) / 2


def order(seed: int, epoch: int, studies: int) -> Int64[np.ndarray, " studies"]:
    """The order of studies in an epoch: a function of (seed, epoch), whatever was drawn before."""
    return project.rng(seed, "order", epoch).permutation(studies)
