"""`make verify` finds what DVC does not look at."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cmr_lib import project
from tools import verify

PIPELINE = """
stages:
  make:
    cmd: mkdir -p outputs/demo/make/many && echo one > outputs/demo/make/one.txt && for i in a b c; do
      echo $i > outputs/demo/make/many/$i.txt; done && echo '{"share":0.5,"n":10}' > outputs/demo/make/metrics.json
    outs:
      - outputs/demo/make/one.txt
      - outputs/demo/make/many
      - outputs/demo/make/metrics.json: {cache: false}
"""


def dvc(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / ".dvc" / "site")}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A clone after `dvc repro`, committed."""
    folder = tmp_path_factory.mktemp("clone")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=folder, check=True)
    dvc(folder, "init", "-q")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / ".dvcignore").write_text("run.json\n")
    dvc(folder, "repro", "-q")
    (folder / "outputs/demo/make/many/run.json").write_text("{}")
    subprocess.run([*git, "add", "-A"], cwd=folder, check=True)
    subprocess.run([*git, "commit", "-qm", "made"], cwd=folder, check=True)
    return folder


@pytest.fixture
def clone(made, tmp_path):
    subprocess.run(["cp", "-a", f"{made}/.", tmp_path], check=True)
    return tmp_path


def flip(path: Path) -> None:
    """Change one bit in place, as a failing disk would: mode and time stay."""
    facts = path.stat()
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(facts.st_mode)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.pipeline
def test_untouched_clone_is_right(clone, capsys):
    assert verify.main(["--root", str(clone)]) == 0
    # three outputs, one metrics file, six cache objects (one.txt, many.dir and its three; metrics.json is git's)
    assert capsys.readouterr().out.splitlines()[0] == "9 checked, 0 wrong"


@pytest.mark.pipeline
def test_flipped_byte_in_the_read_only_cache_is_found_though_dvc_sees_nothing(clone, capsys):
    digest = hashlib.md5(b"b\n").hexdigest()
    victim = clone / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    flip(victim)
    assert "up to date" in dvc(clone, "status")
    assert verify.main(["--root", str(clone)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"cache object {digest}: its bytes differ")
    assert "9 checked, 1 wrong" in said


@pytest.mark.pipeline
def test_changed_missing_and_added_outputs_are_named(clone, capsys):
    folder = clone / "outputs/demo/make"
    (folder / "many" / "b.txt").unlink()
    (folder / "many" / "d.txt").write_text("new")
    (folder / "one.txt").unlink()
    (folder / "one.txt").write_text("two\n")
    (folder / "metrics.json").unlink()
    assert verify.main(["--root", str(clone)]) == 1
    said = capsys.readouterr().out
    assert "outputs/demo/make/many: b.txt, d.txt differ." in said
    assert "outputs/demo/make/one.txt: differs from what dvc.lock recorded." in said
    assert "outputs/demo/make/metrics.json: is missing." in said


@pytest.mark.pipeline
def test_output_that_was_never_pulled_is_absent_and_not_wrong(clone, capsys):
    (clone / "outputs/demo/make/one.txt").unlink()
    assert verify.main(["--root", str(clone)]) == 0
    assert "outputs/demo/make/one.txt: not here" in capsys.readouterr().out


def test_nothing_to_check_is_not_a_success(tmp_path, capsys):
    assert verify.main(["--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("0 checked, 0 wrong\n")


def test_weights_are_compared_with_their_list(tmp_path):
    folder = tmp_path / "weights" / "demo"
    project.write_bytes(folder / "model.safetensors", b"weights")
    project.write_manifest(folder)
    tally = verify.Tally()
    verify.check_weights(tmp_path, tally)
    assert (tally.checked, tally.wrong) == (1, [])
    flip(folder / "model.safetensors")
    (folder / "extra.bin").write_bytes(b"x")
    tally = verify.Tally()
    verify.check_weights(tmp_path, tally)
    assert tally.wrong == [
        "weights/demo/model.safetensors: is missing, or differs from SHA256SUMS.",
        "weights/demo/extra.bin: is not named in SHA256SUMS.",
    ]


@pytest.mark.parametrize(
    ("now", "committed", "differences"),
    [
        ({"recall": {"value": 0.52, "n": 300}}, {"recall": {"value": 0.50, "n": 300}}, []),
        ({"recall": {"value": 0.54, "n": 300}}, {"recall": {"value": 0.50, "n": 300}},
         ["recall.value is 0.54, committed 0.5"]),
        ({"n": 301}, {"n": 300}, ["n is 301, committed 300"]),
        ({"lvedv": 204.0}, {"lvedv": 200.0}, []),
        ({"a": 1, "new": 2}, {"a": 1, "old": 3}, ["new is new", "old is gone"]),
        ({"a": 0.5}, {"a": None}, ["a is 0.5, committed None"]),
        ({"a": 1}, {"a": 1.0}, []),
    ],
)  # fmt: skip
def test_counts_are_compared_exactly_and_estimates_within_the_tolerance(now, committed, differences):
    assert list(verify.metric_differences(now, committed)) == differences


def test_folder_digest_is_dvcs(tmp_path):
    """The oracle is DVC's own documented form: the MD5 of [{"md5": …, "relpath": …}, …]."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("b")
    (tmp_path / "a").write_text("a")
    text = '[{"md5": "0cc175b9c0f1b6a831c399e269772661", "relpath": "a"}, '
    text += '{"md5": "92eb5ffee6ae2fec3ad71c777531578f", "relpath": "sub/b"}]'
    listing = verify.folder_listing(tmp_path, [])
    assert verify.folder_digest(listing) == hashlib.md5(text.encode()).hexdigest() + ".dir"
    assert json.loads(text)[1]["relpath"] in listing
