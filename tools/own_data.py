"""A profile on data of one's own: what local.yaml names, a fingerprint of it, and the pipeline without the hospital.

`params/<profile>/local.yaml` is ignored by git and names folders of this machine, a clinic's or a public set's. What
DVC gets to know of them is one keyed name (profile.yaml, `input`) that changes when a file, the key or local.yaml does:
never a path, never a file name.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cmr_lib import params, project
from cmr_lib.ingest.files import walk

HOSPITAL = ("data/${profile}/", "outputs/${profile}/simulate/")  # what only the stage simulate makes
INPUT = {"profile.yaml": ["input"]}


def local_file(profile: str) -> Path:
    """Where a profile names its folders, relative to the root."""
    return Path("params", profile, "local.yaml")


def settings(root: Path, profile: str) -> dict[str, Any]:
    """The profile's preprocess parameters with local.yaml's section over them; {} where the profile has no file."""
    file, local = root / "params" / profile / "preprocess.yaml", root / local_file(profile)
    values = params.read_yaml(file) if file.is_file() else {}
    sections = params.read_yaml(local) if local.is_file() else {}
    return params.merge(values, sections.get("preprocess") or {})


def is_simulated(values: dict[str, Any]) -> bool:
    """Whether the studies are those of the synthetic hospital."""
    return values.get("source", "simulated") == "simulated"


def is_restricted(values: dict[str, Any]) -> bool:
    """Whether they are patients of a clinic, so that nothing of them may leave the profile's copy."""
    return values.get("source") == "dicom"


# --- what is named ----------------------------------------------------------------------------------------------
def _place(root: Path, name: str, value: str, *, restricted: bool) -> Path:
    """A named folder or table, as an absolute path. Raises FileNotFoundError or ValueError in one sentence."""
    place = Path(value).expanduser()
    if not place.is_absolute():
        raise ValueError(f"{name} is a relative path; wanted a full one (from / or ~), for the stages run in a copy.")
    if not place.exists():
        raise FileNotFoundError(f"{name}: nothing is there. Correct it, or bring the disk that holds it.")
    if restricted and place.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"{name} lies inside the repository; move it out, so that no copy or commit ever holds it.")
    return place


def places(root: Path, profile: str) -> list[Path]:
    """The folder of studies and, where there is one, the report table. Raises as `_place`, or for what is not named."""
    values = settings(root, profile)
    cohort, restricted = values.get("cohort") or {}, is_restricted(values)
    local = local_file(profile)
    if restricted and not (root / local).is_file():
        raise FileNotFoundError(
            f"{local} not found: it names your folder of studies and your key file. Copy "
            f"params/clinic/local.example.yaml there and fill it in (git ignores it)."
        )
    if not cohort.get("studies"):
        raise ValueError(f"Profile {profile}: preprocess.cohort.studies is empty; name the folder of studies.")
    named = [(f"cohort.{key}", cohort[key]) for key in ("studies", "reports") if cohort.get(key)]
    return [_place(root, name, value, restricted=restricted) for name, value in named]


def naming_key(values: dict[str, Any]) -> bytes:
    """The key of keyed names, made (mode 0600) where a clinic's is not there yet, which is said. Raises as read_key."""
    file = (values.get("identity") or {}).get("key_file")
    if is_restricted(values):
        if file is None:
            raise ValueError("identity.key_file is empty; name a file outside the repository: it is made if absent.")
        if not Path(file).expanduser().exists():
            print("Making a naming key (mode 0600): keep it; without it names cannot be linked again.", file=sys.stderr)
            project.own_key_file(file)
    return project.read_key(file)


# --- what DVC is told -------------------------------------------------------------------------------------------
def _listing(place: Path) -> Iterator[str]:
    """Name, size and time of every file at or below a place, sorted; links are not followed."""
    for path in walk(place) if place.is_dir() else [place]:
        facts = path.lstat()
        yield f"{path.relative_to(place)!s}\0{facts.st_size}\0{facts.st_mtime_ns}"


def fingerprint(root: Path, profile: str) -> str:
    """A keyed name for the input as it stands. Raises FileNotFoundError, ValueError, PermissionError: one sentence."""
    found, values, local = places(root, profile), settings(root, profile), root / local_file(profile)
    lines = [profile, local.read_text(encoding="utf-8") if local.is_file() else ""]
    lines += [line for place in found for line in _listing(place)]
    text = "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")  # names on disk need not be UTF-8
    return project.keyed_name(naming_key(values), "input", text)


def _path(dependency: Any) -> str:
    return next(iter(dependency)) if isinstance(dependency, dict) else str(dependency)


def without_hospital(pipeline: str) -> str:
    """The text of dvc.yaml without the stage simulate and what it makes; every stage depends on the fingerprint."""
    plan = YAML(typ="safe", pure=True).load(pipeline)
    plan["stages"] = {name: dict(stage) for name, stage in plan["stages"].items() if name != "simulate"}
    for stage in plan["stages"].values():
        stage["deps"] = [item for item in stage["deps"] if not _path(item).startswith(HOSPITAL)]
        others = [item for item in stage.get("params", []) if _path(item) != "profile.yaml"]
        stage["params"] = [*others, INPUT]
    text, yaml = io.StringIO(), YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width, yaml.sort_base_mapping_type_on_output = 4096, False
    yaml.dump(plan, text)
    return text.getvalue()
