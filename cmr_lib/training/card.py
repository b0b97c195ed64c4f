"""The model card: what a set of weights is, what it learned from, how it did, and what it must not be used for.

Sections follow Mitchell et al. 2019 (arXiv 1810.03993), shortened.
"""

import math

import pandas as pd

from cmr_lib import params


def model_card(settings: params.Pretrain, history: pd.DataFrame, n_train: int, *, synthetic: bool) -> str:
    """Markdown; `n_train` is the number of study-report pairs, `synthetic` whether they are phantoms."""
    frozen = settings.mode == "frozen"
    synthetic = synthetic or (frozen and settings.init == "released")
    source = "synthetic phantoms and invented reports" if synthetic else "studies and reports given by the user"
    caution = (
        "It has seen no patient. Its output on patients means nothing and must not be used for any decision."
        if synthetic
        else "It has not been evaluated for clinical use and must not be used for any decision."
    )
    last = history.iloc[-1] if len(history) else None
    curve = (
        "not trained here" if last is None else f"training loss {last.loss:.3f}, validation {last.validation_loss:.3f}"
    )
    text = settings.text
    tower = text.pretrained or f"{text.depth} layers of width {text.width}, WordPiece vocabulary of {text.vocabulary}"
    space = f"Shared space of {settings.embed_dim}, projection norm `{settings.projection_norm}`."
    if settings.init != "scratch":  # the settings' sizes were not used
        tower, space = f"that of `init: {settings.init}`", "Sizes: `config.json` beside the weights."
    learned = (
        f"Nothing here (mode: frozen): these are the weights of init: {settings.init}."
        if frozen
        else f"{n_train} pairs of {source}; seed {settings.seed}; {len(history)} epochs, batch\n"
        f"{settings.optim.batch_studies}; {curve} (nats)."
    )
    return f"""# CMRformer, {"phantom-trained" if synthetic else "trained on user data"}

**What.** Image tower: {_tower(settings)}
Report tower: {tower}. {space}
Method: Qiu et al. 2023 (arXiv 2304.07675), on the design of Frozen in Time (arXiv 2104.00650).

**Learned from.** {learned}

**For.** Teaching, testing of pipelines, a start for training on your own data.

**Not for.** {caution}

**Known limits.** One seed. Few pairs: it memorises in part. Absent views are masked, not imputed. Numbers in reports
are read digit by digit and are only roughly understood. Evaluation with intervals: the notebooks 04, 05 and 08.
"""


def _tower(settings: params.Pretrain) -> str:
    """The image tower in a sentence."""
    video, px = settings.video, settings.frames.crop_px
    if settings.init != "scratch":
        return f"that of `init: {settings.init}`, {px} px."
    sizes = f"{video.depth} blocks of width {video.width},\n{px} px, patch {video.patch_px} ({video.stem} stem)"
    if video.name == "divided_space_time":
        return f"divided space-time attention, {sizes}, `{video.temporal_init}`."
    if video.name == "frames":
        return f"a baseline, image by image and then averaged, {sizes}."
    return f"a baseline, {video.name} of torchvision, from crops of {px} px."


def reading(history: pd.DataFrame, settings: params.Pretrain, n_validation: int) -> str:
    """The sentence that reads the training curves (figures.training.history), with its numbers."""
    if not len(history):
        return f"Nothing was trained (`mode: frozen`): these are the weights of `init: {settings.init}`."
    first, last, chance = history.iloc[0], history.iloc[-1], math.log(settings.optim.batch_studies)
    used = "the last, whatever its validation loss"
    if settings.optim.patience is not None:
        used = f"number {history.validation_loss.idxmin() + 1}, that of the lowest validation loss"
    return (
        f"Over {len(history)} epochs the training loss falls from {first.loss:.2f} to **{last.loss:.2f}**, that of n = "
        f"{n_validation} validation pairs from {first.validation_loss:.2f} to **{last.validation_loss:.2f}** (chance "
        f"{chance:.2f} nats). The scale goes from {first.logit_scale:.1f} to {last.logit_scale:.1f}. On validation, "
        f"pairs go from {first.alignment:.2f} to {last.alignment:.2f} in alignment (unrelated: 2) and hearts from "
        f"{first.uniformity:.2f} to {last.uniformity:.2f} in uniformity. Temporal queries and keys receive gradients "
        f"(norm {first.temporal_qk_grad_norm:.1e} to {last.temporal_qk_grad_norm:.1e}). The epoch that is used: {used}."
    )
