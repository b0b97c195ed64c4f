"""A profile runs in a copy of the working files, and leaves the root as it was."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from tools import own_data, workspace

PIPELINE = """
vars:
  - profile.yaml
stages:
  make:
    cmd: mkdir -p outputs/${profile}/make && cat source.txt > outputs/${profile}/make/result.txt
    deps: [source.txt]
    params: [profile.yaml: [input]]
    outs:
      - outputs/${profile}/make/result.txt
"""
LOCAL = "preprocess:\n  cohort:\n    studies: {studies}\n  identity:\n    key_file: {key}\n"


@pytest.fixture
def root(tmp_path):
    """A clone with an uncommitted file, a tracked file, and things that must stay behind."""
    folder = tmp_path / "clone"
    files = {
        "dvc.yaml": PIPELINE, "dvc.lock": "the demo's", "profile.yaml": "profile: demo\ninput: none\n",
        "source.txt": "one\n", ".dvcignore": ".ws/\n", "cmr_lib/new.py": "x = 1\n",
        ".gitignore": "/.ws/\n/outputs/*\n!/outputs/demo/\n*.log\n",
        "outputs/demo/make/result.txt": "the demo's", "data/demo/x": "the demo's", "noise.log": "ignored",
        ".dvc/config": "[core]\n    analytics = false\n", ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    }  # fmt: skip
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def contents(copy: Path) -> set[str]:
    paths = (path.relative_to(copy) for path in copy.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if path.parts[0] not in (".dvc", "outputs")}


def test_copy_holds_working_files_and_its_own_profile(root):
    copy = workspace.refresh(root, "smoke")
    assert copy == root / ".ws" / "smoke"
    assert contents(copy) == {"dvc.yaml", "profile.yaml", "source.txt", "cmr_lib/new.py", ".gitignore", ".dvcignore"}
    assert (copy / "profile.yaml").read_text() == "profile: smoke\ninput: none\n"
    assert (root / "profile.yaml").read_text() == "profile: demo\ninput: none\n"
    local = (copy / ".dvc" / "config.local").read_text()
    assert "no_scm = true" in local
    assert f"dir = {root}/.dvc/cache" in local


def test_refresh_follows_edits_and_removals_and_keeps_results(root):
    copy = workspace.refresh(root, "smoke")
    for name in ("data/smoke/x", "outputs/smoke/make/result.txt", "dvc.lock", ".dvc/tmp/x"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("the copy's")
    unchanged = (copy / "dvc.yaml").stat()
    (root / "cmr_lib" / "new.py").unlink()
    (root / "source.txt").write_text("two\n")
    workspace.refresh(root, "smoke")
    assert (copy / "source.txt").read_text() == "two\n"
    assert not (copy / "cmr_lib").exists()
    for name in ("data/smoke/x", "outputs/smoke/make/result.txt", "dvc.lock", ".dvc/tmp/x"):
        assert (copy / name).read_text() == "the copy's"
    assert (copy / "dvc.yaml").stat().st_ino == unchanged.st_ino, "untouched files stay, for DVC's table of hashes"


def test_results_are_linked_in_the_root_and_unseen_by_git(root):
    workspace.refresh(root, "smoke")
    link = root / "outputs" / "smoke"
    assert str(link.readlink()) == "../.ws/smoke/outputs/smoke"
    workspace.refresh(root, "smoke")  # a second time over its own link
    seen = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True).stdout
    assert "smoke" not in seen
    workspace.refresh(root, "smoke", name="trial")
    assert str(link.readlink()) == "../.ws/smoke/outputs/smoke", "a named copy leaves the link alone"


def test_folder_in_the_links_place_is_not_overwritten(root):
    (root / "outputs" / "smoke").mkdir()
    (root / "outputs" / "smoke" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="outputs/smoke is a folder of its own"):
        workspace.refresh(root, "smoke")
    assert (root / "outputs" / "smoke" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("profile", ["demo", "smokey"])
def test_demo_and_unknown_profiles_have_no_copy(root, profile):
    with pytest.raises(ValueError, match="smoke, paper, clinic"):
        workspace.refresh(root, profile)
    assert not (root / ".ws").exists()


@pytest.fixture
def clinic(root, tmp_path):
    """The root with a clinic's folder, key and local.yaml."""
    studies, key = tmp_path / "Müller^Anna", tmp_path / "key"
    (studies / "a").mkdir(parents=True)
    (studies / "a" / "im1").write_text("image")
    key.write_text("0" * 64)
    key.chmod(0o600)
    local = root / own_data.local_file("clinic")
    local.parent.mkdir(parents=True)
    local.write_text(LOCAL.format(studies=studies, key=key))
    (local.parent / "preprocess.yaml").write_text("source: dicom\n")
    with (root / ".gitignore").open("a") as file:
        file.write("/params/*/local.yaml\n")
    return root, studies, key


def test_clinics_copy_shares_no_cache_and_tells_dvc_no_name(clinic):
    root, studies, _ = clinic
    copy = workspace.refresh(root, "clinic")
    local = (copy / ".dvc" / "config.local").read_text()
    assert str(root / ".dvc" / "cache") not in local
    assert f"site_cache_dir = {copy}/.dvc/site" in local
    assert copy.stat().st_mode & 0o077 == 0
    assert (copy / own_data.local_file("clinic")).is_file()
    assert studies.name not in (copy / "profile.yaml").read_text()


def test_clinics_site_cache_wins_over_the_users_variable(clinic, monkeypatch):
    root, _, _ = clinic
    copies = [workspace.refresh(root, profile) for profile in ("clinic", "smoke")]
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", "elsewhere")
    given = []
    done = SimpleNamespace(returncode=0)
    monkeypatch.setattr(workspace.subprocess, "run", lambda *_, env, **__: given.append(env) or done)
    assert [workspace.reproduce(copy) for copy in copies] == [0, 0]
    assert ["DVC_SITE_CACHE_DIR" in env for env in given] == [False, True]


def test_clinics_fingerprint_changes_with_files_and_key_only(clinic):
    root, studies, key = clinic
    first = own_data.fingerprint(root, "clinic")
    assert first == own_data.fingerprint(root, "clinic")
    (studies / "a" / "im2").write_text("image")
    second = own_data.fingerprint(root, "clinic")
    key.write_text("1" * 64)
    assert len({first, second, own_data.fingerprint(root, "clinic")}) == 3
    assert len(first) == 16


def said_by(root, profile, capsys, monkeypatch):
    """What the command prints where it cannot begin; nothing was copied."""
    monkeypatch.setattr(workspace.project, "find_root", lambda *_: root)
    assert workspace.main([profile]) == 2
    assert not (root / ".ws").exists()
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_clinic_without_its_file_is_a_sentence(clinic, capsys, monkeypatch):
    root = clinic[0]
    (root / "params/clinic/local.yaml").unlink()
    said = said_by(root, "clinic", capsys, monkeypatch)
    assert "params/clinic/local.yaml not found" in said
    assert "Copy params/clinic/local.example.yaml there" in said


@pytest.mark.parametrize(
    ("studies", "key", "sentence"),
    [
        ("null", "{key}", "cohort.studies is empty"),
        ("studies", "{key}", "cohort.studies is a relative path"),
        ("{studies}/gone", "{key}", "cohort.studies: nothing is there"),
        ("{root}/cmr_lib", "{key}", "cohort.studies lies inside the repository"),
        ("{studies}", "null", "identity.key_file is empty"),
        ("{studies}", "{root}/key", "lies in the repository"),
    ],
)
def test_what_local_yaml_lacks_is_a_sentence_without_a_path(clinic, capsys, monkeypatch, studies, key, sentence):
    root, folder, file = clinic
    names = {"root": root, "studies": folder, "key": file}
    (root / "key").write_text("0" * 64)
    text = LOCAL.format(studies=studies.format(**names), key=key.format(**names))
    (root / "params/clinic/local.yaml").write_text(text)
    said = said_by(root, "clinic", capsys, monkeypatch)
    assert sentence in said
    assert str(folder) not in said


def test_a_clinics_missing_key_is_made_for_its_owner_alone_and_said(clinic, capsys):
    root, _, key = clinic
    key.unlink()
    first = own_data.fingerprint(root, "clinic")
    assert key.stat().st_mode & 0o777 == 0o600
    assert "Making a naming key" in capsys.readouterr().err
    assert own_data.fingerprint(root, "clinic") == first


def test_a_pipeline_on_own_data_has_no_hospital_and_follows_the_fingerprint():
    plan = YAML(typ="safe", pure=True)
    root = Path(__file__).resolve().parents[1]
    before = plan.load((root / "dvc.yaml").read_text())["stages"]
    text = own_data.without_hospital((root / "dvc.yaml").read_text())
    after = plan.load(text)["stages"]
    assert list(after) == [name for name in before if name != "simulate"]
    assert "data/${profile}/" not in text.replace("-s data_dir=data/${profile}", "")
    for name, stage in after.items():
        assert {"profile.yaml": ["input"]} in stage["params"]
        assert [after[name][key] for key in ("cmd", "outs", "metrics")] == [
            before[name][key] for key in ("cmd", "outs", "metrics")
        ]
        assert set(stage["deps"]) <= set(before[name]["deps"])


def test_a_public_set_named_in_the_parameters_needs_no_hospital_and_shares_the_cache(root, tmp_path):
    (tmp_path / "acdc").mkdir()
    place = root / "params" / "smoke" / "preprocess.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(f"source: acdc\ncohort: {{studies: {tmp_path / 'acdc'}}}\n")
    copy = workspace.refresh(root, "smoke")
    assert (copy / "profile.yaml").read_text().startswith("profile: smoke\ninput: ")
    assert "input: none" not in (copy / "profile.yaml").read_text()
    assert f"dir = {root}/.dvc/cache" in (copy / ".dvc" / "config.local").read_text()


@pytest.mark.pipeline
def test_reproducing_a_profile_leaves_the_root_untouched(root, monkeypatch):
    monkeypatch.setattr(workspace.project, "find_root", lambda _: root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and ".git/" not in str(path)}
    assert workspace.main(["smoke"]) == 0
    assert (root / "outputs" / "smoke" / "make" / "result.txt").read_text() == "one\n"
    assert all(path.read_bytes() == data for path, data in before.items())
    assert list((root / ".dvc" / "cache" / "files" / "md5").glob("*/*")), "the cache is the root's"
    lock = root / ".ws" / "smoke" / "dvc.lock"
    written = lock.stat().st_mtime_ns
    assert workspace.main(["smoke", "make"]) == 0
    assert lock.stat().st_mtime_ns == written, "a second run has nothing to do"
