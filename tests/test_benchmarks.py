"""Benchmarks start, measure something tiny, and leave a line for the log."""

import sys

import dicom_maker as maker

from benchmarks import clip_reads, explaining, many_studies, reading


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


def test_explaining_compares_a_plain_with_a_followed_pass():
    found = explaining.measure("smoke", 1, 2)
    assert found["captured over plain"] > 0
    assert found["all three maps (ms)"] > 0
