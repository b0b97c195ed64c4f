"""The studies of a clip store, one at a time, in the hands: choose a study and a sequence, its views play together."""

from collections.abc import Mapping, Sequence
from typing import Any

from cmr_lib.clips.store import ClipStore
from cmr_lib.view.animation import Cine
from cmr_lib.view.live import answering, is_live, notice
from cmr_lib.view.player import CinePlayer, cine_player

NO_STUDY = "No study is chosen: the list is empty, so there is nothing to look at."


def clips_of(clips: ClipStore, study_key: str, sequence: str = "") -> dict[str, Cine]:
    """The frames of a study's clips by name ("sax 0.5"), from base to apex; `sequence` leaves out all others.

    Raises KeyError for a study that is not there, ValueError for one without such clips.
    """
    index = clips.of_study(study_key)
    chosen = index[index["sequence"] == sequence] if sequence else index
    if chosen.empty:
        there = ", ".join(sorted(index["sequence"].unique()))
        raise ValueError(f"Study {study_key} has no {sequence} clip; it has {there}.")
    ordered = chosen.sort_values(["sequence", "view", "position", "clip"], kind="stable")
    named: dict[str, Cine] = {}
    for row in ordered.itertuples():
        name = " ".join([str(row.view), *([] if sequence else [str(row.sequence)]), f"{row.position:.1f}"])
        named[name if name not in named else f"{name} ({row.clip})"] = clips.frames(row.Index)
    return named


def study_viewer(
    clips: ClipStore, study_keys: Sequence[str], note: str, facts: Mapping[str, str] | None = None, scale: int = 2
) -> Any:
    """Studies to choose from and a player of the chosen one; `facts`: a line of text by study key.

    In an executed copy, the animation of the first study's cines. `note` says whose hearts these are.
    Raises ValueError when there is no study.
    """
    if not is_live():
        if not len(study_keys):
            raise ValueError(NO_STUDY)
        first = study_keys[0]
        kinds = clips.of_study(first)["sequence"]
        return cine_player(clips_of(clips, first, "cine" if (kinds == "cine").any() else ""), scale, caption=note)
    return StudyViewer(clips, list(study_keys), note, dict(facts or {}), scale).box


class StudyViewer:
    """The widgets of `study_viewer`."""

    def __init__(self, clips: ClipStore, study_keys: list[str], note: str, facts: dict[str, str], scale: int) -> None:
        import ipywidgets as widgets

        self.clips, self.note, self.facts, self.scale = clips, note, facts, scale
        self.study = widgets.Dropdown(options=study_keys, description="study", layout={"width": "30em"})
        self.sequence = widgets.ToggleButtons(style={"button_width": "6em"})
        self.line = notice()
        self.player: CinePlayer | None = None
        self.place = widgets.VBox()
        self.box = widgets.VBox([widgets.HBox([self.study, self.sequence]), self.line, self.place])
        self.study.observe(self._other_study, names="value")
        self.sequence.observe(self._other_sequence, names="value")
        self._other_study(None)

    def _other_study(self, _: Any) -> None:
        answering(self.line, self._load_study)

    def _other_sequence(self, _: Any) -> None:
        answering(self.line, self._load_clips)

    def _load_study(self) -> str:
        if self.study.value is None:
            return NO_STUDY
        kinds = sorted(self.clips.of_study(self.study.value)["sequence"].unique())
        wanted = self.sequence.value if self.sequence.value in kinds else kinds[0]
        self.sequence.options = kinds
        self.sequence.value = wanted
        return self._load_clips()

    def _load_clips(self) -> str:
        if self.study.value is None or self.sequence.value is None:
            return NO_STUDY
        named = clips_of(self.clips, self.study.value, self.sequence.value)
        caption = " · ".join(part for part in (self.facts.get(self.study.value, ""), self.note) if part)
        if self.player is None:
            self.player = CinePlayer(named, self.scale, 60, caption)
            self.place.children = (self.player.box,)
        else:
            self.player.load(named, caption)
        return ""
