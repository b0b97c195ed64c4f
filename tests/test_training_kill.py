"""A training that is killed at every moment goes on to the same bits; one that is asked to end says where it was."""

from pathlib import Path

import pytest
import torch

from cmr_lib.training import checkpoint, loop
from tests.drivers import of, told_by
from tests.test_training_loop import fit, same

ROOT = Path(__file__).resolve().parents[1]
STEPS = 8  # six studies in threes, four epochs


@pytest.fixture(scope="module")
def told():
    return told_by("kill_driver")


def test_killed_at_any_moment_the_resumed_run_ends_with_the_same_bits(told):
    whole, killed = told[0], of(told, "SIGKILL")
    assert whole["steps"] == STEPS
    assert len(killed) >= 20
    for row in killed:
        assert row["killed"] == [-9, None], row["at"]
        assert row["ended"][0] == 0, row["at"]
        assert row["ended"][1]["digest"] == whole["digest"], row["at"]
    assert {row["ended"][1]["steps"] for row in killed} == {8, 6, 4, 2, 0}  # it did resume, after 0 … 4 epochs


def test_after_a_kill_no_checkpoint_is_damaged_and_nothing_is_left_behind(told):
    for row in of(told, "SIGKILL"):
        assert row["ended"][1]["warnings"] == [], row["at"]
        assert not [name for name in row["kept"] if name.endswith(".tmp")], row["at"]
        assert len(row["kept"]) == 4, row["at"]  # two generations with their checksums
    assert any(name.endswith(".tmp") for row in of(told, "SIGKILL") for name in row["left"])  # there was something


def test_asked_to_end_it_checkpoints_the_step_and_exits_with_143(told):
    whole, asked = told[0], of(told, "SIGTERM")
    assert len(asked) >= 20
    for row in asked:
        status, said = row["killed"]
        assert status == 143, row["at"]
        assert said["steps"] + row["ended"][1]["steps"] == STEPS, row["at"]  # no step is lost or done twice
        assert row["ended"][1]["digest"] == whole["digest"], row["at"]
    assert {row["killed"][1]["steps"] for row in asked} >= set(range(1, STEPS + 1))


def test_a_damaged_latest_checkpoint_is_passed_over_aloud_and_the_bits_are_the_same(tmp_path):
    wanted, history = fit()
    fit(folder=tmp_path)
    newest = max(tmp_path.glob("*.safetensors"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match="differs from its checksum. Falling back to the generation before"):
        resumed, again = fit(folder=tmp_path)
    assert same(wanted, resumed)
    assert again.equals(history)


def test_generations_are_ordered_by_number_not_by_name(tmp_path):
    made = [checkpoint.Checkpoint({"w": torch.ones(1)}, {"step": step}) for step in (99_999, 100_000)]
    for one in made:
        checkpoint.write(tmp_path, "k", one.state["step"], one)
    assert checkpoint.latest(tmp_path, "k").state == {"step": 100_000}


def test_the_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    whole, calls = checkpoint.write, []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 3:
            monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        return whole(*arguments)

    monkeypatch.setattr(loop.checkpoint, "write", full)
    with pytest.raises(OSError, match="No space left"):
        fit(folder=tmp_path)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".tmp") == []
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    resumed, _ = fit(folder=tmp_path)
    assert same(resumed, fit()[0])
