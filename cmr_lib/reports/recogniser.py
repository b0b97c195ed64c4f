"""Names and places that Microsoft Presidio finds with a spaCy model on disk. Optional, and never asks the network.

Presidio is not part of the locked environment and brings no model. By default it would fetch one, and lists of
top-level domains; here it gets the folder of a model and one recogniser, the model's own.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from cmr_lib.reports.words import is_known

# Words that are no name and without which a sentence would say another thing; `words.is_known` holds the longer ones.
_KEPT_TEXT = """
no not non nor neither none never without absent negative denies deny cannot unlikely left right both bilateral
the a an of in at on by to for from with and or is was are were be been there this that than above below
lv rv la ra ao lvef rvef ef edv esv edvi esvi lvedv lvesv rvedv rvesv lvedvi lvesvi rvedvi rvesvi sv svi lvm lvmi rvm
ivs ecv lge psir bssfp ssfp cine molli sax lax lvot rvot mapse tapse hr bsa bpm tr te fps ci co aha lad lcx rca cmr
mri mr mrn ct ecg echo ml ms mm cm kg g mmol mmol/kg ml/m t1 t2 hcm dcm arvc icm nicm myo amy mi cad rwma lvh rvh svt af
"""
_KEPT = frozenset(_KEPT_TEXT.split())
KINDS = {"PERSON": "NAME", "LOCATION": "PLACE"}  # Presidio's entities and what stands in a scrubbed report


def _engine(model: str) -> Any:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngineProvider
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    models = [{"lang_code": "en", "model_name": model}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    registry = RecognizerRegistry(recognizers=[SpacyRecognizer()])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])


@lru_cache(maxsize=2)
def analyzer(model: str) -> Any:
    """Presidio with the spaCy model in a folder: seconds to make, so it is made once.

    Raises FileNotFoundError where the folder holds no model, ValueError for one that cannot be loaded (another spaCy's,
    or without names), RuntimeError without the library. No message holds the folder.
    """
    if not (Path(model) / "config.cfg").is_file():
        raise FileNotFoundError(
            "No spaCy model in the folder given for Presidio (identity.text_model); wanted: an unpacked model, the "
            "folder with config.cfg, e.g. of en_core_web_lg."
        )
    try:
        return _engine(model)
    except ImportError:
        why = "Presidio is not part of the locked environment: install presidio-analyzer beside, or give no model."
    except Exception as error:  # noqa: BLE001 (spaCy raises a dozen types, and messages hold the folder)
        kind = type(error).__name__
        raise ValueError(
            f"The spaCy model for Presidio (identity.text_model) cannot be loaded ({kind}): another spaCy's?"
        ) from None
    raise RuntimeError(why)


# --- what is left of its findings -------------------------------------------------------------------------------
def _is_said_of_hearts(token: str) -> bool:
    """Whether a word may carry the meaning of a report: a number, a denial, a side, a word or abbreviation of ours."""
    word = token.lower().strip(".,:;()[]%/+-")
    return not word or any(sign.isdigit() for sign in word) or word in _KEPT or is_known(word)


def _names_in(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The runs of words of a span that no report needs: models take "EDV 212" or "no left thrombus" for somebody."""
    run: list[re.Match[str]] = []
    for token in [*re.finditer(r"[^\s,]+", text[start:end]), None]:
        if token is not None and not _is_said_of_hearts(token[0]):
            run.append(token)
        elif run:
            last = run[-1].start() + len(run[-1][0].rstrip(".,:;"))
            yield start + run[0].start(), start + last
            run = []


def spans(text: str, model: Path | str) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, kind, what to write) of persons and places, as far as no meaning is lost. Raises as `analyzer`."""
    for found in analyzer(str(model)).analyze(text=text, language="en", entities=list(KINDS)):
        kind = KINDS[found.entity_type]
        yield from ((start, end, kind, f"[{kind}]") for start, end in _names_in(text, found.start, found.end))
