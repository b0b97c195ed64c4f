"""One step of training: embed a batch, compare, move the weights, unless the numbers are not finite."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from cmr_lib import params, project
from cmr_lib.clips import augment
from cmr_lib.clips.dataset import Batch
from cmr_lib.models.cmrformer import LARGEST_SCALE, CMRformer
from cmr_lib.models.study import StudyImages
from cmr_lib.training import distributed, gradients, machine
from cmr_lib.training.pairs import Pairs

NOT_DECAYED = ("cls", "place", "log_scale", "logit_bias")


@dataclass(frozen=True)
class StepResult:
    """What a step reports; `done` is False when it was skipped because the loss or a gradient was not finite."""

    loss: float
    grad_norm: float
    temporal_qk_grad_norm: float
    done: bool


def make_optimiser(model: CMRformer, settings: params.Optimiser) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019); norms, biases, embeddings and the temperature do not decay."""
    tables = {id(layer.weight) for layer in model.modules() if isinstance(layer, nn.Embedding)}
    decayed, free = [], []
    for name, weight in model.named_parameters():
        held = weight.ndim < 2 or id(weight) in tables or name.rsplit(".", 1)[-1] in NOT_DECAYED
        (free if held else decayed).append(weight)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    on_gpu = (
        model.log_scale.is_cuda
    )  # there one kernel for all weights; on a CPU the plain one, whose bits are published
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True if on_gpu else None)


def generator_of(seed: int, what: str, epoch: int, step: int) -> torch.Generator:
    """A generator that depends on where it is used and on nothing drawn before."""
    return torch.Generator().manual_seed(project.seed_for(seed, what, epoch, step))


def prepare(
    batch: Batch,
    settings: params.Augment,
    crop_px: int,
    generator: torch.Generator,
    device: torch.device,
    rows: slice = slice(None),
) -> StudyImages:
    """The augmented images of these rows on the device; each row's draws are those it has in the whole batch."""
    frames = augment.augment(batch["frames"], settings, crop_px, generator, rows)
    mask = augment.hide_views(batch["view"], batch["sequence"], batch["mask"], settings.drop_view, generator)
    mask = augment.hide_cines(batch["sequence"], mask, settings.hide_cines, generator)
    told = [name for name in ("view", "sequence", "position", "phase", "vendor") if name in batch]
    kept = {name: batch[name][rows] for name in told}
    return StudyImages(frames=frames, mask=mask[rows], **kept).to(device)


def temporal_qk_squares(model: CMRformer) -> list[Float32[Tensor, ""]]:
    """Squared norm of the gradient of each layer's temporal queries and keys: 0 for ever under the published start."""
    grads = (layer.qkv.weight.grad for layer in model.video.time_layers)
    return [grad[: 2 * grad.shape[1]].square().sum() for grad in grads if grad is not None]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameter groups this learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def _undo(model: CMRformer, optimiser: torch.optim.Optimizer, averages: dict[str, Tensor]) -> None:
    """Put the running averages back and drop the gradients; the weights have not moved yet."""
    optimiser.zero_grad(set_to_none=True)
    model.load_state_dict(averages, strict=False)


def prepare_state(optimiser: torch.optim.Optimizer) -> None:
    """What AdamW keeps of every weight, before any has moved: for the lack of it half of them could be left moved.

    PyTorch makes the same zeros in a weight's first step, group by group, between the moves.
    """
    if not isinstance(optimiser, torch.optim.AdamW) or optimiser.defaults["amsgrad"]:
        return
    for weight in (weight for group in optimiser.param_groups for weight in group["params"]):
        if weight.grad is not None and not optimiser.state[weight]:
            where = weight.device if optimiser.defaults.get("fused") else "cpu"
            step = torch.zeros((), dtype=torch.float32, device=where)
            averages = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
            optimiser.state[weight] = {"step": step, **averages}


def _move(optimiser: torch.optim.Optimizer) -> None:
    """Let the optimiser move the weights; raises HalfMovedError when memory runs out on the way."""
    try:
        optimiser.step()
    except (MemoryError, RuntimeError) as error:
        if machine.no_memory(error):
            raise machine.HalfMovedError from error
        raise


def _move_if_finite(optimiser: torch.optim.Optimizer, numbers: Float32[Tensor, " n"]) -> None:
    """Move the weights unless a number is not finite, which the fused kernel reads for itself on the device.

    The way of torch.amp.GradScaler: to ask the GPU first would leave it idle until the next kernel is on its way.
    """
    optimiser.found_inf = (~numbers.isfinite().all()).float()  # type: ignore[attr-defined]
    try:
        _move(optimiser)
    finally:
        del optimiser.found_inf  # type: ignore[attr-defined]


def train_step(
    model: CMRformer,
    optimiser: torch.optim.Optimizer,
    batches: Sequence[Pairs],
    how: params.Optimiser,
    precision: str = "fp32",
) -> StepResult:
    """Forward, backward, clip, step; a loss or gradient that is not finite changes nothing.

    Of several batches the mean of the losses is taken (gradient accumulation): each has only its own negatives.
    """
    optimiser.zero_grad(set_to_none=True)
    averages = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        losses = [gradients.backward(model, pairs, how, precision, 1 / len(batches)) for pairs in batches]
        distributed.sum_gradients(model.parameters())
        squares = temporal_qk_squares(model)
        norm = nn.utils.clip_grad_norm_(model.parameters(), how.clip_norm)
        prepare_state(optimiser)
    except BaseException:  # out of memory, say: what is left is the model before the step
        _undo(model, optimiser, averages)
        raise
    numbers = torch.stack([norm, *losses, *squares])
    on_its_own = bool(optimiser.defaults.get("fused"))
    if on_its_own:
        _move_if_finite(optimiser, numbers[: 1 + len(losses)])
    # All numbers at once, last: each question to a GPU waits until it has done all that it was given.
    norm, *found = numbers.tolist()
    loss, temporal = sum(found[: len(losses)]) / len(losses), math.sqrt(sum(found[len(losses) :]))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        _undo(model, optimiser, averages)
        return StepResult(loss, norm, temporal, done=False)
    if not on_its_own:
        _move(optimiser)
    with torch.no_grad():
        model.log_scale.clamp_(max=math.log(LARGEST_SCALE))
    return StepResult(loss, norm, temporal, done=True)
