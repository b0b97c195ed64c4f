"""Is every byte still what the pipeline recorded? `python -m tools.verify`, or `make verify`.

DVC trusts read-only cache objects: after a flipped byte `dvc status` still says "up to date" and `dvc checkout`
restores the bad bytes. So everything is hashed again here, by other code than DVC's:

- outputs named in dvc.lock, file by file, in the working tree;
- cache objects, whose path is their hash;
- weights against their SHA256SUMS;
- metrics against the committed ones: counts exactly, other numbers within TOLERANCE, since another processor or
  library version may move a few studies across a decision.
"""

import argparse
import configparser
import fnmatch
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmr_lib import project
from cmr_lib.evaluation import held_out

# A number may differ by this much from the committed one, or by this share of it, whichever is larger. 0.03 is about
# one standard error of a share near one half on the demo's test split (some 300 studies).
TOLERANCE = 0.03
RELATIVE_TOLERANCE = 0.05
_OBJECT = re.compile(r"^[0-9a-f]{2}/[0-9a-f]{30}(\.dir)?$")


@dataclass
class Tally:
    """What was looked at: number of things checked, sentences on wrong ones, names of absent ones."""

    checked: int = 0
    wrong: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def judge(self, fault: str | None) -> None:
        """Count one check; a fault is its sentence."""
        self.checked += 1
        if fault:
            self.wrong.append(fault)


def md5_file(path: Path) -> str:
    """MD5 of a file's bytes, the name DVC gives them."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _progress(items: Sequence[Any], what: str) -> Any:
    from tqdm import tqdm

    return tqdm(items, desc=what, disable=None, leave=False)  # silent where there is no terminal


# --- outputs ----------------------------------------------------------------------------------------------------
def ignored_patterns(root: Path) -> list[str]:
    """The patterns of .dvcignore that name files or folders anywhere."""
    file = root / ".dvcignore"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [line.strip().strip("/") for line in lines if line.strip() and not line.startswith("#")]


def folder_listing(folder: Path, patterns: Sequence[str]) -> dict[str, str]:
    """MD5 of every file below a folder, by relative path, without what .dvcignore names."""
    found = {}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        parts = path.relative_to(folder).parts
        if not any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in patterns):
            found["/".join(parts)] = md5_file(path)
    return found


def folder_digest(listing: Mapping[str, str]) -> str:
    """DVC's name for a folder: the MD5 of its JSON listing, sorted by path, and `.dir`."""
    entries = [{"md5": digest, "relpath": name} for name, digest in sorted(listing.items())]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _folder_difference(listing: Mapping[str, str], recorded: Path) -> str:
    """Which files differ from the folder's listing in the cache, where that is at hand."""
    if not recorded.is_file():
        return "its content differs"
    wanted = {entry["relpath"]: entry["md5"] for entry in json.loads(recorded.read_bytes())}
    names = sorted(name for name in wanted.keys() | listing.keys() if wanted.get(name) != listing.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} differ"


def recorded_outputs(root: Path) -> list[tuple[str, str]]:
    """(path, md5) of every output in dvc.lock."""
    stages = project_lock(root).get("stages", {})
    return [(out["path"], out["md5"]) for stage in stages.values() for out in stage.get("outs", []) if "md5" in out]


def project_lock(root: Path) -> dict[str, Any]:
    """dvc.lock as a mapping; empty when the pipeline has not run."""
    from cmr_lib import params

    return params.read_yaml(root / "dvc.lock") if (root / "dvc.lock").is_file() else {}


def check_outputs(root: Path, tally: Tally) -> None:
    """Outputs of dvc.lock in the working tree; one that git does not hold may be absent (not made, not pulled)."""
    patterns, tracked, cache = ignored_patterns(root), _tracked(root), cache_folder(root)
    for name, digest in _progress(recorded_outputs(root), "outputs"):
        path = root / name
        if path.is_dir():
            listing = folder_listing(path, patterns)
            same = folder_digest(listing) == digest
            tally.judge(None if same else f"{name}: {_folder_difference(listing, _object(cache, digest))}.")
        elif path.is_file():
            same = md5_file(path) == digest
            tally.judge(None if same else f"{name}: differs from what dvc.lock recorded.")
        elif name in tracked:
            tally.judge(f"{name}: is missing.")
        else:
            tally.absent.append(name)


# --- cache and weights ------------------------------------------------------------------------------------------
def cache_folder(root: Path) -> Path:
    """DVC's cache of this workspace, as .dvc/config and .dvc/config.local say."""
    config = configparser.ConfigParser(interpolation=None, strict=False)
    config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    return root / ".dvc" / config.get("cache", "dir", fallback="cache")


def _object(cache: Path, digest: str) -> Path:
    return cache / "files" / "md5" / digest[:2] / digest[2:]


def check_cache(root: Path, tally: Tally) -> None:
    """Every cache object under files/md5: its path is the MD5 of its bytes."""
    folder = cache_folder(root) / "files" / "md5"
    objects = [path for path in sorted(folder.glob("*/*")) if _OBJECT.match(path.relative_to(folder).as_posix())]
    for path in _progress(objects, "cache"):
        digest = (path.parent.name + path.name).removesuffix(".dir")
        same = md5_file(path) == digest
        tally.judge(None if same else f"cache object {digest}: its bytes differ; delete it and run the stage again.")


def check_weights(root: Path, tally: Tally) -> None:
    """Shipped weights against each SHA256SUMS, which must name every file below it but such lists themselves."""
    for manifest in sorted((root / "weights").rglob("SHA256SUMS")):
        folder, name = manifest.parent, manifest.parent.relative_to(root)
        wrong = set(project.check_manifest(folder))
        named = [line.split("  ", 1)[1] for line in manifest.read_text(encoding="utf-8").splitlines()]
        for file in named:
            tally.judge(f"{name}/{file}: is missing, or differs from SHA256SUMS." if file in wrong else None)
        files = (path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
        for file in sorted({path.relative_to(folder).as_posix() for path in files} - set(named)):
            tally.judge(f"{name}/{file}: is not named in SHA256SUMS.")


# --- metrics ----------------------------------------------------------------------------------------------------
def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _tracked(root: Path) -> set[str]:
    return set((_git(root, "ls-files", "-z") or "").split("\0"))


def metric_differences(now: Any, committed: Any, place: str = "") -> Iterator[str]:
    """Where two metrics differ by more than the tolerance, a sentence each."""
    if isinstance(now, Mapping) and isinstance(committed, Mapping):
        for key in sorted(now.keys() | committed.keys()):
            here = f"{place}.{key}".lstrip(".")
            if key in now and key in committed:
                yield from metric_differences(now[key], committed[key], here)
            else:
                yield f"{here} is {'new' if key in now else 'gone'}"
    elif isinstance(now, float) or isinstance(committed, float):
        numbers = isinstance(now, int | float) and isinstance(committed, int | float)
        if not numbers or abs(now - committed) > max(TOLERANCE, RELATIVE_TOLERANCE * abs(committed)):
            yield f"{place} is {now}, committed {committed}"
    elif now != committed:
        yield f"{place} is {now}, committed {committed}"


def check_metrics(root: Path, tally: Tally) -> None:
    """outputs/demo/*/metrics.json in the working tree against the last commit's."""
    names = (_git(root, "ls-tree", "-r", "--name-only", "HEAD", "outputs/demo") or "").splitlines()
    for name in (name for name in names if re.fullmatch(r"outputs/demo/[^/]+/metrics\.json", name)):
        committed = json.loads(_git(root, "show", f"HEAD:{name}") or "null")
        if not (root / name).is_file():
            tally.judge(f"{name}: is missing.")
            continue
        found = list(metric_differences(json.loads((root / name).read_text(encoding="utf-8")), committed))
        tally.judge(f"{name}: {'; '.join(found[:3])}." if found else None)


def verify(root: Path) -> Tally:
    """All four checks."""
    tally = Tally()
    for check in (check_outputs, check_cache, check_weights, check_metrics):
        check(root, tally)
    return tally


def readings_sentence(root: Path) -> str:
    """How often the test split was read on this machine, by whom: for the reader to judge, nothing is wrong with it."""
    counted = held_out.readings(root / held_out.LOG)
    if counted.empty:
        return "The test split was not read here yet."
    often = ", ".join(f"{row.reader} {row.readings}" for row in counted.head(4).itertuples())
    total = counted["readings"].sum()
    return f"The test split was read {total} times here, by {len(counted)} readers (most: {often}): {held_out.LOG}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 1 when anything is wrong or nothing could be checked."""
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1], help="the repository")
    root = parser.parse_args(arguments).root
    tally = verify(root)
    for line in tally.wrong:
        print(line)
    for name in tally.absent:
        print(f"{name}: not here (not made or not pulled), not checked.")
    print(f"{tally.checked} checked, {len(tally.wrong)} wrong")
    print(readings_sentence(root))
    if not tally.checked:
        print("Nothing to check yet: run `make repro` first.", file=sys.stderr)
    return 1 if tally.wrong or not tally.checked else 0


if __name__ == "__main__":
    sys.exit(main())
