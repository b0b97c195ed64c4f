"""Studies with their images changed on the way to the model: blank, frozen, out of order.

The model and its probes stay as they were, and so does everything else that the model is told of an image (view,
slice, phase, whether it is there). What a number then loses was read off what the change took away.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int

from cmr_lib import params, project
from cmr_lib.clips import dataset
from cmr_lib.clips.dataset import StudyFrames

Alteration = Callable[[StudyFrames], StudyFrames]


class Altered(dataset.StudyDataset):
    """A `clips.dataset.StudyDataset` whose studies pass through an alteration."""

    def __init__(
        self, store: dataset.Store, study_keys: Sequence[str], plan: params.FramePlan, alter: Alteration
    ) -> None:
        super().__init__(store, list(study_keys), plan)
        self._alter = alter

    def __getitem__(self, i: int) -> StudyFrames:
        return self._alter(super().__getitem__(i))


def moving_clips(study: StudyFrames) -> Iterator[Int[np.ndarray, " places"]]:
    """Places of the plan that one clip fills with two phases or more, clip by clip."""
    there = np.flatnonzero(study["mask"])
    names = list(zip(*(study[name][there].tolist() for name in ("view", "sequence", "position")), strict=True))
    for name in dict.fromkeys(names):
        places = there[[other == name for other in names]]
        if len(np.unique(study["phase"][places])) > 1:
            yield places


def blank(study: StudyFrames) -> StudyFrames:
    """All images black. What is left is which views the study has, where its slices lie and when they were taken."""
    return StudyFrames(**{**study, "frames": np.zeros_like(study["frames"])})


def frozen(study: StudyFrames) -> StudyFrames:
    """Every clip stands still at end-diastole: at its phase of the plan nearest to the R wave, going round the beat."""
    frames = study["frames"].copy()
    for places in moving_clips(study):
        phase = study["phase"][places]
        frames[places] = study["frames"][places[np.minimum(phase, 1 - phase).argmin()]]
    return StudyFrames(**{**study, "frames": frames})


def out_of_order(study: StudyFrames, seed: int) -> StudyFrames:
    """The images of each clip dealt anew to its phases, never all to their own; the images as a set stay the same.

    Drawn for each clip of each study from `seed`. Of two phases there is one other order: they change places.
    """
    frames = study["frames"].copy()
    for number, places in enumerate(moving_clips(study)):
        random = project.rng(seed, "frames out of order", study["study_key"], number)
        phases, code = np.unique(study["phase"][places], return_inverse=True)
        source = places[np.unique(code, return_index=True)[1]]  # a place that holds the image of each phase
        order = np.arange(len(phases))
        while (order == np.arange(len(phases))).all():
            order = random.permutation(len(phases))
        frames[places] = study["frames"][source[order[code]]]
    return StudyFrames(**{**study, "frames": frames})
