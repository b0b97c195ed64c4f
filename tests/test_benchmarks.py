"""Benchmarks start, measure something tiny, and leave a line for the log."""

import sys

import dicom_maker as maker
import pytest

from benchmarks import clip_reads, explaining, many_studies, peers, reading, retrieval


def test_clip_reads_prints_its_line_for_the_log(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["clip_reads.py", "--studies", "2", "--reads", "20", "--rounds", "1"])
    clip_reads.main()
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("LOG.md: `python -m benchmarks.clip_reads --studies 2 --reads 20 --rounds 1`")
    assert "store over npz" in line


def test_many_studies_are_read_and_measured(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for number, ds in enumerate(maker.cine(maker.plane(), 6)):
        (source / f"{number}.dcm").write_bytes(maker.encode(ds))
    (tmp_path / "many").mkdir()
    found = many_studies.measure(many_studies.copies(source, tmp_path / "many", 3), 1, tmp_path / "kept")
    assert (found["studies"], found["read"]) == (3, 3)
    assert found["late_mib"] > 0


def test_reading_counts_images_and_compares_sides(tmp_path):
    for number, ds in enumerate(maker.cine(maker.plane(size=16), 4)):
        (tmp_path / f"{number}.dcm").write_bytes(maker.encode(ds))
    found = reading.measure_files(tmp_path, 1)
    assert found["images"] == 4
    assert "× dcmread" in reading._in_words("a study", found)


PEER = """
import numpy as np
def _ranks(sims):
    return (sims > np.diag(sims)[:, None]).sum(axis=1)
def t2v_metrics(sims):
    return {f"R{k}": 100 * np.mean(_ranks(sims) < k) for k in (1, 5, 10, 50)} | {"MedR": np.median(_ranks(sims)) + 1}
def v2t_metrics(sims):
    return t2v_metrics(sims.T)
"""


def test_retrieval_is_compared_with_the_metric_file_of_a_checkout(tmp_path, monkeypatch, capsys):
    with pytest.raises(FileNotFoundError, match=r"model/metric\.py is not in the checkout"):
        peers.module(tmp_path, "model/metric.py")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "metric.py").write_text(PEER)
    words = ["--peer", str(tmp_path), "--sizes", "60", "--cohort", "80", "--large", "200", "--queries", "40"]
    monkeypatch.setattr(sys, "argv", ["retrieval.py", *words, "--width", "8", "--rounds", "1"])
    monkeypatch.setattr(retrieval, "WANTED_S", 60 * 13_787 / 80)
    retrieval.main()
    line = capsys.readouterr().out
    assert "N = 60" in line
    assert "recalls apart by at most 0.0000" in line
    assert "40 queries in 200" in line


def test_explaining_compares_a_plain_with_a_followed_pass():
    found = explaining.measure("smoke", 1, 2)
    assert found["captured over plain"] > 0
    assert found["all three maps (ms)"] > 0
