"""The map for the mouse: one file, no outside script, the same bytes twice, and no word of a real report."""

import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from cmr_lib.explain import cards
from cmr_lib.figures import interactive

RNG = np.random.default_rng(0)
TITLES = {"diagnosis": "diagnosis", "vendor": "vendor"}


class Store:
    """Two studies with one clip each."""

    def middle_cine(self, study_key):
        return int(study_key)

    def frames(self, row):
        return np.full((2, 20, 20), 40 * row, np.uint8)


@pytest.fixture
def points():
    return pd.DataFrame(
        {"study_key": ["1", "2", "1"], "kind": ["image", "image", "report"], "x": [0.0, 1, 2], "y": [2.0, 1, 0],
         "diagnosis": ["NOR", "", "NOR"], "vendor": ["GE", "SIEMENS", "GE"], "split": "test",
         "lvef": [61.0, np.nan, 61],
         "said_lge": ["present", "absent", "present"], "said_effusion": ["present", "not said", "present"]}
    )  # fmt: skip


TEXTS = pd.DataFrame({"study_key": ["1"], "impression": ["Normal <b>study</b> & no scar."]})


def page(points, texts=TEXTS):
    table = cards.describe(points, Store(), texts, interactive.thumbnail)
    return interactive.page(table, TITLES, "A map", "synthetic phantom")


class Sources(HTMLParser):
    """Every address that a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_page_fetches_nothing_and_says_what_it_is(points):
    text = page(points)
    parser = Sources()
    parser.feed(text)
    assert not [address for address in parser.found if not address.startswith("data:")]
    assert "synthetic phantom" in text
    assert len(text) < 8_000_000


def test_the_same_map_is_the_same_bytes(points):
    first, second = page(points), page(points)
    assert first == second
    ids = re.findall(r'"p\d{4,}"', first)
    assert '"p1000"' in ids


def data_of(text):
    """The document that the page draws."""
    found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    return json.loads(html.unescape(found[1]))


def test_a_phantoms_card_has_its_words_escaped(points):
    drawn = json.dumps(data_of(page(points)))
    assert "Normal &lt;b&gt;study&lt;/b&gt; &amp; no scar." in drawn
    assert "<b>study" not in drawn


def test_a_real_studys_card_has_findings_and_no_word_of_its_report(points):
    drawn = json.dumps(data_of(page(points, None)))
    assert "findings said: lge, effusion" in drawn
    assert "Normal" not in drawn
    assert "scar" not in drawn


def test_lvef_is_told_in_bands():
    assert interactive.bands(pd.Series([20.0, 50, 60, np.nan])).tolist() == [
        "LVEF < 40", "LVEF 40 to 55", "LVEF > 55", "not said",
    ]  # fmt: skip


def test_no_points_are_said_in_a_sentence(points):
    with pytest.raises(ValueError, match="no study"):
        page(points.iloc[:0])
    assert "n = 0" in interactive.nothing("a clinic")
