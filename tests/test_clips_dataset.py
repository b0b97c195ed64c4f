"""Studies as the model sees them: the nearest image for each place of the plan, masks for what is absent."""

import numpy as np
import pandas as pd
import pytest
import torch

from cmr_lib import params
from cmr_lib.clips.dataset import SEQUENCES, VIEWS, Pick, Place, StudyDataset, batches, collate, pick, with_any_image
from cmr_lib.types import Sequence, View
from tests.toy import ToyStore

PLAN = params.FramePlan(
    sax_positions=[0.2, 0.8],
    sax_phases=[0.0, 0.34, 0.98],
    lax_views=["lax_4ch", "lax_2ch"],
    lax_phases=[0.5],
    lge_positions=[0.5],
    crop_px=16,
)
PHASES = 10


def clip(value, frames=PHASES):
    """Frame k of a clip is filled with value + k, so that each frame is known by its grey level."""
    return np.stack([np.full((16, 16), value + k, np.uint8) for k in range(frames)])


def store():
    """Study `full`: slices at 0.05, 0.3, 0.7, 4CH, LGE at 0.3 and 0.6. Study `cine`: one slice. Study `rv`: RVOT."""
    rows = [
        ("full", "sax", "cine", 0.05, clip(10)),
        ("full", "sax", "cine", 0.3, clip(30)),
        ("full", "sax", "cine", 0.7, clip(50)),
        ("full", "sax", "lge", 0.3, clip(100, 1)),
        ("cine", "sax", "cine", 0.5, clip(70)),
        ("full", "lax_4ch", "cine", 0.5, clip(90)),
        ("full", "sax", "lge", 0.6, clip(110, 1)),
        ("rv", "rvot", "cine", 0.5, clip(130)),
    ]
    index = pd.DataFrame(
        [(study, view, sequence, position, len(frames)) for study, view, sequence, position, frames in rows],
        columns=["study_key", "view", "sequence", "position", "n_frames"],
    )
    return ToyStore(index, [row[-1] for row in rows])


def levels(study):
    return study["frames"][:, 0, 0, 0].tolist()


def test_each_place_gets_the_nearest_slice_and_phase():
    study = StudyDataset(store(), ["full"], PLAN)[0]
    # 0.2 is nearest to 0.3, 0.8 to 0.7; phases 0, 0.34, 0.98 of ten frames are frames 0, 3 and (around) 0 again
    assert levels(study) == [30, 33, 30, 50, 53, 50, 95, 0, 110]
    assert study["position"].tolist() == pytest.approx([0.3] * 3 + [0.7] * 3 + [0.5, 0.0, 0.6])
    assert study["phase"].tolist() == pytest.approx([0.0, 0.3, 0.0, 0.0, 0.3, 0.0, 0.5, 0.0, 0.0])
    assert study["mask"].tolist() == [True] * 7 + [False, True]


def test_absent_views_are_zero_and_masked_but_keep_their_name():
    study = StudyDataset(store(), ["cine"], PLAN)[0]
    assert study["mask"].tolist() == [True] * 6 + [False] * 3
    assert not study["frames"][6:].any()
    assert [VIEWS[v] for v in study["view"]] == [View.SAX] * 6 + [View.LAX_4CH, View.LAX_2CH, View.SAX]
    assert [SEQUENCES[s] for s in study["sequence"]] == [Sequence.CINE] * 8 + [Sequence.LGE]


def test_studies_come_in_the_order_asked_and_stack_to_a_batch():
    dataset = StudyDataset(store(), ["cine", "full"], PLAN)
    batch = collate([dataset[0], dataset[1]])
    assert batch["study_keys"] == ["cine", "full"]
    assert batch["frames"].shape == (2, 9, 1, 16, 16)
    assert batch["frames"].dtype == torch.uint8
    assert batch["frames"][0, 0, 0, 0, 0] == 70
    assert batch["mask"].sum(1).tolist() == [6, 8]


def test_batches_hold_every_study_once():
    dataset = StudyDataset(store(), ["cine", "full", "cine"], PLAN)
    assert [batch["study_keys"] for batch in batches(dataset, 2)] == [["cine", "full"], ["cine"]]


def test_a_study_without_any_planned_image_is_refused_and_can_be_found_before():
    with pytest.raises(ValueError, match=r"2 of 3 studies.*first: rv"):
        StudyDataset(store(), ["full", "rv", "unheard"], PLAN)
    assert with_any_image(store(), ["rv", "full", "unheard", "cine"], PLAN) == ["full", "cine"]


def test_of_two_equally_near_slices_the_first_is_taken():
    place = Place(View.SAX, Sequence.CINE, position=0.5, phase=0.0)
    assert pick(place, [(4, 0.25, 10), (9, 0.75, 10)]) == Pick(4, 0, 0.25, 0.0)
    assert pick(place, []) is None
