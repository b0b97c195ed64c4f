"""The maker of the scanner as a factor of the study encoder: off by default, hidden at times, new makers welcome."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from cmr_lib import params
from cmr_lib.clips import dataset
from cmr_lib.clips.augment import centre_crop
from cmr_lib.clips.prepare import PreparedClip
from cmr_lib.clips.store import ClipStore, write_store
from cmr_lib.models import pretrained, text
from cmr_lib.models.cmrformer import CMRformerConfig, build
from cmr_lib.models.study import StudyImages
from cmr_lib.models.video import VideoConfig, VideoEncoder
from cmr_lib.training import step
from cmr_lib.training.step import prepare
from cmr_lib.types import Sequence, View
from tests.test_models_clips import study
from tests.test_models_video import shaken
from tests.toy import toy_settings, toy_store

KNOWN = ["ge", "siemens"]
TOLD = VideoConfig(16, 8, "patch", 16, 2, 2, vendors=len(KNOWN), drop_vendor=0.5)


def made_by(images, *codes):
    return replace(images, vendor=torch.tensor(codes)[:, None].expand_as(images.view).clone())


@pytest.mark.parametrize("how", ["concat", "set"])
def test_the_maker_changes_a_study_and_not_its_neighbour(how):
    model, images = shaken(VideoEncoder(replace(TOLD, study=how))), study()
    with torch.no_grad():
        one, other = model(made_by(images, 1, 2)), model(made_by(images, 0, 2))
    assert not torch.allclose(one[0], other[0], atol=1e-3)
    torch.testing.assert_close(one[1], other[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("how", ["concat", "set"])
def test_at_the_start_no_maker_makes_a_difference_and_then_each_learns_its_own(how):
    torch.manual_seed(0)
    model, images = VideoEncoder(replace(TOLD, study=how)).eval(), study()
    assert torch.equal(model(made_by(images, 1, 2)), model(made_by(images, 0, 0)))
    model(made_by(images, 1, 1)).square().sum().backward()
    grad = model.frame.vendor.weight.grad.abs().amax(1)
    assert grad[1] > 0
    assert torch.equal(grad[[0, 2]], torch.zeros(2))


def test_without_a_list_of_makers_the_model_is_the_one_it_was():
    torch.manual_seed(0)
    model, images = VideoEncoder(replace(TOLD, vendors=0)).train(), study()
    assert not any("vendor" in name for name in model.state_dict())
    assert torch.equal(model(images), model(made_by(images, 1, 2)))


def test_in_training_makers_are_hidden_at_random_and_never_in_evaluation():
    model, images = shaken(VideoEncoder(TOLD)), made_by(study(), 1, 2)
    hidden, rows = model.train()._hide_vendors, torch.arange(2)
    drawn = torch.stack([hidden(images).vendor[rows, 0] for _ in range(400)])
    assert set(drawn[:, 0].tolist()) == {0, 1}
    assert (drawn == 0).float().mean(0).sub(0.5).abs().max() < 0.1  # 400 draws: four standard deviations
    assert torch.equal(model.eval()._hide_vendors(images).vendor, images.vendor)


# --- from the study table to the model --------------------------------------------------------------------------
@pytest.fixture
def clips(tmp_path):
    """Three studies of three makers; the third maker is not in the list."""
    clip = PreparedClip(np.full((4, 20, 20), 90, np.uint8), View.SAX, Sequence.CINE, 0, 0.2, float("nan"), 1.5)
    keys = [f"{number:016x}" for number in range(3)]
    write_store(tmp_path / "store", ((key, [clip]) for key in keys))
    pd.DataFrame({"study_key": keys, "vendor": ["siemens", "ge", "philips"]}).to_parquet(tmp_path / "studies.parquet")
    return ClipStore(tmp_path / "store")


def plan(**changes):
    return toy_settings(frames={"vendors": KNOWN} | changes).frames


def test_makers_come_from_the_study_table_and_another_counts_as_unknown(clips):
    batch = next(dataset.batches(dataset.StudyDataset(clips, clips.study_keys, plan()), 3))
    assert batch["vendor"].tolist() == [[2] * 6, [1] * 6, [0] * 6]
    images = prepare(batch, toy_settings().augment, 16, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert torch.equal(images.vendor, batch["vendor"])
    assert torch.equal(images.part(slice(1, 2)).vendor, batch["vendor"][1:2])


def test_a_store_without_its_table_or_without_makers_says_so(clips):
    (clips.folder.parent / "studies.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"frames\.vendors"):
        dataset.StudyDataset(clips, clips.study_keys, plan())
    with pytest.raises(TypeError, match=r"frames\.vendors names ge, siemens"):
        dataset.StudyDataset(toy_store(2)[0], [f"{0:016x}"], plan())
    dataset.StudyDataset(clips, clips.study_keys, plan(vendors=[]))


def test_a_plan_without_makers_is_written_as_it_was_before_there_were_any():
    assert "vendors" not in plan(vendors=[]).model_dump()
    assert params.FramePlan(**plan().model_dump()) == plan()


def test_a_model_that_knows_makers_embeds_a_hospital_that_it_has_not_met(clips, tmp_path):
    settings = toy_settings(frames={"vendors": KNOWN}, video={"drop_vendor": 0.5})
    tokenizer = text.train_tokenizer(toy_store()[1].values(), 140, 32)
    model = build(CMRformerConfig.of(settings, text.small_config(settings.text, len(tokenizer))), 1)
    assert model.config.video.vendors == 2
    decayed = step.make_optimiser(model, settings.optim).param_groups[0]["params"]
    assert not any(weight is model.video.frame.vendor.weight for weight in decayed)
    pretrained.save_pretrained(shaken(model), tokenizer, tmp_path / "kept")
    again, _ = pretrained.from_pretrained(tmp_path / "kept")
    batch = next(dataset.batches(dataset.StudyDataset(clips, clips.study_keys, settings.frames), 3))
    images = partial(StudyImages.of, batch, frames=centre_crop(batch["frames"], 16))
    with torch.inference_mode():
        found = again.encode_study(images())
        assert torch.equal(found[2:], again.encode_study(images(vendor=torch.zeros(3, 6, dtype=torch.int64)))[2:])
        assert not torch.allclose(found[0], found[1], atol=1e-3)  # equal images of two makers
