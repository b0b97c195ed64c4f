"""Presidio as a helper of the scrubber: through a stand-in of its interface, and the real one where it is installed."""

import re
import socket
import sys
import types
from collections import namedtuple

import pytest

from cmr_lib.reports import recogniser
from cmr_lib.reports.identifiers import Identifiers
from cmr_lib.reports.scrub import scrub

Found = namedtuple("Found", "start end entity_type")
CLINICAL = "LVEF 38.5 %, EDV 212 mL, no left thrombus."


@pytest.fixture(autouse=True)
def forgotten():
    recogniser.analyzer.cache_clear()
    yield
    recogniser.analyzer.cache_clear()


@pytest.fixture
def model(tmp_path):
    """A folder that looks like a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.cfg").write_text("[nlp]")
    return folder


def stand_in(monkeypatch, words, broken=None):
    """A presidio_analyzer of the same interface that finds `words` {word: entity}; returns what it was given."""
    given = {}

    class Engine:
        def __init__(self, registry, nlp_engine, supported_languages):
            given.update(registry=registry, engine=nlp_engine, languages=supported_languages)

        def analyze(self, text, language, entities):
            given.update(entities=entities, language=language)
            return [
                Found(*match.span(), kind)
                for word, kind in words.items()
                if kind in entities
                for match in re.finditer(re.escape(word), text)
            ]

    class Provider:
        def __init__(self, nlp_configuration):
            self.configuration = nlp_configuration

        def create_engine(self):
            if broken:
                raise broken
            return self.configuration

    modules = {
        "presidio_analyzer": {"AnalyzerEngine": Engine, "RecognizerRegistry": lambda recognizers: recognizers},
        "presidio_analyzer.nlp_engine": {"NlpEngineProvider": Provider},
        "presidio_analyzer.predefined_recognizers": {"SpacyRecognizer": lambda: "spaCy alone"},
    }
    for name, members in modules.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return given


def test_names_and_places_that_only_the_model_knows_are_removed(model, monkeypatch):
    given = stand_in(monkeypatch, {"anna rossi": "PERSON", "turin": "LOCATION", "212": "DATE_TIME"})
    text = f"told anna rossi in turin. {CLINICAL}"
    assert scrub(text, Identifiers(), 0).text == text
    assert scrub(text, Identifiers(), 0, model=model).text == f"told [NAME] in [PLACE]. {CLINICAL}"
    assert given["registry"] == ["spaCy alone"]  # no recogniser that asks the network
    assert given["engine"]["models"] == [{"lang_code": "en", "model_name": str(model)}]
    assert (given["languages"], given["language"], given["entities"]) == (["en"], "en", ["PERSON", "LOCATION"])


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ("EDV 212", CLINICAL), ("LVEF", CLINICAL), ("no left thrombus", CLINICAL), ("38.5 %", CLINICAL),
        ("Anna Rossi LVEF 38.5", f"[NAME] {CLINICAL}"), ("Rossi LVEF 38.5 %, EDV", f"Anna [NAME] {CLINICAL}"),
        (CLINICAL, CLINICAL),
    ],
)  # fmt: skip
def test_numbers_and_words_of_the_trade_stay_whatever_the_model_takes_them_for(taken, left, model, monkeypatch):
    stand_in(monkeypatch, {taken: "PERSON"})
    text = f"Anna Rossi {CLINICAL}" if "Rossi" in taken else CLINICAL
    assert scrub(text, Identifiers(), 0, model=model).text == left


def test_a_name_behind_a_word_of_the_trade_is_still_removed(model, monkeypatch):
    stand_in(monkeypatch, {"LVEF by Okafor": "PERSON"})
    assert "Okafor" not in scrub("LVEF by Okafor was 40 %", Identifiers(), 0, model=model).text


def test_without_library_or_model_a_sentence_says_so_and_holds_no_path(model, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="No spaCy model") as caught:
        recogniser.analyzer(str(tmp_path / "Zormek"))
    assert "Zormek" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(RuntimeError, match="install presidio-analyzer"):
        scrub("text", Identifiers(), 0, model=model)


def test_a_model_that_cannot_be_loaded_ends_in_a_sentence_without_its_folder(model, monkeypatch):
    stand_in(monkeypatch, {}, broken=OSError(f"[E053] Could not read config from {model}"))
    with pytest.raises(ValueError, match=r"identity\.text_model.*OSError") as caught:
        recogniser.analyzer(str(model))
    assert str(model) not in str(caught.value)


# --- the real one -----------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore")
def test_the_real_presidio_finds_what_a_small_model_knows_without_a_network(tmp_path, monkeypatch):
    pytest.importorskip("presidio_analyzer", reason="Presidio is optional and not in the locked environment")
    spacy = pytest.importorskip("spacy")
    small = spacy.blank("en")
    patterns = {"PERSON": ["anna rossi", "EDV 212"], "GPE": ["turin"]}
    rules = [{"label": label, "pattern": words} for label, found in patterns.items() for words in found]
    small.add_pipe("entity_ruler").add_patterns(rules)
    small.to_disk(tmp_path / "model")

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    text = f"told anna rossi in turin. {CLINICAL}"
    found = scrub(text, Identifiers(), 0, model=tmp_path / "model")
    assert found.text == f"told [NAME] in [PLACE]. {CLINICAL}"
    (tmp_path / "model" / "meta.json").write_text("{")
    recogniser.analyzer.cache_clear()
    with pytest.raises(ValueError, match="cannot be loaded"):
        recogniser.analyzer(str(tmp_path / "model"))
