"""Root, files, names and randomness: the four habits that every stage shares.

1. Every file is written whole or not at all (`write_bytes`): a temporary neighbour, fsync, rename.
2. Every name that leaves the restricted zone is a keyed hash (`keyed_name`), never an identifier.
3. Every number in a JSON or CSV is rounded to 4 digits, so that the same platform gives the same bytes.
4. Every random draw is a function of (seed, where it is used): `rng(seed, "split", patient)`; no global state.
"""

import hashlib
import hmac
import io
import json
import math
import os
import platform
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

DIGITS = 4
Number = float | int | np.floating | np.integer
OWN_KEY = "~/.config/cmr-lib/key"
PUBLIC_DEMO_KEY = b"CMRformer-open: a public key, for synthetic phantoms only"


# --- where things are -------------------------------------------------------------------------------------------
def find_root(start: Path | str = ".") -> Path:
    """The nearest folder at or above `start` that holds dvc.yaml. Raises FileNotFoundError."""
    start = Path(start).resolve()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise FileNotFoundError("No dvc.yaml here or above: start inside a clone of the repository.")


def chdir_root() -> Path:
    """Make the repository root the working folder (JupyterLab starts a notebook in its own)."""
    root = find_root()
    os.chdir(root)
    return root


def require(path: Path | str, made_by: str) -> Path:
    """The path, if it exists; otherwise one sentence that says which stage makes it."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"Missing input {path}: it is made by {made_by}; run `make repro` or that stage first.")
    return path


# --- writing ----------------------------------------------------------------------------------------------------
def write_bytes(path: Path | str, data: bytes | memoryview, *, checksum: bool = False, durable: bool = True) -> str:
    """Write atomically and return the SHA-256 in hex; with `checksum`, also beside the file as NAME.sha256.

    `durable` waits for the disk. Without it a power cut may leave a torn file: only for what checks itself when it is
    read and can be made again.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(data).hexdigest()
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if checksum:
        write_bytes(path.with_name(path.name + ".sha256"), f"{digest}  {path.name}\n".encode())
    return digest


def write_text(path: Path | str, text: str) -> str:
    """Write UTF-8 text atomically; returns the SHA-256."""
    return write_bytes(path, text.encode("utf-8"))


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """The same structure with every float rounded; NaN and infinity become None (JSON has neither)."""
    if isinstance(value, Mapping):
        return {str(key): rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    if isinstance(value, np.ndarray):
        return rounded(value.tolist(), digits)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), digits) + 0.0 if math.isfinite(value) else None
    return value


def write_json(path: Path | str, value: Any) -> str:
    """Write rounded, sorted, indented JSON atomically; returns the SHA-256."""
    return write_text(path, json.dumps(rounded(value), indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_table(path: Path | str, table: Any, digits: int = DIGITS) -> str:
    """Write a pandas DataFrame as .csv (rounded, Unix line ends) or .parquet (by the ending), atomically."""
    path = Path(path)
    if path.suffix == ".csv":
        return write_text(path, table.round(digits).to_csv(index=False, lineterminator="\n"))
    if path.suffix == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False, compression="zstd")
        return write_bytes(path, buffer.getvalue())
    raise ValueError(f"Tables are written as .csv or .parquet, got {path.name}.")


def write_array(path: Path | str, array: np.ndarray) -> str:
    """Write one .npy (no pickles) atomically; returns the SHA-256."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return write_bytes(path, buffer.getbuffer())  # a view: a shard is large


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's content, in hex, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(patterns: Iterable[str], *versions: str) -> str:
    """SHA-256 of the sources below cmr_lib that match glob patterns, and of the versions that they run with.

    A run that goes on where another stopped asks for the same digest: other code may draw other numbers.
    """
    root = Path(__file__).resolve().parent
    digest = hashlib.sha256("\0".join(versions).encode())
    for path in sorted({file for pattern in patterns for file in root.glob(pattern)}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_manifest(folder: Path | str) -> Path:
    """Write SHA256SUMS over every other file below `folder` (the format of `sha256sum -c`)."""
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    lines = [f"{sha256_file(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    write_text(folder / "SHA256SUMS", "".join(lines))
    return folder / "SHA256SUMS"


def check_manifest(folder: Path | str) -> list[str]:
    """Names of files that are missing from, or differ with, the folder's SHA256SUMS. Empty: all is well."""
    folder = Path(folder)
    wrong = []
    for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        if not (folder / name).is_file() or sha256_file(folder / name) != digest:
            wrong.append(name)
    return wrong


# --- names ------------------------------------------------------------------------------------------------------
def keyed_name(key: bytes, kind: str, value: str) -> str:
    """A 16-digit name for an identifier: HMAC-SHA256 of (kind, value). Without the key it cannot be enumerated."""
    if not value:
        raise ValueError(f"An empty {kind} has no name.")
    text = f"{kind}\0{value}".encode("utf-8", "surrogateescape")  # names on disk need not be UTF-8
    return hmac.new(key, text, hashlib.sha256).hexdigest()[:16]


def shift_days(key: bytes, patient: str) -> int:
    """How many days (1 to 3652) a patient's dates move into the past.

    One keyed number a patient: intervals between the patient's studies stay what they were, nothing else does.
    """
    digest = hmac.new(key, f"days\0{patient}".encode(), hashlib.sha256).digest()
    return 1 + int.from_bytes(digest[:8], "little") % 3652


def read_key(path: Path | str | None) -> bytes:
    """The naming key: from a file outside the repository (mode 0600), or the public one for synthetic phantoms."""
    if path is None:
        return PUBLIC_DEMO_KEY
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"Key file {path.name} not found: make one with `python -c 'import secrets; print(secrets.token_hex(32))' "
            "> FILE; chmod 600 FILE`, outside the repository."
        )
    if any((folder / "dvc.yaml").is_file() for folder in path.resolve().parents):
        raise PermissionError(f"Key file {path.name} lies in the repository: move it out, so that it is never shared.")
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"Key file {path.name} can be read by others: run `chmod 600` on it.")
    key = path.read_bytes().strip()
    if len(key) < 32:
        raise ValueError(f"Key file {path.name} holds {len(key)} bytes; at least 32 are wanted.")
    return key


def own_key_file(path: Path | str = OWN_KEY) -> Path:
    """The user's key file; made with a new key, readable by nobody else, where there is none yet."""
    path = Path(path).expanduser()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32), encoding="ascii")
    return path


# --- randomness -------------------------------------------------------------------------------------------------
def seed_for(seed: int, *where: int | str) -> int:
    """A 63-bit seed that depends on `seed` and on where it is used, and on nothing else."""
    text = "\0".join([str(seed), *(str(part) for part in where)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def rng(seed: int, *where: int | str) -> np.random.Generator:
    """A NumPy generator for this seed and place: `rng(7, "motion", patient, study)`."""
    return np.random.default_rng(seed_for(seed, *where))


# --- records ----------------------------------------------------------------------------------------------------
def estimate(
    value: Number, *, n: int, low: Number | None = None, high: Number | None = None, chance: Number | None = None
) -> dict[str, float | int]:
    """One entry of a metrics.json: the value with its n, its 95 % interval and the chance level where they apply."""
    entry: dict[str, float | int] = {"value": float(value), "n": int(n)}
    optional = {"low": low, "high": high, "chance": chance}
    return entry | {name: float(number) for name, number in optional.items() if number is not None}


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, family and model, where the system says so: virtual machines often give no other name."""
    if not cpuinfo.is_file():
        return platform.processor()
    pairs = (line.partition(":") for line in cpuinfo.read_text(errors="replace").split("\n\n", 1)[0].splitlines())
    said = {name.strip(): value.strip() for name, _, value in pairs}
    return ", ".join(said[name] for name in ("model name", "cpu family", "model") if name in said)


def run_record(**facts: Any) -> dict[str, Any]:
    """Host facts for an untracked run.json: never part of a tracked output."""
    import importlib.metadata as metadata

    names = ("numpy", "torch", "transformers", "pydicom", "scikit-learn", "umap-learn", "matplotlib")
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "versions": versions,
        "git": git.stdout.strip(),
        "environment": {name: os.environ[name] for name in REPRODUCIBLE_ENVIRONMENT if name in os.environ},
        **facts,
    }


# fp32 on two threads with the instruction set capped at AVX2. Without STRICT, MKL's bits follow the number of threads
# that it chooses by the machine (LOG.md, 2026-11-26). The runner sets these before any numerical library is imported.
REPRODUCIBLE_ENVIRONMENT: dict[str, str] = {
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "NUMBA_NUM_THREADS": "2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2,STRICT",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "",
    "PYTHONHASHSEED": "0",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def folder_bytes(folder: Path | str) -> int:
    """Size of all regular files below a folder."""
    return sum(p.stat().st_size for p in Path(folder).rglob("*") if p.is_file())


def unique(items: Iterable[str]) -> list[str]:
    """Items in first-seen order, once each."""
    return list(dict.fromkeys(items))
