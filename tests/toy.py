"""A toy clip store and settings for tests of models, training and embeddings: a bright disc that beats."""

import numpy as np
import pandas as pd
import torch

from cmr_lib import params
from cmr_lib.models.study import StudyImages

UMAP = params.Umap(
    out_dir="o", in_root="i", data_dir="d", seed=1, neighbours=8, min_dist=0.1, metric="cosine", judged=4,
    sweep={"draws": 1, "neighbours": [5]}, hearts=3, second=0, study=None, bootstrap=50,
)  # fmt: skip
SIZE, PHASES = 20, 4


class ToyStore:
    """The two things that a data set needs of a clip store."""

    def __init__(self, index, clips):
        self.index, self._clips = index, clips

    def frames(self, row_number):
        return self._clips[row_number]


def disc(radius, brightness=200):
    away = np.hypot(*(np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2))
    return np.where(away < radius, brightness, 30).astype(np.uint8)


def toy_store(studies=12, without_lge=()):
    """Studies with two short-axis slices (positions 0.2, 0.7), a four-chamber cine and, mostly, late enhancement."""
    rows, clips, texts = [], [], {}
    for number in range(studies):
        key, ejection = f"{number:016x}", (number * 7) % 50
        small = 6 * (1 - ejection / 100)
        cine = np.stack([disc(radius) for radius in np.interp(np.arange(PHASES), [0, 2, 4], [6, small, 6])])
        still = disc(6, brightness=80 + number * 5)[None]
        wanted = [("sax", "cine", 0.2, cine), ("sax", "cine", 0.7, cine // 2), ("lax_4ch", "cine", 0.5, cine)]
        wanted += [] if number in without_lge else [("sax", "lge", 0.5, still)]
        for clip, (view, sequence, position, frames) in enumerate(wanted):
            rows.append((key, clip, view, sequence, position, len(frames)))
            clips.append(frames)
        texts[key] = f"LVEF {ejection} %. The left ventricle is {'normal' if ejection > 25 else 'impaired'}."
    index = pd.DataFrame(rows, columns=["study_key", "clip", "view", "sequence", "position", "n_frames"])
    return ToyStore(index, clips), texts


def toy_settings(**changes):
    """Parameters of stage pretrain, as small as they go; nested changes are merged."""
    base = {
        "out_dir": "out",
        "in_root": "in",
        "seed": 3,
        "mode": "train",
        "init": "scratch",
        "frames": {
            "sax_positions": [0.2, 0.7],
            "sax_phases": [0.0, 0.5],
            "lax_views": ["lax_4ch"],
            "lax_phases": [0.5],
            "lge_positions": [0.5],
            "crop_px": 16,
        },
        "video": {
            "stem": "patch",
            "patch_px": 8,
            "width": 16,
            "depth": 2,
            "heads": 2,
            "temporal_init": "zero_output",
            "dropout": 0.1,
            "residual": "input",
            "study": "concat",
        },
        "text": {
            "pretrained": None,
            "vocabulary": 140,
            "width": 16,
            "depth": 1,
            "heads": 2,
            "max_tokens": 32,
            "sections": ["findings"],
            "dropout": 0.1,
            "pool": "mean",
        },
        "embed_dim": 8,
        "projection_norm": "batch",
        "temperature": 0.07,
        "optim": {
            "epochs": 4,
            "batch_studies": 4,
            "learning_rate": 3e-3,
            "weight_decay": 0.05,
            "warmup_share": 0.1,
            "clip_norm": 1.0,
            "max_steps": None,
            "loss": "info_nce",
            "accumulate": 1,
            "micro_batch": None,
            "recompute": False,
            "compile": False,
            "frozen": [],
            "patience": None,
        },
        "augment": {
            "rotate_deg": 5.0,
            "scale": 0.05,
            "shift_px": 1.0,
            "intensity": 0.1,
            "drop_view": 0.1,
            "hide_cines": 0.1,
            "drop_sentence": 0.1,
        },
        "device": "cpu",
        "precision": "fp32",
        "checkpoint_epochs": 1,
        "launch": {"how": "inline", "processes": 1, "nodes": 1, "slurm": []},
    }
    return params.check("pretrain", params.merge(base, changes))


def model_inputs(studies=2, frames=5, side=16, seed=0):
    """Random images; the first study lacks its second frame."""
    draw = torch.Generator().manual_seed(seed)
    mask = torch.ones(studies, frames, dtype=torch.bool)
    mask[0, 1] = False
    return StudyImages(
        frames=torch.randn(studies, frames, 1, side, side, generator=draw),
        view=torch.randint(0, 7, (studies, frames), generator=draw),
        sequence=torch.randint(0, 3, (studies, frames), generator=draw),
        position=torch.rand(studies, frames, generator=draw),
        phase=torch.rand(studies, frames, generator=draw),
        mask=mask,
    )


def calm_adamw(model, settings):
    """AdamW whose epsilon lies above rounding errors.

    Otherwise a weight whose gradient is zero but for rounding moves as far as any other, and two orders of the same
    sum end a step in different places.
    """
    return torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, eps=1e-2)
