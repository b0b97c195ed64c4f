"""Several processes train as one: the loss, its gradients, the curve; launched from a notebook by torchrun or Slurm."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from cmr_lib import losses, params
from cmr_lib.clips.dataset import StudyDataset
from cmr_lib.clips.store import ClipStore
from cmr_lib.training import distributed, launch, loop
from cmr_lib.training.job import Job
from cmr_lib.training.start import start
from tests.drivers import of, told_by
from tests.toy import toy_settings, toy_store

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def told():
    return told_by("process_driver")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_gathered_loss_and_its_gradients_are_those_of_one_process(told, place):
    row = of(told, "gather")[place]
    assert row["processes"] == (1, 2, 4)[place]
    assert row["codes"] == [0] * row["processes"]
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.nn.functional.normalize(torch.randn(8, 4, generator=draw), dim=-1) for _ in range(2))
    x, y, weight = x.requires_grad_(), y.requires_grad_(), torch.eye(4).requires_grad_()
    loss = losses.info_nce(x @ weight, y @ weight, 9.0)
    loss.backward()
    assert row["loss"] == pytest.approx(float(loss.detach()), rel=1e-6)
    torch.testing.assert_close(torch.tensor(row["weight"]), weight.grad, atol=1e-5, rtol=1e-5)
    # The rows' own gradients carry the share of each process's loss: summed over processes, the whole.
    torch.testing.assert_close(torch.tensor(row["rows"]), torch.cat([x.grad, y.grad]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_two_processes_give_the_curve_of_one(told, norm):
    one, two = (row for row in of(told, "curve") if row["norm"] == norm)
    assert (one["codes"], two["codes"]) == ([0], [0, 0])
    assert len(one["loss"]) == {"batch": 1, "none": 3}[norm]
    for name in ("loss", "grad_norm"):
        assert two[name] == pytest.approx(one[name], rel=1e-3)
    if norm == "none":
        assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-4)
        assert two["weights"] == pytest.approx(one["weights"], rel=1e-5)
        assert one["loss"][-1] < one["loss"][0]


def test_when_one_process_is_asked_to_end_all_end_at_the_same_step_and_go_on(told):
    (row,) = of(told, "ended")
    assert row["codes"] == [143, 143]
    assert row["kept"] == ["00002.safetensors", "00003.safetensors"]  # the epoch before, and the step
    assert row["again"] == [0, 0]
    whole = next(case for case in of(told, "curve") if case["norm"] == "none" and case["processes"] == 2)
    assert row["loss"] == pytest.approx(whole["loss"], rel=1e-6)
    assert row["weights"] == pytest.approx(whole["weights"], rel=1e-7)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "processes", lambda: 3)
    with pytest.raises(ValueError, match=r"batch of 4 studies cannot be shared by 3 processes.*multiple of launch"):
        distributed.own_rows(4)


def stored(folder, settings, monkeypatch):
    """The toy world with its clips on disk, where another process finds them."""
    from cmr_lib import project

    toy, texts = toy_store(11)
    shards = np.concatenate(toy._clips)
    index = toy.index.assign(slice=0, shard=0, phase_of_es=0.5, spacing_mm=2.0)
    index["offset"] = np.cumsum([0, *index["n_frames"][:-1]])
    project.write_array(folder / "frames-000.npy", shards)
    project.write_table(folder / "index.parquet", index)
    clips, keys = ClipStore(folder), list(texts)
    parts = [StudyDataset(clips, some, settings.frames) for some in (keys[:8], keys[8:])]
    model, tokenizer = start(settings, list(texts.values()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return model, tokenizer, parts[0], texts, parts[1]


def test_torchrun_from_a_notebook_gives_the_history_and_weights_of_the_inline_run(tmp_path, monkeypatch):
    still = {"video": {"dropout": 0.0}, "text": {"dropout": 0.0}, "optim": {"max_steps": 1}}
    how = {"how": "torchrun", "processes": 2}
    inline, several = toy_settings(**still), toy_settings(**still, launch=how)
    model, *rest = stored(tmp_path / "store", inline, monkeypatch)
    wanted = launch.launch(Job(model, *rest, inline), tmp_path / "a", progress=False)
    other, *rest = stored(tmp_path / "store", several, monkeypatch)
    found = launch.launch(Job(other, *rest, several), tmp_path / "b", progress=False)
    assert list(found.columns) == list(loop.COLUMNS)
    assert len(found) == 1
    for name in ("loss", "grad_norm"):
        assert found[name].tolist() == pytest.approx(wanted[name].tolist(), rel=1e-4)
    assert not other.training
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=7e-3, rtol=1e-3)  # a gradient of rounding alone moves one step, too
    assert not (tmp_path / "b" / "job").exists()  # it held the reports


def test_slurm_gets_a_script_with_every_option_and_its_failure_is_said(tmp_path, monkeypatch):
    how = {"how": "slurm", "processes": 4, "nodes": 2, "slurm": ["--partition=gpu", "--gpus-per-node=4"]}
    settings = toy_settings(launch=how, optim={"batch_studies": 8})
    bin_, seen = tmp_path / "bin", tmp_path / "seen"
    bin_.mkdir()
    (bin_ / "sbatch").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\ncat "$5" >> {seen}\nexit 7\n')
    (bin_ / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    with pytest.raises(launch.LaunchError, match=r"code 7.*run it again to go on"):
        launch.launch(Job(*stored(tmp_path / "store", settings, monkeypatch), settings), tmp_path / "c")
    text = seen.read_text()
    assert text.splitlines()[:4] == ["--wait", "--parsable", "--partition=gpu", "--gpus-per-node=4"]
    for words in ("--nodes=2", "--signal=TERM@120", "srun ", "--nproc-per-node 4", "--nnodes 2", "--rdzv-endpoint"):
        assert words in text


def commands(folder, monkeypatch, **scripts):
    """Shell scripts under the names of Slurm's commands, first in PATH."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_slurm_job_trains_and_the_notebook_reads_what_it_left(tmp_path, monkeypatch):
    """Slurm's commands are scripts here: one node, and `srun` starts what it is given on it."""
    still = {"video": {"dropout": 0.0}, "text": {"dropout": 0.0}, "optim": {"max_steps": 1}}
    batch = 'echo 4711; export SLURM_JOB_ID=4711 SLURM_JOB_NODELIST=here; exec bash "${@: -1}"'
    commands(tmp_path / "bin", monkeypatch, sbatch=batch, scontrol="echo 127.0.0.1", srun='exec "$@"')
    inline, job = toy_settings(**still), toy_settings(**still, launch={"how": "slurm"})
    model, *rest = stored(tmp_path / "store", inline, monkeypatch)
    wanted = launch.launch(Job(model, *rest, inline), tmp_path / "a", progress=False)
    other, *rest = stored(tmp_path / "store", job, monkeypatch)
    found = launch.launch(Job(other, *rest, job), tmp_path / "b", progress=False)
    for name in ("loss", "grad_norm"):
        assert found[name].tolist() == pytest.approx(wanted[name].tolist(), rel=1e-4)
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=7e-3, rtol=1e-3)
    assert not (tmp_path / "b" / "job").exists()


@pytest.mark.parametrize("state", ["--state=PENDING", "--signal=TERM"])  # what a waiting, a running job obeys
def test_a_notebook_that_is_asked_to_end_asks_its_slurm_job_and_waits_for_it(state, tmp_path, monkeypatch):
    pid, seen = tmp_path / "pid", tmp_path / "seen"
    ended = f'echo "$@" >> {seen}; if [ "$1" = {state} ]; then kill "$(cat {pid})"; fi'
    commands(tmp_path / "bin", monkeypatch, sbatch=f"echo 4711; echo $$ > {pid}; exec sleep 60", scancel=ended)
    asked = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    asked.start()
    with pytest.raises(SystemExit) as left:
        launch._wait(["sbatch", "--wait", "--parsable", "job.sh"], tmp_path)
    assert left.value.code == 143
    assert seen.read_text().splitlines()[:2] == ["--state=PENDING 4711", "--signal=TERM 4711"]


def test_slurm_without_its_commands_and_impossible_launches_are_refused(tmp_path, monkeypatch):
    settings = toy_settings(launch={"how": "slurm"})
    monkeypatch.setattr(launch.shutil, "which", lambda _: None)
    with pytest.raises(FileNotFoundError, match="no `sbatch` here"):
        launch.launch(Job(*stored(tmp_path / "store", settings, monkeypatch), settings), tmp_path / "c")
    with pytest.raises(params.ParameterError, match="inline is one process"):
        toy_settings(launch={"processes": 2})
    with pytest.raises(params.ParameterError, match="several nodes want slurm"):
        toy_settings(launch={"how": "torchrun", "nodes": 2})
