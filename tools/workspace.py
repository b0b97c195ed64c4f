"""Run a profile other than the demo in a copy of the working files, so that dvc.yaml and dvc.lock stay the demo's.

    python -m tools.workspace smoke                 # .ws/smoke, results linked at outputs/smoke
    python -m tools.workspace smoke preprocess      # up to one stage
    python -m tools.workspace smoke --name trial    # a second copy, not linked
    python -m tools.workspace clinic                # your own studies, named in params/clinic/local.yaml

The copy holds what git tracks or would track (not HEAD: your edits count). Refreshing it removes files that left the
repository and keeps its data, outputs and dvc.lock, so that only what changed runs again. All copies share the cache
with the root, except a clinic's, whose cache stays inside the copy. A profile whose studies are not simulated runs
without the stage simulate (`tools.own_data`).
"""

import argparse
import configparser
import filecmp
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from cmr_lib import params, project
from tools import own_data
from tools.hygiene import working_files
from tools.verify import cache_folder

KEPT = ("data", "outputs", ".dvc", "dvc.lock")  # what the copy makes itself
LEFT_OUT = (".ws", ".venv", "outputs", "data", "dvc.lock")  # what the copy does not take from the root


def sources(root: Path, profile: str) -> list[Path]:
    """Files to copy, relative to the root."""
    files = [file for file in working_files(root) if file.parts[0] not in LEFT_OUT]
    local = own_data.local_file(profile)
    return [*files, local] if (root / local).is_file() and local not in files else files


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.unlink(missing_ok=True)
        target.symlink_to(source.readlink())
    elif not target.is_file() or target.is_symlink() or not filecmp.cmp(source, target):
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copy2(source, temporary)
        temporary.replace(target)


def _remove_stale(copy: Path, wanted: Iterable[Path]) -> None:
    """Remove files of the copy that the repository no longer has, then folders left empty."""
    keep = {copy / file for file in wanted}
    for folder, _, names in os.walk(copy, topdown=False):
        relative = Path(folder).relative_to(copy)
        if relative.parts[:1] and relative.parts[0] in KEPT:
            continue
        for name in names:
            path = Path(folder, name)
            if path not in keep and path.relative_to(copy).parts[0] not in KEPT:
                path.unlink()
        if relative.parts and not any(Path(folder).iterdir()):
            Path(folder).rmdir()


def _configure(root: Path, copy: Path, profile: str, content: str, *, restricted: bool) -> None:
    """The copy's own settings: its profile, no git underneath, the root's cache unless it holds patients."""
    project.write_text(copy / "profile.yaml", f"profile: {profile}\ninput: {content}\n")
    local = configparser.ConfigParser()
    local["core"] = {"no_scm": "true", "analytics": "false", "check_update": "false"}
    local["cache"] = {"type": "hardlink,reflink,copy"}
    if restricted:
        local["core"]["site_cache_dir"] = str(copy / ".dvc" / "site")  # DVC would keep file names in /var/tmp
    else:
        local["cache"]["dir"] = str(cache_folder(root).resolve())
    text = io.StringIO()
    local.write(text)
    project.write_text(copy / ".dvc" / "config.local", text.getvalue())
    for name in ("tmp", "cache"):
        (copy / ".dvc" / name).mkdir(exist_ok=True)


def _link_outputs(root: Path, copy: Path, profile: str) -> None:
    """outputs/<profile> in the root shows the copy's results."""
    target, link = copy / "outputs" / profile, root / "outputs" / profile
    target.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(exist_ok=True)
    if link.is_symlink():
        link.unlink()
    if link.exists():
        raise FileExistsError(f"outputs/{profile} is a folder of its own; move it away, it becomes a link.")
    link.symlink_to(os.path.relpath(target, link.parent))


def refresh(root: Path, profile: str, name: str | None = None) -> Path:
    """Make or refresh .ws/<name>; returns the copy's folder.

    Raises ValueError for the demo or an unknown profile, and as `own_data.fingerprint` for data of one's own.
    """
    if profile == "demo" or profile not in params.PROFILES:
        others = ", ".join(p for p in params.PROFILES if p != "demo")
        raise ValueError(
            f"Profile {profile!r} has no copy: the demo runs in the root (`make repro`); others: {others}."
        )
    values = own_data.settings(root, profile)
    simulated, restricted = own_data.is_simulated(values), own_data.is_restricted(values)
    content = "none" if simulated else own_data.fingerprint(root, profile)
    copy = root / ".ws" / (name or profile)
    copy.mkdir(parents=True, exist_ok=True)
    if restricted:
        copy.chmod(0o700)
    files = sources(root, profile)
    for file in files:
        _copy_file(root / file, copy / file)
    if not simulated:
        pipeline = (root / "dvc.yaml").read_text(encoding="utf-8")
        project.write_text(copy / "dvc.yaml", own_data.without_hospital(pipeline))
    _configure(root, copy, profile, content, restricted=restricted)
    _remove_stale(copy, [*files, Path("profile.yaml")])
    if name is None:
        _link_outputs(root, copy, profile)
    return copy


def reproduce(copy: Path, options: Sequence[str] = ()) -> int:
    """`dvc repro` in the copy, with this interpreter's programs first on PATH; its exit code."""
    programs = str(Path(sys.executable).parent)
    environment = os.environ | {
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        "DVC_NO_ANALYTICS": "1",
    }
    local = copy / ".dvc" / "config.local"
    if local.is_file() and "site_cache_dir" in local.read_text(encoding="utf-8"):
        environment.pop("DVC_SITE_CACHE_DIR", None)  # it would win over the clinic's own site cache
    command = [sys.executable, "-m", "dvc", "repro", *options]
    return subprocess.run(command, cwd=copy, env=environment, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; the exit code of `dvc repro`, or 2 for a wrong profile."""
    parser = argparse.ArgumentParser(prog="python -m tools.workspace", description=__doc__.partition("\n")[0])
    parser.add_argument("profile", help=", ".join(p for p in params.PROFILES if p != "demo"))
    parser.add_argument("targets", nargs="*", help="stages to reproduce; all of them when none is named")
    parser.add_argument("--name", help="name of the copy under .ws/ (default: the profile)")
    parser.add_argument("--force", action="store_true", help="run stages even when nothing changed")
    parser.add_argument("--no-run", action="store_true", help="only refresh the copy")
    args = parser.parse_args(arguments)
    root = project.find_root(Path(__file__).parent)
    try:
        copy = refresh(root, args.profile, args.name)
    except (ValueError, FileExistsError, FileNotFoundError, PermissionError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{args.profile}: running in {copy.relative_to(root)}, results in outputs/{args.profile}", file=sys.stderr)
    return 0 if args.no_run else reproduce(copy, [*args.targets, *(["--force"] if args.force else [])])


if __name__ == "__main__":
    sys.exit(main())
