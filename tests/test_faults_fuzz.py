"""A few hundred mutants, in this process and in workers; the tool runs ten thousand."""

import json

import numpy as np
import pytest

from cmr_lib.ingest.rejects import CODES
from tools import fuzz_ingest


@pytest.fixture(scope="module")
def corpus():
    return fuzz_ingest.own_corpus()


def test_every_file_that_mutants_are_made_of_is_good(corpus):
    assert [fuzz_ingest.outcome_of(data) for data in corpus] == ["read"] * 12


def test_mutants_are_a_function_of_seed_and_number(corpus):
    one = [fuzz_ingest.mutant(corpus, 1, number) for number in range(50)]
    assert one == [fuzz_ingest.mutant(corpus, 1, number) for number in range(50)]
    assert len(set(one)) == 50
    assert one != [fuzz_ingest.mutant(corpus, 2, number) for number in range(50)]
    assert not set(one) & set(corpus)


def test_every_mutant_ends_with_a_verdict(corpus):
    found = [fuzz_ingest.outcome_of(fuzz_ingest.mutant(corpus, 11, number)) for number in range(400)]
    words = {word for outcome in found for word in outcome.split(" ")}
    assert words <= set(CODES) | {"read"}
    assert len(words) > 10


def test_the_tool_counts_every_mutant_and_says_that_nothing_broke(tmp_path, capsys):
    assert fuzz_ingest.main(["--n", "230", "--seed", "5", "--json", str(tmp_path / "out.json")]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert json.loads(capsys.readouterr().out) == result
    assert sum(result["outcomes"].values()) == result["n"] == 230
    assert result["different"] > 220
    assert result["crashes"] == result["hangs"] == result["errors"] == result["lost"] == 0


def test_the_tool_would_say_if_something_broke(corpus, monkeypatch):
    monkeypatch.setattr(fuzz_ingest, "parse_all", lambda data: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fuzz_ingest.outcome_of(corpus[0])
    monkeypatch.setattr(fuzz_ingest, "parse_all", lambda data: np.zeros(1)[3])
    assert fuzz_ingest.outcome_of(corpus[0]) == "error IndexError"
