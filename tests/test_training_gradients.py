"""Gradient caching, accumulation, other losses, recomputation, compilation, frozen towers, early stopping."""

import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from cmr_lib import losses, streaming
from cmr_lib.clips.dataset import StudyDataset, collate
from cmr_lib.models import text
from cmr_lib.training import gradients, loop, machine, schedule, state, step, validate
from cmr_lib.training.job import Job
from cmr_lib.training.pairs import Pairs, same_reports
from cmr_lib.training.start import start
from tests.toy import calm_adamw, model_inputs, toy_settings, toy_store

ROOT = Path(__file__).resolve().parents[1]
STILL = {"video": {"dropout": 0.0}, "text": {"dropout": 0.0}}


def world(studies=12, **changes):
    settings = toy_settings(**{**STILL, **changes})
    store, texts = toy_store(studies)
    keys = list(texts)
    train = StudyDataset(store, keys[:-3], settings.frames)
    validation = StudyDataset(store, keys[-3:], settings.frames)
    model, tokenizer = start(settings, list(texts.values()))
    return model, tokenizer, train, texts, validation, settings


def pairs_of(model, studies, seed=0):
    """A batch of random images and token numbers."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 100, (studies, 12), generator=draw)
    mask = torch.arange(12) < torch.randint(4, 13, (studies, 1), generator=draw)
    return Pairs.of(model, model_inputs(studies), ids, mask)


def graded(model, pairs, how, **rest):
    model.train()
    model.zero_grad()
    loss = float(gradients.backward(model, pairs, how, **rest))
    return loss, {name: w.grad.clone() for name, w in model.named_parameters() if w.grad is not None}


def close(first, second, tolerance=1e-5):
    assert first.keys() == second.keys()
    largest = max(float(grad.abs().max()) for grad in second.values())
    for name, grad in first.items():
        assert float((grad - second[name]).abs().max()) <= tolerance * max(1.0, largest), name


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("micro", [1, 5, 12])
def test_gradients_by_micro_batches_are_those_of_the_whole_batch(norm, micro):
    model, *_, settings = world(projection_norm=norm)
    pairs = pairs_of(model, 13)
    loss, wanted = graded(model, pairs, settings.optim)
    cached, found = graded(model, pairs, settings.optim.model_copy(update={"micro_batch": micro}))
    assert cached == pytest.approx(loss, rel=1e-6)
    assert max(float(grad.abs().max()) for grad in wanted.values()) > 1e-2
    close(found, wanted)


def test_dropout_is_the_same_in_both_passes_of_gradient_caching():
    model, *_, settings = world(video={"dropout": 0.3}, text={"dropout": 0.3})
    pairs, how = pairs_of(model, 6), settings.optim.model_copy(update={"micro_batch": 2})
    _, found = graded(model, pairs, how)
    seen = [(pairs.image(part), pairs.text(part)) for part in parts_seeded(pairs, 2)]
    image, report = (torch.cat(column) for column in zip(*seen, strict=True))
    model.zero_grad()
    losses.info_nce(model.project_study(image), model.project_text(report), model.logit_scale).backward()
    close(found, {name: w.grad for name, w in model.named_parameters()})


def parts_seeded(pairs, size):
    for part in gradients.parts_of(slice(0, pairs.size), size):
        torch.manual_seed(pairs.seed + part.start)
        yield part


def peak_bytes(run):
    """Most bytes of activations kept for a backward pass at one time."""
    now = most = 0

    class Held:
        def __init__(self, tensor):
            nonlocal now, most
            self.tensor, self.bytes = tensor, tensor.nbytes
            now += self.bytes
            most = max(most, now)

        def __del__(self):
            nonlocal now
            now -= self.bytes

    def pack(tensor):
        return tensor if isinstance(tensor, nn.Parameter) else Held(tensor)

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: getattr(held, "tensor", held)):
        run()
    return most


def test_a_batch_of_1024_fits_into_the_memory_of_32_with_the_gradient_of_the_whole():
    model, *_, settings = world()
    how = settings.optim.model_copy(update={"loss": "streaming"})  # a 1,024 × 1,024 matrix would outweigh the toy
    few, many = pairs_of(model, 32), pairs_of(model, 1024)
    small = peak_bytes(lambda: graded(model, few, how))
    parts = how.model_copy(update={"micro_batch": 32})
    assert peak_bytes(lambda: graded(model, many, parts)) <= 1.1 * small
    (cached, found), (loss, wanted) = graded(model, many, parts), graded(model, many, how)
    assert cached == pytest.approx(loss, rel=1e-6)
    close(found, wanted)


def test_accumulated_batches_give_the_mean_of_their_gradients():
    model, *_, settings = world()
    batches = [pairs_of(model, 4, seed) for seed in range(3)]
    single = [graded(model, pairs, settings.optim)[1] for pairs in batches]
    wanted = {name: sum(grads[name] for grads in single) / 3 for name in single[0]}
    model.zero_grad()
    for pairs in batches:
        gradients.backward(model, pairs, settings.optim, share=1 / 3)
    close({name: w.grad for name, w in model.named_parameters()}, wanted)
    result = step.train_step(model, step.make_optimiser(model, settings.optim), batches, settings.optim)
    assert result.grad_norm == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in wanted.values())), rel=1e-4)


def test_parts_of_an_augmented_batch_are_those_of_the_whole():
    _, _, train, _, _, settings = world(augment={"drop_view": 0.5})
    batch = collate([train[i] for i in range(5)])

    def made(rows=slice(None)):
        draws = step.generator_of(1, "augment", 0, 0)
        return step.prepare(batch, settings.augment, 16, draws, torch.device("cpu"), rows)

    whole, part = made(), made(slice(2, 4))
    assert torch.equal(part.frames, whole.frames[2:4])
    assert torch.equal(part.mask, whole.mask[2:4])
    assert torch.equal(part.phase, whole.phase[2:4])


def test_images_are_augmented_in_full_precision_whatever_trains(monkeypatch):
    model, tokenizer, train, texts, validation, settings = world(precision="bf16", optim={"max_steps": 1})
    whole, seen = step.prepare, []

    def noted(*arguments):
        seen.append(torch.is_autocast_enabled("cpu"))
        return whole(*arguments)

    monkeypatch.setattr(step, "prepare", noted)
    loop.fit(Job(model, tokenizer, train, texts, validation, settings), progress=False)
    assert seen == [False]


REPORTS = [[2, 5, 3], [2, 7, 3], [2, 5, 3], [2, 8, 3]]
ALIKE = torch.eye(4, dtype=torch.bool)
ALIKE[0, 2] = ALIKE[2, 0] = True
EXPECTED = {
    "streaming": streaming.info_nce,
    "norm_softmax": lambda x, y, _: losses.norm_softmax(x, y, 0.05),
    "sigmoid": lambda x, y, scale: losses.sigmoid(x, y, scale, -10.0),
    "multi_positive": lambda x, y, scale: losses.multi_positive(x, y, scale, ALIKE),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_loss_trains_what_it_says(name):
    model, *_, settings = world(optim={"loss": name}, temperature=0.05)
    plain = pairs_of(model, 4)
    pairs = Pairs(plain.image, plain.text, 4, same=same_reports(REPORTS))
    loss, grads = graded(model, pairs, settings.optim)
    with torch.no_grad():
        image, report = model.project_study(plain.image(slice(0, 4))), model.project_text(plain.text(slice(0, 4)))
        assert loss == pytest.approx(float(EXPECTED[name](image, report, model.logit_scale)), rel=1e-5)
    assert ("log_scale" in grads) == (name != "norm_softmax")  # its temperature is fixed
    assert ("logit_bias" in grads) == (name == "sigmoid")


def test_recomputed_activations_give_the_same_numbers_with_less_kept():
    model, *_, settings = world(video={"dropout": 0.2})
    pairs = pairs_of(model, 6)
    loss, wanted = graded(model, pairs, settings.optim)
    much = peak_bytes(lambda: graded(model, pairs, settings.optim))
    with machine.memory_savers(model, settings.optim.model_copy(update={"recompute": True})):
        again, found = graded(model, pairs, settings.optim)
        little = peak_bytes(lambda: graded(model, pairs, settings.optim))
    assert loss == again
    close(found, wanted, 1e-6)
    assert little < 0.7 * much
    assert not model.video.recompute


def test_of_kernels_that_are_not_deterministic_nothing_is_said_and_of_all_else_it_is():
    with machine.reproducible(torch.device("cpu")):
        warnings.warn("cuDNN Attention defaults to a non-deterministic algorithm. To explicitly …", stacklevel=1)
        with pytest.raises(UserWarning, match="something else"):
            warnings.warn("something else", stacklevel=1)


def test_blocks_are_compiled_where_asked_and_plain_again_afterwards(monkeypatch):
    model, *_, settings = world()
    asked, doors = [], []
    monkeypatch.setattr(nn.Module, "compile", lambda block, backend: asked.append((block, backend)))
    monkeypatch.setattr(torch, "compile", lambda door, backend: doors.append((door, backend)) or door)
    with machine.memory_savers(model, settings.optim):
        assert not asked
        assert not doors
    with machine.memory_savers(model, settings.optim.model_copy(update={"compile": True})):
        blocks = [*model.video.blocks, *model.text.body.transformer.layer]
        assert asked == [(block, "inductor") for block in blocks]
        assert doors == [(model.video.read_out, "inductor")]
    assert "read_out" not in vars(model.video)
    assert all(block._compiled_call_impl is None for block in blocks)


COMPILED = """
import torch
from tests.test_training_gradients import close, graded, machine, pairs_of, world

model, *_, settings = world()
pairs, names = pairs_of(model, 4), list(model.state_dict())
loss, wanted = graded(model, pairs, settings.optim)
with machine.memory_savers(model, settings.optim.model_copy(update={"compile": True}), backend="aot_eager"):
    again, found = graded(model, pairs, settings.optim)
    assert list(model.state_dict()) == names
assert abs(again - loss) < 1e-5
close(found, wanted)
"""


@pytest.mark.slow
def test_compiled_blocks_give_the_same_numbers_and_keep_their_names():
    # In a process of its own: the tests' shape checks cannot be traced.
    done = subprocess.run([sys.executable, "-c", COMPILED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_frozen_tower_keeps_its_weights_and_is_embedded_once(tower, monkeypatch):
    model, tokenizer, train, texts, validation, settings = world(optim={"frozen": [tower], "epochs": 2})
    part, other = (model.video, model.text) if tower == "image" else (model.text, model.video)
    before = {name: w.clone() for name, w in part.state_dict().items()}
    moves = {name: w.clone() for name, w in other.state_dict().items()}
    seen = []
    part.register_forward_hook(lambda module, _, __: seen.append(module.training))
    history = loop.fit(Job(model, tokenizer, train, texts, validation, settings), progress=False)
    assert all(torch.equal(w, before[name]) for name, w in part.state_dict().items())
    assert any(not torch.equal(w, moves[name]) for name, w in other.state_dict().items())
    assert not any(seen)  # never in training mode: nothing is dropped
    assert len(seen) == 3 + 2  # nine studies in fours once, and the validation split after each epoch
    assert all(weight.requires_grad for weight in part.parameters())
    assert history["loss"].notna().all()


def test_training_ends_when_validation_has_not_improved_and_keeps_the_best(tmp_path, monkeypatch):
    values = iter([3.0, 2.0, 2.5, math.nan, 2.0, 1.0])
    names = ("validation_recall_at_10", "alignment", "uniformity")
    weights = []

    def scripted(run):
        weights.append({name: w.clone() for name, w in run.model.state_dict().items()})
        return {"validation_loss": next(values)} | dict.fromkeys(names, 0.0)

    monkeypatch.setattr(loop, "validate", scripted)
    model, *rest = world(optim={"epochs": 6, "patience": 3})
    history = loop.fit(Job(model, *rest), tmp_path, progress=False)
    assert len(history) == 5  # the second epoch is best; an equal one later is not better
    assert all(torch.equal(w, weights[1][name]) for name, w in model.state_dict().items())
    again, *rest = world(optim={"epochs": 6, "patience": 3})
    assert len(loop.fit(Job(again, *rest), tmp_path, progress=False)) == 5  # resumed: ended already
    assert all(torch.equal(w, weights[1][name]) for name, w in again.state_dict().items())


def test_patience_without_a_validation_split_is_refused():
    model, tokenizer, train, texts, _, settings = world(optim={"patience": 2})
    with pytest.raises(ValueError, match=r"optim\.patience wants validation studies"):
        loop.fit(Job(model, tokenizer, train, texts, None, settings), progress=False)


def test_validation_sees_the_same_frames_and_whole_reports_every_time():
    model, tokenizer, train, texts, validation, settings = world(augment={"drop_sentence": 0.9})
    run = loop._start(Job(model, tokenizer, train, texts, validation, settings))
    first, second = validate.validate(run), validate.validate(run)
    assert first == second


def test_accumulation_takes_whole_steps_of_an_epoch_and_says_when_there_are_too_few():
    model, *rest, settings = world(optim={"accumulate": 2, "epochs": 1})
    history = loop.fit(Job(model, *rest, settings), progress=False)
    assert history["learning_rate"].iloc[0] == schedule.learning_rate(0, 1, 3e-3, 0.1)  # 9 studies: one step of 8
    model, *rest, settings = world(optim={"accumulate": 3})
    with pytest.raises(ValueError, match=r"batch_studies is 4 × optim.accumulate 3, but only 9"):
        loop.fit(Job(model, *rest, settings), progress=False)


def test_micro_batches_in_the_loop_end_where_whole_batches_end(monkeypatch):
    monkeypatch.setattr(loop.step, "make_optimiser", calm_adamw)
    histories = []
    for micro in (None, 3):
        model, *rest, settings = world(projection_norm="none", optim={"micro_batch": micro, "epochs": 2})
        histories.append(loop.fit(Job(model, *rest, settings), progress=False))
    for name in ("loss", "validation_loss"):
        assert histories[0][name].tolist() == pytest.approx(histories[1][name].tolist(), rel=1e-4)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_too_little_memory_is_said_with_what_helps_and_changes_nothing(error, monkeypatch):
    model, *rest, settings = world()
    before = {name: w.clone() for name, w in model.state_dict().items()}

    def full(*_):
        raise error

    monkeypatch.setattr(text.TextEncoder, "forward", full)
    with pytest.raises(MemoryError, match=r"step of 4 studies.*micro_batch.*recompute.*accumulate"):
        loop.fit(Job(model, *rest, settings), progress=False)
    assert all(torch.equal(w, before[name]) for name, w in model.state_dict().items())


@pytest.mark.parametrize("where", ["backward", "state of the optimiser"])
def test_too_little_memory_late_in_a_step_leaves_the_model_as_it_was(where, monkeypatch):
    model, *_, settings = world(projection_norm="batch")
    model.train()
    pairs, optimiser = pairs_of(model, 6), step.make_optimiser(model, settings.optim)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    calls = []

    def full(*_, **__):
        calls.append(1)
        if where == "backward" or len(calls) > first:
            raise RuntimeError("CUDA out of memory")
        return real(*_, **__)

    first = 2 * len(optimiser.param_groups[0]["params"])  # averages of the first group: its moves could begin
    spot, name = (nn.utils, "clip_grad_norm_") if where == "backward" else (torch, "zeros_like")
    real = getattr(spot, name)
    monkeypatch.setattr(spot, name, full)
    with pytest.raises(MemoryError, match="weights are those before"), machine.memory_advice(6):
        step.train_step(model, optimiser, [pairs], settings.optim)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())
    monkeypatch.undo()
    assert step.train_step(model, optimiser, [pairs], settings.optim).done  # and it can go on


def test_memory_that_runs_out_between_two_moves_is_said_to_have_spoilt_the_model(monkeypatch):
    model, *_, settings = world()
    optimiser = step.make_optimiser(model.train(), settings.optim)

    def full():
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(optimiser, "step", full)
    with pytest.raises(MemoryError, match="some have moved and some have not"), machine.memory_advice(6):
        step.train_step(model, optimiser, [pairs_of(model, 6)], settings.optim)
    monkeypatch.setattr(optimiser, "step", lambda: (_ for _ in ()).throw(RuntimeError("another")))
    with pytest.raises(RuntimeError, match="another"):
        step.train_step(model, optimiser, [pairs_of(model, 6)], settings.optim)


def test_what_the_optimiser_keeps_is_what_it_would_have_made_itself():
    ends = []
    for ready in (True, False):
        model, *_, settings = world()
        optimiser = step.make_optimiser(model, settings.optim)
        gradients.backward(model.train(), pairs_of(model, 6), settings.optim)
        if ready:
            step.prepare_state(optimiser)
        optimiser.step()
        ends.append((model.state_dict(), [optimiser.state[weight] for weight in model.parameters()]))
    (first, kept), (second, own) = ends
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    for one, other in zip(kept, own, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one)


@pytest.mark.parametrize(("fused", "wanted"), [(False, "cpu"), (True, "meta")])
def test_a_resumed_step_counter_goes_where_the_optimiser_looks_for_it(fused, wanted):
    weight = nn.Parameter(torch.zeros(1))
    optimiser, far = torch.optim.AdamW([weight], fused=fused), torch.device("meta")
    assert state.place_of("step", far, optimiser).type == wanted
    assert state.place_of("exp_avg", far, optimiser).type == "meta"
