"""Study viewer, retrieval and label browser, driven without a browser: right answers, sentences for bad input."""

import numpy as np
import pandas as pd
import pytest

from cmr_lib import view
from cmr_lib.clips import prepare, store
from cmr_lib.types import Sequence, View
from cmr_lib.view import findings, retrieval, study
from cmr_lib.view.gallery import Gallery

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # ipywidgets without a running kernel
NOTE = "synthetic phantom"


@pytest.fixture
def live(monkeypatch):
    monkeypatch.delenv(view.RUN_VARIABLE, raising=False)


@pytest.fixture
def executed(monkeypatch):
    monkeypatch.setenv(view.RUN_VARIABLE, "1")


def clip(kind: View, sequence: Sequence, position: float, frames: int, grey: int) -> prepare.PreparedClip:
    pixels = np.full((frames, 16, 16), grey, dtype=np.uint8) + np.arange(frames, dtype=np.uint8)[:, None, None]
    return prepare.PreparedClip(pixels, kind, sequence, 0, position, 0.3, 2.0)


@pytest.fixture
def clips(tmp_path):
    """Study "a": three cines and an LGE; "b": one still; "c": forty slices."""
    a = [clip(View.SAX, Sequence.CINE, place, 5, 40) for place in (0.8, 0.2)]
    a += [clip(View.LAX_4CH, Sequence.CINE, 0.5, 5, 80), clip(View.SAX, Sequence.LGE, 0.5, 1, 120)]
    b = [clip(View.SAX, Sequence.LGE, 0.5, 1, 10)]
    c = [clip(View.SAX, Sequence.CINE, i / 40, 4, i) for i in range(40)]
    store.write_store(tmp_path, [("a", a), ("b", b), ("c", c)])
    return store.ClipStore(tmp_path)


# --- studies ----------------------------------------------------------------------------------------------------
def test_a_studys_clips_are_named_and_go_from_base_to_apex(clips):
    assert list(study.clips_of(clips, "a", "cine")) == ["lax_4ch 0.5", "sax 0.2", "sax 0.8"]
    assert list(study.clips_of(clips, "a")) == ["lax_4ch cine 0.5", "sax cine 0.2", "sax cine 0.8", "sax lge 0.5"]
    assert (study.clips_of(clips, "a", "lge")["sax 0.5"] == 120).all()
    assert len(study.clips_of(clips, "c", "cine")) == 40, "equal names (0.0, 0.0 …) lose no clip"


def test_another_study_and_another_sequence_load_their_clips(clips, live):
    viewer = study.StudyViewer(clips, clips.study_keys, NOTE, {"a": "NOR, LVEF 60 %"}, 1)
    assert list(viewer.player.named) == ["lax_4ch 0.5", "sax 0.2", "sax 0.8"]
    assert "NOR, LVEF 60 %" in viewer.player.caption.value
    assert NOTE in viewer.player.caption.value
    viewer.sequence.value = "lge"
    assert list(viewer.player.named) == ["sax 0.5"]
    viewer.study.value = "c"
    assert len(viewer.player.named) == 40
    assert "6 of 40 views" in viewer.player.notice.value
    viewer.study.value = "b"
    assert "One frame only" in viewer.player.notice.value
    assert viewer.line.value == ""


def test_no_study_is_a_sentence(clips, live, monkeypatch):
    viewer = study.StudyViewer(clips, [], NOTE, {}, 1)
    assert "No study is chosen" in viewer.line.value
    monkeypatch.setenv(view.RUN_VARIABLE, "1")
    with pytest.raises(ValueError, match="No study is chosen"):
        study.study_viewer(clips, [], NOTE)


def test_a_study_that_is_not_there_is_a_sentence(clips, live):
    viewer = study.StudyViewer(clips, ["a", "elsewhere"], NOTE, {}, 1)
    viewer.study.value = "elsewhere"
    assert "elsewhere is not in this store of 3 studies" in viewer.line.value
    viewer.study.value = "a"
    assert viewer.line.value == ""


def test_an_executed_copy_plays_the_first_studys_cines(clips, executed):
    shown = study.study_viewer(clips, ["a", "b"], NOTE, scale=1)
    cines = {f"{name}": frames for name, frames in study.clips_of(clips, "a", "cine").items()}
    assert shown.data == view.cine_webp(cines, scale=1, caption=NOTE).data
    assert "data:image/webp" in study.study_viewer(clips, ["b"], NOTE).data, "a study without cines shows what it has"


# --- retrieval --------------------------------------------------------------------------------------------------
@pytest.fixture
def gallery():
    """Three hearts and four reports in a plane; a phrase points along the first axis as often as it says "scar"."""
    hearts = pd.DataFrame(
        {"study_key": ["h0", "h1", "h2"], "findings": ["f0", "f1", "f2"], "impression": ["A <scar>.", "Normal.", ""]}
    )
    reports = pd.DataFrame({"findings": ["f0", "x", "f2", "y"], "impression": ["A <scar>.", "Dilated.", "", "Old."]})
    axis = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], dtype=np.float32)
    text = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6], [-1.0, 0.0]], dtype=np.float32)
    direction = {True: np.array([1.0, 0.0], np.float32), False: np.array([0.0, 1.0], np.float32)}
    return Gallery(
        hearts=hearts,
        image=axis,
        reports=reports,
        text=text,
        cine=lambda key: np.full((2, 8, 8), int(key[1]), dtype=np.uint8),
        embed=lambda phrase: direction["scar" in phrase],
        words=frozenset({"scar", "dilated", "7"}),
        note=NOTE,
    )


def test_a_phrase_finds_the_hearts_that_point_its_way(gallery):
    found = gallery.hearts_for("a scar", 2)
    assert found.study_key.tolist() == ["h0", "h2"]
    assert found.similarity.tolist() == pytest.approx([1.0, 0.6])
    assert gallery.hearts_for("dilated", 9).study_key.tolist() == ["h1", "h2", "h0"]


def test_a_heart_finds_its_reports(gallery):
    assert gallery.reports_for("h2", 2).impression.tolist() == ["", "Dilated."]  # .96 and .80
    with pytest.raises(KeyError, match="h9 is not among these 3"):
        gallery.reports_for("h9")


def test_known_and_unknown_words_are_told_apart(gallery):
    assert gallery.unknown("SCAR, zebra; 7 mm (zebra)") == (["scar", "7"], ["zebra", "mm"])


def test_typing_and_picking_change_the_answer(gallery, live):
    browser = retrieval.RetrievalBrowser(gallery, "scar", 2)
    assert browser.answer.value.index("h0") < browser.answer.value.index("h2")
    assert "A &lt;scar&gt;." in browser.answer.value
    assert "similarity 1.00" in browser.answer.value
    browser.phrase.value = "dilated zebra"
    assert "h0" not in browser.answer.value
    assert "Never met, so only spelled: zebra" in browser.line.value
    browser.heart.value = "h0"
    assert "its own report" in browser.answer.value
    assert "of 4 reports" in browser.answer.value
    browser.search.click()
    assert browser.heart.value is None
    assert "of 3 hearts" in browser.answer.value


@pytest.mark.parametrize(("phrase", "said"), [("zebra", "No word of “zebra” is known"), ("  ", "Nothing was asked")])
def test_a_phrase_without_a_known_word_is_a_sentence(gallery, live, phrase, said):
    browser = retrieval.RetrievalBrowser(gallery, "scar", 2)
    browser.phrase.value = phrase
    assert said in browser.line.value
    assert "septal" in browser.line.value
    assert browser.answer.value == ""


def test_an_empty_gallery_is_a_sentence(gallery, live, monkeypatch):
    none = Gallery(**{**vars(gallery), "hearts": gallery.hearts[:0], "image": gallery.image[:0]})
    assert "no heart in this gallery" in retrieval.RetrievalBrowser(none, "scar", 2).line.value
    monkeypatch.setenv(view.RUN_VARIABLE, "1")
    with pytest.raises(ValueError, match="no heart in this gallery"):
        retrieval.retrieval_browser(none, "scar")


def test_an_executed_copy_answers_the_phrase(gallery, executed):
    shown = retrieval.retrieval_browser(gallery, "scar", 2).data
    assert shown.count("data:image/webp") == 2
    assert NOTE in shown


# --- labels -----------------------------------------------------------------------------------------------------
TEXTS = [
    "No late gadolinium enhancement. The left ventricle is dilated.",
    "There is late gadolinium enhancement of the lateral wall <x>.",
    "Normal study.",
]


def test_sentences_stand_where_the_table_says():
    table = findings.sentence_table(TEXTS)
    lge = table[table.finding == "lge"]
    assert lge[["report", "status"]].to_numpy().tolist() == [[0, "absent"], [1, "present"]]
    first = lge.iloc[0]
    assert TEXTS[0][first.start : first.end].strip(" .") == "No late gadolinium enhancement"


def test_a_click_on_a_finding_shows_its_sentences(live):
    browser = findings.LabelBrowser(TEXTS, NOTE, "lge", 8)
    assert "<mark>No late gadolinium enhancement" in browser.answer.value
    assert "lge: 2 sentences (1 absent, 1 present); synthetic phantom" in browser.head.value
    assert "&lt;x&gt;" in browser.answer.value
    browser.status.value = "present"
    assert "<mark>No late" not in browser.answer.value
    browser.finding.value = "lv_dilation"
    assert "<mark>The left ventricle is dilated" in browser.answer.value


def test_an_empty_selection_is_a_sentence(live, monkeypatch):
    browser = findings.LabelBrowser(TEXTS, NOTE, "lge", 8)
    browser.finding.value, browser.status.value = "lv_dilation", "absent"
    assert "No sentence of these 3 reports calls absent: lv dilation" in browser.line.value
    assert browser.answer.value == ""
    browser.finding.value = None
    assert "No finding is chosen" in browser.line.value
    assert "No sentence of these 0 reports" in findings.LabelBrowser([], NOTE, "lge", 8).line.value
    monkeypatch.setenv(view.RUN_VARIABLE, "1")
    with pytest.raises(ValueError, match="No sentence of these 3 reports speaks of thrombus"):
        findings.label_browser(TEXTS, NOTE, "thrombus")


def test_more_sentences_than_fit_are_counted(live):
    browser = findings.LabelBrowser(TEXTS[:1] * 5, NOTE, "lge", 2)
    assert browser.answer.value.count("<mark>") == 2
    assert "The first 2 are shown" in browser.line.value
    assert "5 sentences" in browser.head.value
