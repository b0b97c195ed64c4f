"""The mess of a hospital's export: what else is in a study, what is missing from it, and what is broken.

Everything is drawn here without a picture and without a look at the diagnosis, so that shares can be checked over
thousands of studies in a second; `plan` turns the draws into series, `archive` into files.
"""

from dataclasses import dataclass, replace

import numpy as np

from cmr_lib import project
from cmr_lib.params import Simulate
from cmr_lib.simulate.latents import Latents
from cmr_lib.types import Sequence, View

MOST_FILES = 110  # of a demo study
LOCALISERS, FEWEST_REPEATED, FEWEST_FLOW = 3, 4, 3
LONG_AXIS = (View.LAX_4CH, View.LAX_2CH, View.LAX_3CH)
SPOILS = ("truncated", "empty", "no_preamble", "not_dicom")
# What a careful reader does with a spoiled file: an empty one is no DICOM file, a preamble can be done without.
OUTCOMES = {
    "truncated": "rejected",
    "empty": "ignored",
    "no_preamble": "repaired",
    "not_dicom": "ignored",
    "duplicate": "ignored",
}


@dataclass(frozen=True)
class Mess:
    """One study's share of it. Places are shares, 0 to 1, of whatever can be hit."""

    place: float = 0.0  # of the slice, series and file that something happens to
    localiser: bool = False
    flow: int = 0  # phases of a phase-contrast pair; 0: none
    venc_cm_s: float = 150.0
    t1_map: bool = False
    screenshot: bool = False
    attempt: float = 0.0  # how much of a beat was scanned before a slice was scanned again; 0: no repeat
    duplicate: bool = False  # one file came twice
    missing: View | Sequence | None = None  # a long-axis view, or all late enhancement
    lost_slice: bool = False
    liar: View | None = None  # the view whose SeriesDescription lies
    claim: View | None = None  # and what it says
    spoil: str = ""  # one of SPOILS

    def files(self, phases: int) -> int:
        """How many files this adds to a study, at `phases` images of a beat."""
        extras = LOCALISERS * self.localiser + 2 * self.flow + self.t1_map + self.screenshot + self.duplicate
        return extras + attempted(self, phases) + (self.spoil == "not_dicom")


def attempted(mess: Mess, phases: int) -> int:
    """Images of the first attempt at the slice that was scanned twice; 0: none was."""
    return max(FEWEST_REPEATED, round(mess.attempt * phases)) if mess.attempt > 0 else 0


def draw_mess(settings: Simulate, latents: Latents) -> Mess:
    """What befalls a study: a function of (seed, patient, study) and the shares."""
    random = project.rng(settings.seed, "mess", latents.patient, latents.study)
    shares = settings.mess
    happens = {name: bool(random.random() < share) for name, share in shares}
    first, second = (LONG_AXIS[int(index)] for index in random.permutation(len(LONG_AXIS))[:2])
    broken_off, again = random.random() < 0.5, random.random()
    doubled, nothing_late = random.random() < 0.3, random.random() < 0.3
    phases, venc = int(random.integers(FEWEST_FLOW, 5)), float(random.choice([150.0, 180.0, 200.0]))
    spoil = SPOILS[int(random.integers(len(SPOILS)))]
    lost = Sequence.LGE if nothing_late else second
    return Mess(
        place=float(random.random()),
        localiser=happens["localiser"],
        flow=phases if happens["flow"] else 0,
        venc_cm_s=venc,
        t1_map=happens["t1_map"],
        screenshot=happens["screenshot"],
        attempt=(0.3 + 0.4 * again if broken_off else 1.0) if happens["repeat"] and not doubled else 0.0,
        duplicate=happens["repeat"] and doubled,
        missing=lost if happens["missing_view"] else None,
        lost_slice=happens["missing_slice"],
        liar=first if happens["wrong_name"] else None,
        claim=second if happens["wrong_name"] else None,
        spoil=spoil if happens["corrupt"] else "",
    )


def fitted(mess: Mess, files: int, phases: int, most: int = MOST_FILES) -> Mess:
    """The mess without the extras for which a study of `files` files has no room.

    The first attempt at a slice is broken off earlier or left out; then goes the localiser, then map and screenshot.
    """
    bare = replace(mess, attempt=0.0, flow=0, localiser=False, t1_map=False, screenshot=False)
    room = most - files - bare.files(phases)
    if mess.attempt > 0:
        mess = replace(mess, attempt=min(mess.attempt, room / phases) if room >= FEWEST_REPEATED else 0.0)
    shorter = {"flow": min(mess.flow, FEWEST_FLOW)}
    for lighter in (shorter, {"localiser": False}, {"t1_map": False}, {"screenshot": False}, {"flow": 0}):
        if files + mess.files(phases) > most:
            mess = replace(mess, **lighter)
    return mess


def spoiled(data: bytes, spoil: str, place: float) -> bytes:
    """A file's bytes as they arrive: cut somewhere behind its first third, empty, or without its preamble.

    Raises ValueError for another way of spoiling.
    """
    if spoil == "truncated":
        return data[: int(len(data) * (0.35 + 0.6 * place))]
    if spoil == "empty":
        return b""
    if spoil == "no_preamble":
        return data[132:]
    raise ValueError(f"A file is truncated, empty or without preamble, not {spoil!r}.")


def pick(count: int, place: float) -> int:
    """Which of `count` things lies at a place (0 to 1)."""
    return int(np.clip(place * count, 0, count - 1))
