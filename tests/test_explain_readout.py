"""What the read-out token looks at: weights sum to one, absent images weigh nothing, averages are plain averages."""

import numpy as np
import pandas as pd
import pytest

from cmr_lib.explain.readout import Looked, look, uniform, weight_rows
from cmr_lib.models.cmrformer import CMRformerConfig, build
from cmr_lib.models.text import small_config
from tests.toy import toy_settings, toy_store


@pytest.fixture
def looked() -> Looked:
    places = pd.DataFrame(
        {
            "view": ["sax", "sax", "lax_4ch", "sax"],
            "sequence": ["cine", "cine", "cine", "lge"],
            "position": [0.2, 0.8, 0.5, 0.5],
            "phase": [0.0, 0.0, 0.5, 0.0],
        }
    )
    time = np.array([[0.1, 0.3, 0.4, 0.2], [0.5, 0.0, 0.3, 0.2]])
    present = np.array([[True, True, True, True], [True, False, True, True]])
    return Looked(
        frames=np.zeros((2, 4, 8, 8), np.uint8),
        space=np.repeat(time[:, :, None, None] / 4, 2, axis=2).repeat(2, axis=3),
        time=time,
        present=present,
        places=places,
    )


def test_weight_is_the_mean_over_studies_of_the_images_they_have(looked):
    table = weight_rows(looked).groupby("view")[["weight"]].mean()
    # study 1: (0.1 + 0.3) / 2 images; study 2: 0.5 / 1 image
    assert table.loc["sax", "weight"] == pytest.approx((0.2 + 0.5) / 2)
    assert table.loc["lax_4ch", "weight"] == pytest.approx(0.35)


def test_still_images_have_their_own_line_without_a_phase(looked):
    table = weight_rows(looked).groupby("view")[["phase", "weight"]].mean()
    assert np.isnan(table.loc["sax LGE", "phase"])
    assert table.loc["sax LGE", "weight"] == pytest.approx(0.2)


def test_uniform_level_counts_the_images_that_are_there(looked):
    assert uniform(looked) == pytest.approx((1 / 4 + 1 / 3) / 2)


def test_captions_name_view_position_and_phase(looked):
    assert looked.captions() == ["sax 0.2 0%", "sax 0.8 0%", "lax_4ch 0.5 50%", "sax 0.5 LGE"]


@pytest.mark.parametrize(
    ("video", "why"), [({"study": "set"}, "concat"), ({"name": "r3d_18", "film": [2, 16]}, "r3d_18")]
)
def test_a_model_without_maps_says_why_in_a_sentence(video, why):
    settings = toy_settings(video=video)
    model = build(CMRformerConfig.of(settings, small_config(settings.text, 140)), 1)
    with pytest.raises(ValueError, match=why):
        look(model, toy_store(3)[0], [f"{0:016x}"], settings.frames)
