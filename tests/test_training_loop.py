"""Training: schedule, steps, resume, bad numbers, where a model starts from."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from cmr_lib import losses
from cmr_lib.clips.dataset import StudyDataset, collate, digest
from cmr_lib.models import pretrained, text
from cmr_lib.training import checkpoint, loop, schedule, step, validate
from cmr_lib.training.job import Job
from cmr_lib.training.pairs import Pairs
from cmr_lib.training.start import start
from cmr_lib.training.validate import alignment, uniformity
from tests.toy import toy_settings, toy_store


def world(settings=None, studies=12):
    """Model, tokenizer, training and validation data sets, texts, settings."""
    settings = settings or toy_settings()
    store, texts = toy_store(studies, without_lge=(2, 5))
    keys = list(texts)
    train = StudyDataset(store, keys[:-3], settings.frames)
    validation = StudyDataset(store, keys[-3:], settings.frames)
    model, tokenizer = start(settings, [texts[key] for key in train.study_keys])
    return model, tokenizer, train, texts, validation, settings


def fit(settings=None, folder=None):
    model, *rest = world(settings)
    history = loop.fit(Job(model, *rest), folder, progress=False)
    return model, history


def same(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def prepared(settings, train, tokenizer, texts):
    """Images, tokens and mask of the first four studies, augmented as in the first step."""
    batch = collate([train[i] for i in range(4)])
    images = step.prepare(batch, settings.augment, 16, step.generator_of(0, "augment", 0, 0), torch.device("cpu"))
    ids, mask = text.pad(text.encode(tokenizer, [texts[key] for key in batch["study_keys"]], 32), 0)
    return images, ids, mask


# --- schedule -----------------------------------------------------------------------------------------------------
def test_the_rate_rises_in_a_line_and_falls_in_half_a_cosine():
    rates = [schedule.learning_rate(i, 110, 2.0, 0.1) for i in range(110)]
    assert len(rates) == 110
    assert rates[:11] == pytest.approx(np.linspace(2 / 11, 2, 11).tolist())
    assert rates[11] == 2.0
    assert rates[11 + 33] == pytest.approx(1 + math.cos(math.pi / 3))
    assert 0 < rates[-1] < 0.001
    assert schedule.learning_rate(0, 10, 2.0, 0.0) == 2.0


def test_the_order_of_an_epoch_is_a_function_of_seed_and_epoch():
    first, again = schedule.order(1, 4, 50), schedule.order(1, 4, 50)
    assert sorted(first) == list(range(50))
    assert (first == again).all()
    assert (first != schedule.order(1, 5, 50)).any()
    assert (first != schedule.order(2, 4, 50)).any()


# --- one step -----------------------------------------------------------------------------------------------------
def test_a_step_lowers_the_loss_of_a_batch_that_repeats():
    model, tokenizer, train, texts, _, settings = world(toy_settings(video={"dropout": 0.0}, text={"dropout": 0.0}))
    images, ids, mask = prepared(settings, train, tokenizer, texts)
    optimiser = step.make_optimiser(model, settings.optim)
    pairs = [Pairs.of(model, images, ids, mask)]
    seen = [step.train_step(model, optimiser, pairs, settings.optim).loss for _ in range(12)]
    assert seen[1] < seen[0]
    assert seen[-1] < 0.7 * seen[0]


def test_the_loss_of_a_step_is_info_nce_of_the_two_towers():
    model, tokenizer, train, texts, _, settings = world(toy_settings(video={"dropout": 0.0}, text={"dropout": 0.0}))
    images, ids, mask = prepared(settings, train, tokenizer, texts)
    with torch.no_grad():
        wanted = losses.info_nce(model.encode_study(images), model.encode_text(ids, mask), model.logit_scale)
    optimiser = step.make_optimiser(model, settings.optim)
    found = step.train_step(model, optimiser, [Pairs.of(model, images, ids, mask)], settings.optim)
    assert found.loss == pytest.approx(float(wanted), rel=1e-5)
    assert found.grad_norm > 0


def test_norms_biases_embeddings_and_the_temperature_do_not_decay():
    model, *_ = world()
    decayed = {id(weight) for weight in step.make_optimiser(model, toy_settings().optim).param_groups[0]["params"]}
    names = [name for name, weight in model.named_parameters() if id(weight) in decayed]
    assert "video.blocks.0.mlp.0.weight" in names
    assert "video_projection.weight" in names
    assert not [name for name in names if "bias" in name or "norm" in name.lower() or "embedding" in name]
    assert not {"log_scale", "video.cls", "video.place", "video.frame.view.weight"} & set(names)


def test_the_temperature_is_held_after_a_step():
    model, tokenizer, train, texts, _, settings = world(toy_settings(optim={"clip_norm": 1e9}))
    with torch.no_grad():
        model.log_scale.fill_(math.log(100.0))
        optimiser = torch.optim.SGD([model.log_scale], lr=1e3)
    images, ids, mask = prepared(settings, train, tokenizer, texts)
    for _ in range(3):
        step.train_step(model, optimiser, [Pairs.of(model, images, ids, mask)], settings.optim)
        assert float(model.log_scale.detach()) <= math.log(100.0) + 1e-6


def fused(model):
    """AdamW in one kernel, which a GPU gets: on a CPU it reads the same flag."""
    return torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)


@pytest.mark.parametrize("made", ["plain", "fused"])
def test_a_step_that_is_not_finite_changes_nothing(made):
    model, tokenizer, train, texts, _, settings = world()
    images, ids, mask = prepared(settings, train, tokenizer, texts)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images.frames[0, 0, 0, 0, 0] = math.nan
    optimiser = step.make_optimiser(model, settings.optim) if made == "plain" else fused(model)
    result = step.train_step(model, optimiser, [Pairs.of(model, images, ids, mask)], settings.optim)
    assert not result.done
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(value.any() for state in optimiser.state.values() for value in state.values())  # no step is counted


def test_the_fused_optimiser_moves_the_weights_where_the_plain_one_does():
    ends = []
    for make in (fused, lambda model: torch.optim.AdamW(model.parameters(), lr=1e-3)):
        model, tokenizer, train, texts, _, settings = world()
        images, ids, mask = prepared(settings, train, tokenizer, texts)
        optimiser = make(model)
        for _ in range(3):
            assert step.train_step(model, optimiser, [Pairs.of(model, images, ids, mask)], settings.optim).done
        ends.append(model.state_dict())
    for name, weight in ends[0].items():
        torch.testing.assert_close(weight, ends[1][name], rtol=1e-4, atol=1e-5)


def test_alignment_and_uniformity_by_hand():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert alignment(x, x) == 0.0
    assert alignment(x, x.flip(0)) == pytest.approx(2.0)
    assert uniformity(x) == pytest.approx(-4.0)  # one pair, squared distance 2


# --- the loop -----------------------------------------------------------------------------------------------------
def test_history_has_one_row_an_epoch_and_no_times():
    _, history = fit()
    assert history.columns.tolist() == list(loop.COLUMNS)
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert np.isfinite(history.to_numpy()).all()
    assert history["temporal_qk_grad_norm"].iloc[-1] > 0
    assert not [name for name in history if "time" in name or "second" in name]


def test_training_is_the_same_bit_for_bit_when_run_again():
    torch.manual_seed(1)
    first, history = fit()
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002 (the point is that global state does not matter)
    second, again = fit()
    assert same(first, second)
    pd.testing.assert_frame_equal(history, again, check_exact=True)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_run_that_was_stopped_and_resumed_ends_with_the_same_bits(tmp_path, monkeypatch, after):
    wanted, history = fit()
    whole = loop._epoch

    def stops(run, epoch):
        if epoch == after:
            raise KeyboardInterrupt
        return whole(run, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            fit(folder=tmp_path)
    seen = []
    monkeypatch.setattr(loop, "_epoch", lambda run, epoch: seen.append(epoch) or whole(run, epoch))
    resumed, again = fit(folder=tmp_path)
    assert seen == list(range(after, 4))  # it did resume
    assert same(wanted, resumed)
    pd.testing.assert_frame_equal(history, again, check_exact=True)


def test_a_finished_run_returns_at_once_and_other_parameters_start_anew(tmp_path, monkeypatch):
    first, history = fit(folder=tmp_path)
    count = []
    whole = loop._epoch
    monkeypatch.setattr(loop, "_epoch", lambda run, epoch: count.append(epoch) or whole(run, epoch))
    second, again = fit(folder=tmp_path)
    assert not count
    assert same(first, second)
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    with pytest.warns(UserWarning, match=r"2 checkpoints here are of another run.*training starts anew"):
        fit(toy_settings(optim={"learning_rate": 2e-3}), tmp_path)
    assert count == [0, 1, 2, 3]
    checkpoint.remove(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_other_images_or_other_code_is_not_resumed(tmp_path, monkeypatch):
    def trained():
        model, tokenizer, train, texts, validation, settings = world()
        loop.fit(Job(model, tokenizer, train, texts, validation, settings), tmp_path, progress=False)
        return {path.name.split("-")[0] for path in tmp_path.glob("*.safetensors")}

    first = trained()
    assert trained() == first
    monkeypatch.setattr(loop.dataset, "digest", lambda part: "one pixel differs")
    with pytest.warns(UserWarning, match="of another run"):
        second = trained()
    assert len(second) == 2
    monkeypatch.setattr(loop.checkpoint, "code_digest", lambda: "another version")
    with pytest.warns(UserWarning, match="of another run"):
        assert len(trained()) == 3


def test_one_pixel_changes_the_digest_of_a_data_set():
    _, _, train, *_ = world()
    before = digest(train)
    assert digest(train) == before
    train.store._clips[0] = train.store._clips[0] ^ 1
    assert digest(train) != before


def test_recall_counts_a_tie_by_its_expected_place_and_nan_is_no_success():
    level = torch.ones(40, 40)
    assert validate.recall_at(10, level) == pytest.approx(10 / 40)
    assert validate.recall_at(10, torch.eye(40)) == 1.0
    assert validate.recall_at(1, torch.tensor([[0.0, 1.0], [0.5, 0.2]])) == 0.0
    assert math.isnan(validate.recall_at(10, level * math.nan))


def test_max_steps_ends_training_within_an_epoch():
    settings = toy_settings(optim={"max_steps": 3})
    model, *rest = world(settings)
    history = loop.fit(Job(model, *rest), None, progress=False)
    assert len(history) == 2  # two steps an epoch of nine studies in fours
    assert history["learning_rate"].iloc[-1] < history["learning_rate"].iloc[0]


def test_bf16_trains_too():
    _, history = fit(toy_settings(precision="bf16", optim={"epochs": 1}))
    assert np.isfinite(history["loss"]).all()


def test_three_bad_steps_in_a_row_stop_training_in_a_sentence(monkeypatch):
    bad = step.StepResult(math.nan, math.nan, math.nan, done=False)
    monkeypatch.setattr(step, "train_step", lambda *_: bad)
    with pytest.raises(FloatingPointError, match=r"3 steps in a row.*epoch 2.*learning_rate.*Batches: ") as caught:
        fit()
    bad = [schedule.order(3, epoch, 9)[4 * number : 4 * number + 4] for epoch, number in ((0, 0), (0, 1), (1, 0))]
    named = str(caught.value).partition("Batches: ")[2].rstrip(".").split("; ")
    assert named == [", ".join(f"{row:016x}" for row in rows) for rows in bad]


def test_single_bad_steps_are_counted_and_survived(monkeypatch):
    real, calls = step.train_step, []

    def sometimes(*arguments):
        calls.append(1)
        return step.StepResult(math.inf, math.nan, 0.0, done=False) if len(calls) == 2 else real(*arguments)

    monkeypatch.setattr(step, "train_step", sometimes)
    _, history = fit()
    assert history["skipped_steps"].tolist() == [1, 0, 0, 0]
    assert np.isfinite(history["loss"]).all()


def test_impossible_requests_are_refused_in_a_sentence():
    model, tokenizer, train, texts, validation, settings = world()
    short = {key: value for key, value in texts.items() if key != train.study_keys[4]}
    with pytest.raises(ValueError, match=r"1 of 12 studies have no report"):
        loop.fit(Job(model, tokenizer, train, short, validation, settings), None, progress=False)
    many = toy_settings(optim={"batch_studies": 64})
    with pytest.raises(ValueError, match=r"batch_studies is 64, but only 9"):
        loop.fit(Job(model, tokenizer, train, texts, None, many), None, progress=False)


def test_without_validation_its_columns_are_nan():
    model, tokenizer, train, texts, _, settings = world(toy_settings(optim={"epochs": 1}))
    history = loop.fit(Job(model, tokenizer, train, texts, None, settings), None, progress=False)
    assert history["validation_loss"].isna().all()
    assert history["loss"].notna().all()


def test_the_global_generator_and_flags_are_left_as_they_were():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    fit(toy_settings(optim={"epochs": 1}))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()


# --- where it starts ----------------------------------------------------------------------------------------------
def test_frozen_and_finetune_start_from_a_folder(tmp_path):
    first, _ = fit()
    *_, tokenizer = world()[:2]
    pretrained.save_pretrained(first, tokenizer, tmp_path)
    frozen = toy_settings(mode="frozen", init=str(tmp_path))
    model, *rest = world(frozen)
    assert same(model, first)
    assert loop.fit(Job(model, *rest), None, progress=False).empty
    assert same(model, first)
    tuned, history = fit(toy_settings(mode="finetune", init=str(tmp_path), optim={"epochs": 1}))
    assert len(history) == 1
    assert not same(tuned, first)


@pytest.mark.parametrize(("mode", "init"), [("frozen", "scratch"), ("finetune", "scratch"), ("train", "released")])
def test_mode_and_start_must_fit(mode, init):
    with pytest.raises(ValueError, match=f"mode {mode} does not go with init {init}"):
        start(toy_settings(mode=mode, init=init), ["a text"])


def test_a_folder_of_another_image_size_is_refused(tmp_path):
    model, tokenizer, *_ = world()
    pretrained.save_pretrained(model, tokenizer, tmp_path)
    with pytest.raises(ValueError, match=r"crop_px is 24.*reads 16 px"):
        start(toy_settings(mode="frozen", init=str(tmp_path), frames={"crop_px": 24}), [])


def test_a_folder_of_another_architecture_is_trained_with_a_warning_that_names_both(tmp_path):
    model, tokenizer, *_ = world()
    pretrained.save_pretrained(model, tokenizer, tmp_path)
    width, wider = model.config.video.width, 2 * model.config.video.width
    other = {"video": {"width": wider}, "embed_dim": 2 * model.config.embed_dim}
    with pytest.warns(UserWarning, match=rf"video\.width {width} in place of {wider}, embed_dim"):
        found, _ = start(toy_settings(mode="finetune", init=str(tmp_path), **other), [])
    assert found.config.video.width == width
    narrow = {"text": {"width": 8, "depth": 2}, "projection_norm": "batch", "video": {"patch_px": 12}}
    with pytest.warns(UserWarning, match=r"patch_px 8 in place of 12, text\.width \d+ in place of 8"):
        start(toy_settings(mode="finetune", init=str(tmp_path), **narrow), [])


def test_a_model_of_another_loss_is_given_the_bias_that_the_sigmoid_loss_wants(tmp_path):
    model, tokenizer, *_ = world()
    pretrained.save_pretrained(model, tokenizer, tmp_path / "first")
    how = {"mode": "finetune", "init": str(tmp_path / "first"), "optim": {"loss": "sigmoid", "epochs": 1}}
    tuned, history = fit(toy_settings(**how))
    assert np.isfinite(history["loss"]).all()
    assert tuned.logit_bias.item() != -10.0  # it learns
    pretrained.save_pretrained(tuned, tokenizer, tmp_path / "second")
    again, _ = pretrained.from_pretrained(tmp_path / "second")
    assert torch.equal(again.logit_bias, tuned.logit_bias)


def test_absent_cuda_is_said(monkeypatch):
    from cmr_lib.training import machine

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.choose_device("auto").type == "cpu"
    with pytest.raises(RuntimeError, match="offers none"):
        machine.choose_device("cuda")
