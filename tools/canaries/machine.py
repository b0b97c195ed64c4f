"""A machine of its own for a campaign: a repository, a clinic, a home and temporary files, all below one folder.

What the pipeline writes anywhere lies then below this folder and can be searched, but for DVC's default site cache.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cmr_lib import params, project
from tools import workspace
from tools.canaries import scan
from tools.canaries.clinic import Clinic
from tools.canaries.zone import Grounds
from tools.hygiene import working_files

ALWAYS = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SITE_CACHE = Path("/var/tmp/dvc")  # noqa: S108 (where DVC keeps names and hashes of all repositories of a machine)
LOCAL = """\
preprocess:
  source: dicom
  cohort:
    studies: {studies}
    reports: {reports}
    max_reject_share: 0.5
  identity:
    key_file: {key}
pretrain:
  optim:
    batch_studies: 4
"""


@dataclass(frozen=True)
class Machine:
    """The folders of a campaign."""

    base: Path

    @property
    def root(self) -> Path:
        """The repository."""
        return self.base / "repository"

    @property
    def copy(self) -> Path:
        """The clinic's copy of the working files, in which the stages run."""
        return self.root / ".ws" / "clinic"

    @property
    def clinic(self) -> Path:
        """The clinic's export. Restricted."""
        return self.base / "clinic"

    @property
    def key(self) -> Path:
        """The naming key. Restricted."""
        return self.base / "keys" / "key"

    @property
    def grounds(self) -> Grounds:
        """What of it is restricted."""
        return Grounds(self.clinic, self.key.parent, self.copy, self.root)

    def environment(self) -> dict[str, str]:
        """Variables of a user who has only this machine."""
        own = {"HOME": str(self.base / "home"), "TMPDIR": str(self.base / "tmp"), "PYTHONPATH": str(self.copy)}
        kept = {name: os.environ[name] for name in ALWAYS if name in os.environ}
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return kept | own | {"PATH": programs, "DVC_NO_ANALYTICS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, name: str, words: Sequence[str]) -> int:
        """Run a Python module in the clinic's copy; what it prints is kept below logs/. Returns its exit code."""
        log = self.base / "logs" / f"{name}.txt"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as out:
            done = subprocess.run(
                [sys.executable, "-m", *words], cwd=self.copy, env=self.environment(), stdout=out,
                stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        return done.returncode


def _copy_repository(source: Path, machine: Machine) -> None:
    """The working files as a repository of its own, whose clinic profile has the sizes of `smoke`."""
    for file in working_files(source):
        if file.parts[0] not in workspace.LEFT_OUT and not (source / file).is_symlink():
            target = machine.root / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / file, target)
    for stage in params.STAGES:
        shutil.copy2(
            source / "params" / "smoke" / f"{stage}.yaml", machine.root / "params" / "clinic" / f"{stage}.yaml"
        )
    subprocess.run(["git", "init", "-q"], cwd=machine.root, check=True)
    (machine.root / ".dvc" / "cache").mkdir(parents=True, exist_ok=True)


def own_files(source: Path) -> frozenset[bytes]:
    """Contents of the repository's working files, which were there before anything was planted."""
    return frozenset(scan.digest_of(source / file) for file in working_files(source) if (source / file).is_file())


def set_up(source: Path, clinic: Clinic, machine: Machine) -> None:
    """Repository, key and the clinic's copy, ready for the first stage. The clinic's export is there already."""
    for name in ("home", "tmp", "keys"):
        (machine.base / name).mkdir()
    machine.key.touch(mode=0o600)
    machine.key.write_text("c" * 64)  # so that a campaign repeats itself
    _copy_repository(source, machine)
    local = LOCAL.format(studies=clinic.studies, reports=clinic.reports, key=machine.key)
    project.write_text(machine.root / "params" / "clinic" / "local.yaml", local)
    workspace.refresh(machine.root, "clinic")
    for place in ("data/clinic/studies", "outputs/clinic/simulate"):  # the pipeline names what nobody simulated
        (machine.copy / place).mkdir(parents=True, exist_ok=True)
    for name in ("data/clinic/reports.csv", "data/clinic/truth.csv"):
        (machine.copy / name).touch()
    project.write_json(machine.copy / "outputs/clinic/simulate/metrics.json", {"source": "not simulated"})
