"""A toy training in 1, 2 and 4 processes, forked from one that never computes: run by test_training_distributed.

Prints one JSON object a line.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from cmr_lib import losses
from cmr_lib.clips.dataset import StudyDataset
from cmr_lib.training import distributed, loop, stop
from cmr_lib.training.job import Job
from cmr_lib.training.start import start
from tests.toy import calm_adamw, toy_settings, toy_store

torch.set_num_threads(1)
os.environ["GLOO_SOCKET_IFNAME"] = "lo"
loop.step.make_optimiser = calm_adamw
STILL = {"video": {"dropout": 0.0}, "text": {"dropout": 0.0}}


def group(processes, task):
    """What the first of some forked processes returns, after all have ended well."""
    with tempfile.TemporaryDirectory() as place:
        children = []
        for rank in range(processes):
            if not (pid := os.fork()):
                code = 1
                try:
                    meet = f"file://{place}/meet"
                    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=processes)
                    found = task()
                    (Path(place) / f"{rank}.json").write_text(json.dumps(found))
                    dist.barrier()
                    code = 0
                except SystemExit as ended:
                    code = ended.code
                finally:
                    os._exit(code)
            children.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        first = Path(place) / "0.json"
        return codes, json.loads(first.read_text()) if first.exists() else None


def gathered():
    """Loss and gradients of eight pairs of which each process holds its share."""
    draw = torch.Generator().manual_seed(0)
    whole = [torch.nn.functional.normalize(torch.randn(8, 4, generator=draw), dim=-1) for _ in range(2)]
    weight = torch.eye(4).requires_grad_()  # shared, as a tower's weights are
    own = [x[distributed.own_rows(8)].clone().requires_grad_() for x in whole]
    image, text = (distributed.gather(x @ weight) for x in own)
    loss = losses.info_nce(image, text, 9.0)
    (loss / distributed.processes()).backward()
    distributed.sum_gradients([weight])
    return {
        "loss": float(loss.detach()),
        "weight": weight.grad.tolist(),
        "rows": torch.cat([distributed.gather(x.grad) for x in own]).tolist(),
    }


def trained(settings, folder=None, end_after=None):
    """A history and a checksum of the weights."""
    store, texts = toy_store(11)
    keys = list(texts)
    parts = [StudyDataset(store, some, settings.frames) for some in (keys[:8], keys[8:])]
    model, tokenizer = start(settings, list(texts.values()))
    if end_after is not None and distributed.rank() == 1:  # one of the processes is asked to end, the other is not
        whole, calls = loop.step.train_step, []

        def counted(*arguments):
            calls.append(1)
            result = whole(*arguments)
            if len(calls) == end_after:
                os.kill(os.getpid(), 15)
            return result

        loop.step.train_step = counted
    history = loop.fit(Job(model, tokenizer, parts[0], texts, parts[1], settings), folder, progress=False)
    return {
        "loss": history["loss"].tolist(),
        "grad_norm": history["grad_norm"].tolist(),
        "validation_loss": history["validation_loss"].tolist(),
        "weights": float(sum(w.double().abs().sum() for w in model.state_dict().values())),
    }


def main():
    for processes in (1, 2, 4):
        codes, found = group(processes, gathered)
        print(json.dumps({"kind": "gather", "processes": processes, "codes": codes} | found), flush=True)
    # Batch norm of toy features that hardly differ enlarges every rounding error: one step is compared, not a curve.
    cases = {"batch": {"max_steps": 1}, "none": {"micro_batch": 1, "epochs": 3}}
    for norm, optim in cases.items():
        for processes in (1, 2):
            settings = toy_settings(**STILL, projection_norm=norm, optim=optim)
            codes, found = group(processes, lambda settings=settings: trained(settings))
            case = {"kind": "curve", "processes": processes, "norm": norm, "codes": codes}
            print(json.dumps(case | found), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        settings = toy_settings(**STILL, projection_norm="none", optim=cases["none"])
        codes, _ = group(2, lambda: trained(settings, folder, end_after=3))
        kept = sorted(path.name.split("-")[1] for path in Path(folder).glob("*.safetensors"))
        again, found = group(2, lambda: trained(settings, folder))
        print(json.dumps({"kind": "ended", "codes": codes, "kept": kept, "again": again} | found), flush=True)


assert stop.EXIT_CODE == 143
if __name__ == "__main__":
    sys.exit(main())
