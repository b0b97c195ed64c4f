"""Which studies learn from which reports, counted by hand in three small tables on disk."""

import numpy as np
import pandas as pd
import pytest
import toy

from cmr_lib import project
from cmr_lib.training.material import Material
from cmr_lib.types import Split

SPLITS = ["train", "train", "train", "validation", "test", "train"]


@pytest.fixture
def folder(tmp_path):
    """Six studies: the third has no report, the last no clip; studies 0 and 1 are one patient's."""
    store, texts = toy.toy_store(5)
    index = store.index.assign(slice=0, shard=0, phase_of_es=0.5, spacing_mm=2.0)
    index["offset"] = np.cumsum([0, *index["n_frames"][:-1]])
    project.write_array(tmp_path / "store" / "frames-000.npy", np.concatenate(store._clips))
    project.write_table(tmp_path / "store" / "index.parquet", index)
    keys = [*texts, "f" * 16]
    table = {"study_key": keys, "patient_key": ["a", "a", "b", "c", "d", "e"], "split": SPLITS}
    said = [True, True, False, True, True, True]
    project.write_table(tmp_path / "studies.parquet", pd.DataFrame(table | {"has_report": said}))
    reports = pd.DataFrame({"study_key": keys, "findings": "Seen.", "impression": [f"Heart {n}." for n in range(6)]})
    project.write_table(tmp_path / "reports.parquet", reports[said])
    return tmp_path, keys


def test_pairs_are_studies_with_an_image_and_a_report_of_their_split(folder):
    place, keys = folder
    read = Material.read(place, toy.toy_settings())
    assert read.keys(Split.TRAIN) == keys[:2]
    assert read.keys(Split.VALIDATION) == [keys[3]]
    assert read.everyone.study_keys == keys[:5]
    assert read.left_out == 1
    assert read.patients(keys[:3]) == ["a", "a", "b"]
    assert "**2** pairs to learn from, **1** to watch; 1 studies" in read.in_words()
    assert "> Heart 0." in read.in_words()


def test_sections_are_joined_in_the_order_asked_for(folder):
    place, keys = folder
    read = Material.read(place, toy.toy_settings(text={"sections": ["impression", "findings"]}))
    assert read.texts[keys[1]] == "Heart 1. Seen."


def test_without_a_report_to_learn_from_the_settings_are_those_of_frozen_weights(folder):
    place, _ = folder
    studies = pd.read_parquet(place / "studies.parquet").assign(has_report=False)
    project.write_table(place / "studies.parquet", studies)
    project.write_table(place / "reports.parquet", pd.read_parquet(place / "reports.parquet").iloc[:0])
    read = Material.read(place, toy.toy_settings())
    assert read.settings.mode == "frozen"
    assert "n = 0 studies have a report to learn from" in read.in_words()


def test_a_report_without_a_word_in_the_chosen_sections_is_no_pair_and_is_counted(folder):
    place, keys = folder
    reports = pd.read_parquet(place / "reports.parquet")
    reports.loc[reports["study_key"] == keys[1], "impression"] = ""
    project.write_table(place / "reports.parquet", reports)
    read = Material.read(place, toy.toy_settings(text={"sections": ["impression"]}))
    assert read.keys(Split.TRAIN) == keys[:1]
    assert "1 reports no word of impression" in read.in_words()
    both = Material.read(place, toy.toy_settings(text={"sections": ["findings", "impression"]}))
    assert both.keys(Split.TRAIN) == keys[:2]
    assert both.wordless == 0


def test_a_missing_table_names_its_maker(folder):
    place, _ = folder
    (place / "reports.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="notebook 02"):
        Material.read(place, toy.toy_settings())
