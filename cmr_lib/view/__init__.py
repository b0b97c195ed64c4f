"""Players for notebooks: a beating heart that plays wherever the notebook is read, and a report as a card.

In a live kernel `cine_player` and `sliders` are widgets; in an executed copy (environment variable CMR_RUN, set by the
runner) they fall back to an animation or a frame grid, because widgets do not survive without a kernel. The browsers
need more of the library and are imported by name: `view.study` (the clips of a store), `view.retrieval` (a phrase finds
hearts, a heart finds reports) and `view.findings` (a finding and its sentences).
"""

from cmr_lib.view.animation import (
    CAPTION_PX,
    GAP_PX,
    Cine,
    Cines,
    cine_webp,
    colour_webp,
    side_by_side,
    webp_bytes,
)
from cmr_lib.view.cards import report_card, say
from cmr_lib.view.live import RUN_VARIABLE, is_live
from cmr_lib.view.player import cine_player, sliders

__all__ = [
    "CAPTION_PX",
    "GAP_PX",
    "RUN_VARIABLE",
    "Cine",
    "Cines",
    "cine_player",
    "cine_webp",
    "colour_webp",
    "is_live",
    "report_card",
    "say",
    "side_by_side",
    "sliders",
    "webp_bytes",
]
