"""Quality of a study's clips, from the clips alone: which to look at first.

Each part of the score is between 0 (bad) and 1; the score is their mean. It orders a cohort for the eye and rejects
nothing.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from cmr_lib import types
from cmr_lib.clips.prepare import MIDDLE, PreparedClip
from cmr_lib.clips.store import ClipStore

INNER = 0.3  # radius of "the heart", as a share of the clip's side
BEST_CONTRAST = 0.6  # interquartile range of the middle, as a share of black to white; blood and wall give 0.3 to 0.5
VIEWS = ("sax", "lax_2ch", "lax_3ch", "lax_4ch", "rvot", "rv_2ch", "unknown")
COLUMNS = (
    *("study_key", "score", "n_clips", *(f"n_{view}" for view in VIEWS), "n_lge"),
    *("centre_found", "es_found", "phase_of_es", "motion", "contrast", "confidence"),
)

Frames = UInt8[np.ndarray, "frames size size"]
Picture = UInt8[np.ndarray, "size size"]


def _away(size: int) -> np.ndarray:
    """Distance of every pixel from the middle, as a share of the side."""
    rows, cols = np.indices((size, size)) - (size - 1) / 2
    return np.hypot(rows, cols) / size


def motion(frames: Frames) -> float:
    """How many times more the middle changes over the beat than the rim does; NaN for a still, 1 for pure noise."""
    if len(frames) < 2:
        return float("nan")
    spread, away = frames.astype(np.float32).std(axis=0), _away(frames.shape[-1])
    rim = float(spread[away > MIDDLE].mean())
    return float(spread[away < INNER].mean()) / max(rim, 1e-3)


def contrast(frames: Frames) -> float:
    """Interquartile range of the middle of the mean frame over 255: small for noise, fog and flat images."""
    middle = frames.mean(axis=0)[_away(frames.shape[-1]) < INNER]
    low, high = np.percentile(middle, (25, 75))
    return float(high - low) / 255


def main_clip(clips: Sequence[PreparedClip]) -> PreparedClip:
    """The clip that stands for a study: the middle short-axis cine, else the middle cine, else the middle of all."""
    cines = [clip for clip in clips if clip.sequence == types.Sequence.CINE]
    short = sorted((clip for clip in cines if clip.view == types.View.SAX), key=lambda clip: clip.position)
    chosen = short or cines or list(clips)
    return chosen[len(chosen) // 2]


def quality_of(clips: Sequence[PreparedClip]) -> dict[str, float | int]:
    """The study's row of the quality table, without its key. Raises ValueError for a study without clips."""
    if not clips:
        raise ValueError("A study without clips has no quality.")
    main = main_clip(clips)
    cines = [clip for clip in clips if clip.sequence == types.Sequence.CINE]
    moving, fine = motion(main.frames), contrast(main.frames)
    confidence = [clip.confidence for clip in clips if np.isfinite(clip.confidence)]
    parts = {
        "short_axis": float(any(clip.view == types.View.SAX for clip in cines)),
        "centre": float(main.centred),
        "end_systole": float(np.isfinite(main.phase_of_es)),
        "motion": 1 - 1 / max(1.0, moving) if np.isfinite(moving) else 0.0,
        "contrast": min(1.0, fine / BEST_CONTRAST),
        **({"confidence": float(np.mean(confidence))} if confidence else {}),
    }
    return {
        "score": float(np.mean(list(parts.values()))),
        "n_clips": len(clips),
        **{f"n_{view}": sum(clip.view == view for clip in cines) for view in VIEWS},
        "n_lge": sum(clip.sequence == types.Sequence.LGE for clip in clips),
        "centre_found": int(main.centred),
        "es_found": int(parts["end_systole"]),
        "phase_of_es": main.phase_of_es,
        "motion": moving,
        "contrast": fine,
        "confidence": float(np.mean(confidence)) if confidence else float("nan"),
    }


def moments(frames: Frames, phase_of_es: float) -> tuple[Picture, Picture]:
    """The frame at the R wave and the one at end-systole (at a third of the beat where that is unclear)."""
    phase = phase_of_es if np.isfinite(phase_of_es) else 1 / 3
    return frames[0], frames[round(phase * len(frames)) % len(frames)]


def worst(clips: ClipStore, table: pd.DataFrame, count: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The two moments of the `count` studies with the lowest score, by what to write above them.

    table: of `quality_of`, one row a study, worst first.
    """
    shown = {}
    for row in table.head(count).itertuples(index=False):
        frames = clips.frames(clips.middle_cine(row.study_key))
        shown[f"{row.study_key[:6]}  {row.score:.2f}"] = moments(np.asarray(frames), row.phase_of_es)
    return shown
