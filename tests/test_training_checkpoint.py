"""Checkpoints: whole or passed over, of this run or refused."""

import pytest
import torch

from cmr_lib.training import checkpoint
from cmr_lib.training.checkpoint import Checkpoint, CheckpointError


def made(number):
    return Checkpoint({"model/w": torch.full((3,), float(number)), "step/w": torch.tensor(7.0)}, {"step": number})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_read(tmp_path):
    state = {"step": 3, "history": [{"loss": 0.1 + 0.2, "validation_loss": float("inf")}]}
    checkpoint.write(tmp_path, "k", 1, Checkpoint(made(1).tensors, state))
    found = checkpoint.latest(tmp_path, "k")
    assert found.state == state
    assert torch.equal(found.tensors["model/w"], torch.ones(3))
    assert found.tensors["step/w"].shape == ()


def test_two_generations_are_kept(tmp_path):
    for epoch in (1, 2, 3, 10):
        checkpoint.write(tmp_path, "k", epoch, made(epoch))
    kept = ["k-00003.safetensors", "k-00010.safetensors"]
    assert names(tmp_path) == sorted(kept + [f"{name}.sha256" for name in kept])
    assert checkpoint.latest(tmp_path, "k").state == {"step": 10}


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "no checksum"])
def test_a_damaged_generation_is_passed_over_with_a_warning(tmp_path, damage):
    for epoch in (1, 2):
        checkpoint.write(tmp_path, "k", epoch, made(epoch))
    path = tmp_path / "k-00002.safetensors"
    data = path.read_bytes()
    flipped = data[:-2] + bytes([data[-2] ^ 4]) + data[-1:]
    if damage == "no checksum":
        path.with_name(path.name + ".sha256").unlink()
    else:
        path.write_bytes({"bit": flipped, "cut": data[: len(data) // 2], "empty": b""}[damage])
    with pytest.warns(UserWarning, match=r"k-00002\.safetensors differs.*generation before"):
        assert checkpoint.latest(tmp_path, "k").state == {"step": 1}


def test_when_all_generations_are_damaged_nothing_is_resumed_in_silence(tmp_path):
    path = checkpoint.write(tmp_path, "k", 1, made(1))
    path.write_bytes(b"x")
    with pytest.warns(UserWarning, match="differs"), pytest.raises(CheckpointError, match="None of 1"):
        checkpoint.latest(tmp_path, "k")


def test_another_runs_checkpoint_is_not_resumed(tmp_path):
    path = checkpoint.write(tmp_path, "mine", 1, made(1))
    with pytest.warns(UserWarning, match="1 checkpoints here are of another run"):
        assert checkpoint.latest(tmp_path, "yours") is None
    with pytest.raises(CheckpointError, match=r"another run \(mine, yours is wanted\)"):
        checkpoint.read(path, "yours")


def test_the_key_changes_with_facts_and_with_weights():
    one, two = {"w": torch.ones(2)}, {"w": torch.tensor([1.0, 1.0000001])}
    keys = {checkpoint.key_of({"lr": 1}, one), checkpoint.key_of({"lr": 2}, one), checkpoint.key_of({"lr": 1}, two)}
    assert len(keys) == 3
    assert checkpoint.key_of({"lr": 1}, one) in keys


def test_removing_leaves_other_files_alone(tmp_path):
    checkpoint.write(tmp_path, "k", 1, made(1))
    (tmp_path / "notes.txt").write_text("mine")
    checkpoint.remove(tmp_path)
    assert names(tmp_path) == ["notes.txt"]
