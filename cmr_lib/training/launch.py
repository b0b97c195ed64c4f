"""Training from a notebook: in its own process, in several of this machine (torchrun), or as a Slurm job.

Several processes get a job folder (initial weights, tokenizer, settings, study keys, report texts), join a group, train
as one (`distributed`), and leave weights and history in it; the notebook waits and reads them. The folder holds
reports: it lies beside the checkpoints and is removed on success.
"""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save

from cmr_lib import params, project
from cmr_lib.clips.dataset import StudyDataset
from cmr_lib.clips.store import ClipStore
from cmr_lib.models import pretrained
from cmr_lib.training import distributed, loop
from cmr_lib.training.job import Job
from cmr_lib.training.machine import choose_device
from cmr_lib.training.stop import Stop, end, stopping

ENDED = "result.safetensors", "history.json"
AGAIN = 10  # half-seconds until Slurm is asked again to end a job


class LaunchError(RuntimeError):
    """The processes of a training did not end well; the message says where their last words are."""


def launch(job: Job, checkpoint_dir: Path | str, progress: bool = True) -> pd.DataFrame:
    """`loop.fit`, where `settings.launch` says: weights are changed in place and the history is returned.

    Raises:
        LaunchError: torchrun or sbatch failed; checkpoints are kept, so the same call goes on from the last.
        FileNotFoundError: slurm without its commands.
    """
    model, settings = job.model, job.settings
    if settings.launch.how == "inline" or settings.mode == "frozen":
        return loop.fit(job, checkpoint_dir, progress)
    folder = Path(checkpoint_dir) / "job"
    write_job(folder, job, checkpoint_dir)
    _wait(command(settings.launch, folder), folder)
    model.load_state_dict(load_file(folder / ENDED[0]))
    history = pd.DataFrame(json.loads((folder / ENDED[1]).read_text(encoding="utf-8")), columns=list(loop.COLUMNS))
    shutil.rmtree(folder)
    model.to(choose_device(settings.device)).eval()
    return history


def write_job(folder: Path, job: Job, checkpoint_dir: Path | str) -> None:
    """Everything that another process needs to call `loop.fit` with the same job."""
    shutil.rmtree(folder, ignore_errors=True)
    pretrained.save_pretrained(job.model, job.tokenizer, folder / "model")
    facts = {
        "settings": job.settings.model_dump(mode="json"),
        "store": str(Path(job.train.store.folder).resolve()),
        "checkpoints": str(Path(checkpoint_dir).resolve()),
        "keys": job.study_keys,
        "texts": {key: job.texts[key] for part in job.study_keys.values() for key in part if key in job.texts},
    }
    project.write_text(folder / "job.json", json.dumps(facts))  # not write_json: no parameter may be rounded


def read_job(folder: Path) -> tuple[Job, str]:
    """What `write_job` wrote: the job, and where its checkpoints lie."""
    facts = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    settings, clips = params.check("pretrain", facts["settings"]), ClipStore(Path(facts["store"]))
    train, validation = (StudyDataset(clips, facts["keys"][part], settings.frames) for part in ("train", "validation"))
    job = Job(*pretrained.from_pretrained(folder / "model"), train, facts["texts"], validation, settings)
    return job, facts["checkpoints"]


def command(how: params.Launch, job: Path) -> list[str]:
    """What the notebook runs and waits for. For Slurm, the batch script is written into the job folder."""
    worker = ["-m", "cmr_lib.training.launch", str(job.resolve())]
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(how.processes)]
    if how.how == "torchrun":
        return [*run, "--standalone", *worker]
    if shutil.which("sbatch") is None:
        raise FileNotFoundError(
            "launch.how is slurm, but there is no `sbatch` here: start the notebook on a login node."
        )
    project.write_text(job / "job.sh", _batch_script(how, job, run, worker))
    return ["sbatch", "--wait", "--parsable", *how.slurm, str(job / "job.sh")]


def _batch_script(how: params.Launch, job: Path, run: Sequence[str], worker: Sequence[str]) -> str:
    """One task a node, each starting its processes; two minutes before the time limit all are asked to end."""
    return f"""#!/bin/bash
#SBATCH --job-name=cmrformer
#SBATCH --nodes={how.nodes}
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@120
#SBATCH --output={shlex.quote(str(job.resolve() / "slurm.log"))}
cd {shlex.quote(str(Path.cwd()))}
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun {shlex.join(run)} --nnodes {how.nodes} --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" \\
  --rdzv-endpoint "$first:$((20000 + SLURM_JOB_ID % 20000))" {shlex.join(worker)}
"""


def _wait(words: Sequence[str], job: Path) -> None:
    """Run until it ends, its output shown here; SIGTERM is handed on, and the processes checkpoint."""
    stop, slurm, asked = Stop(), words[0] == "sbatch", 0
    with ExitStack() as open_:
        said = open_.enter_context((job / "sbatch.out").open("w+", encoding="utf-8")) if slurm else None
        open_.enter_context(stopping(stop))
        process = open_.enter_context(subprocess.Popen(words, stdout=said))
        while True:
            try:
                code = process.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                if stop.asked and asked % AGAIN == 0 and (slurm or not asked):
                    _hand_on(process, (job / "sbatch.out").read_text(encoding="utf-8") if slurm else "")
                asked += stop.asked
    if stop.asked:
        end()
    if code or not all((job / name).is_file() for name in ENDED):
        raise LaunchError(
            f"Training in several processes ended with code {code}; what they said stands above (slurm: in "
            "job/slurm.log beside the checkpoints). Checkpoints are kept: run it again to go on."
        )


def _hand_on(process: "subprocess.Popen[bytes]", said: str) -> None:
    """SIGTERM to torchrun, or to the processes of the Slurm job, which would outlive `sbatch --wait`.

    A job that still waits in the queue takes no signal: it is taken back. Between the two it may have started, so Slurm
    is asked again until it has ended.
    """
    if number := said.strip().split(";")[0]:
        subprocess.run(["scancel", "--state=PENDING", number], check=False)
        subprocess.run(["scancel", "--signal=TERM", number], check=False)
    else:
        process.terminate()


def work(folder: Path) -> None:
    """One of the processes: join the group, train, and let the first leave weights and history in the job folder."""
    job, checkpoint_dir = read_job(folder)
    distributed.start(choose_device(job.settings.device))
    history = loop.fit(job, checkpoint_dir)
    if distributed.rank() == 0:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in job.model.state_dict().items()}
        project.write_bytes(folder / ENDED[0], save(state))
        project.write_text(folder / ENDED[1], json.dumps(history.to_dict("records")))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
