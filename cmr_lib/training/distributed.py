"""Several processes, one batch: each embeds its rows, all compare the whole batch, gradients are summed.

Every process computes the same loss L from the features of all rows and differentiates L / processes; the sum of the
processes' gradients is then the gradient of L, exactly that of one process. DistributedDataParallel is not used: it
averages losses of separate batches, would reduce once a micro-batch under gradient caching, and its batch norm has no
CPU form. With one process all of this is nothing.
"""

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

PATIENCE = timedelta(minutes=10)  # a process that waits longer for the others gives up


def start(device: torch.device) -> None:
    """Join the group that torchrun describes in the environment: nccl on GPUs, gloo on CPUs."""
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)


def rank() -> int:
    """Which of the processes this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def processes() -> int:
    """How many processes share a batch."""
    return dist.get_world_size() if dist.is_initialized() else 1


def own_rows(size: int) -> slice:
    """The rows of a batch that this process embeds. Raises ValueError when they cannot be shared out evenly."""
    if size % processes():
        raise ValueError(
            f"A batch of {size} studies cannot be shared by {processes()} processes: make optim.batch_studies a "
            "multiple of launch.processes × launch.nodes."
        )
    share = size // processes()
    return slice(rank() * share, (rank() + 1) * share)


class _Gather(torch.autograd.Function):
    """Concatenation over processes; its adjoint: sum the gradients of all processes, keep one's own rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        ctx.rows = len(own)
        parts = [torch.empty_like(own) for _ in range(processes())]
        dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Tensor:
        total = upstream[0].contiguous().clone()
        dist.all_reduce(total)
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def gather(own: Float[Tensor, "rows d"]) -> Float[Tensor, "all d"]:
    """The rows of all processes, in order of their rank; differentiable."""
    if processes() == 1:
        return own
    everyone: Tensor = _Gather.apply(own)
    return everyone


def sum_gradients(weights: Iterable[Tensor]) -> None:
    """Replace every gradient by its sum over the processes, in one exchange."""
    grads = [weight.grad for weight in weights if weight.grad is not None]
    if processes() == 1 or not grads:
        return
    flat = torch.cat([grad.flatten() for grad in grads])
    dist.all_reduce(flat)
    for grad, total in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(total.view_as(grad))


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set in any process: the same answer in all, so that all stop at the same step."""
    if processes() == 1:
        return flag
    seen = torch.tensor(float(flag), device=device)
    dist.all_reduce(seen)
    return bool(seen > 0)
