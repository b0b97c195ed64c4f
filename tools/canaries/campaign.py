"""The campaign: plant, run the stages as a clinic does, search every byte outside the restricted zone.

    python -m tools.canaries                 # ten studies of the phantom; exit code 1 if anything leaked
    python -m tools.canaries --keep FOLDER   # and keep the machine that it ran on, to look at

Two counts make a silence mean something: every planted identifier is found in the input by the same search, and every
stage ran (or said in an error why not; errors are searched too).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cmr_lib import params, project
from tools.canaries import scan
from tools.canaries.clinic import Clinic, write_clinic
from tools.canaries.hunt import Hunt
from tools.canaries.machine import SITE_CACHE, Machine, own_files, set_up
from tools.canaries.mint import Canary

STAGES = tuple(stage for stage in params.STAGES if stage != "simulate")


@dataclass
class Outcome:
    """What a campaign planted, ran and found."""

    canaries: list[Canary] = field(default_factory=list)
    planted: dict[int, int] = field(default_factory=dict)  # identifiers by study
    missed: list[Canary] = field(default_factory=list)  # planted, and not found in the input: the search is blind there
    ran: dict[str, bool] = field(default_factory=dict)  # by stage
    hits: list[scan.Hit] = field(default_factory=list)
    files: int = 0  # searched, outside the zone
    megabytes: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)


def _reports_of(zips: Sequence[Path], table: Path) -> list[str]:
    """The reports of simulated studies, whose zips are named by accession number."""
    reports = pd.read_csv(table, dtype=str).set_index("accession").report
    return [reports[path.stem] for path in zips]


def _paired(hospital: Path, count: int) -> tuple[list[Path], list[str]]:
    """The first simulated studies that have a report, and their reports."""
    table = hospital / "reports.csv"
    known = set(pd.read_csv(table, dtype=str).accession)
    zips = [path for path in sorted((hospital / "studies").glob("*.zip")) if path.stem in known][:count]
    if len(zips) < count:
        raise ValueError(f"{len(zips)} studies with a report in the hospital; {count} are wanted.")
    return zips, _reports_of(zips, table)


# --- running ----------------------------------------------------------------------------------------------------
def run_stages(machine: Machine) -> dict[str, bool]:
    """Notebooks 02 to 08 through DVC, in the clinic's copy; whether each stage ended well."""
    words = ["dvc", "repro", "--single-item", "--keep-going", "--force", *STAGES]
    machine.run("stages", words)
    done = machine.copy / "outputs" / "clinic"
    return {stage: (done / stage / "metrics.json").is_file() for stage in STAGES}


def run_mishaps(machine: Machine, clinic: Clinic) -> None:
    """Inputs that cannot be read: in the library, and once through the runner, which keeps the broken notebook."""
    tables = [str(path) for path in clinic.tables.values()]
    missing = str(clinic.folder / f"{clinic.canaries[0].value} is not here")
    file = "params/clinic/preprocess.yaml"
    machine.run("mishaps", ["tools.canaries.mishaps", file, missing, *tables])
    words = ["cmr_lib.run", "notebooks/02_preprocess.ipynb", "outputs/clinic/mishap/02_preprocess.ipynb", "-f", file]
    words += ["-s", "out_dir=outputs/clinic/mishap", "-s", "data_dir=data/clinic"]
    machine.run("mishap in a notebook", [*words, "-s", f"cohort.reports={clinic.tables['no header']}"])


# --- searching --------------------------------------------------------------------------------------------------
def find_leaks(search: scan.Scan, machine: Machine, since: float) -> Iterator[scan.Hit]:
    """Identifiers outside the zone: on the machine, and in what DVC's default site cache got meanwhile."""
    yield from search.folder(machine.base, machine.grounds.is_restricted)
    if SITE_CACHE.is_dir():
        yield from search.folder(SITE_CACHE, lambda path: path.is_file() and path.lstat().st_mtime < since)


def find_planted(hunt: Hunt, clinic: Clinic) -> list[Canary]:
    """Identifiers that the search does not find even in the input."""
    found = {hit.canary for hit in scan.Scan(hunt).folder(clinic.folder)}
    return [canary for canary in hunt.canaries if canary not in found]


def _timed(outcome: Outcome, what: str, work: Callable[[], None]) -> None:
    start = time.perf_counter()
    work()
    outcome.seconds[what] = round(time.perf_counter() - start, 1)


def campaign(source: Path, hospital: Path, base: Path, *, studies: int = 10, seed: int = 1) -> Outcome:
    """Plant identifiers in simulated studies, run everything on a machine below `base`, and search it.

    Args:
        source: the repository whose working files are run.
        hospital: simulated studies and reports.csv, as notebook 01 writes them.
        base: an empty folder, outside any repository.
        studies: how many studies are planted.
        seed: of the identifiers.

    Raises:
        ValueError: fewer studies with a report than wanted.
    """
    machine, outcome, since = Machine(base), Outcome(), time.time()
    zips, reports = _paired(hospital, studies)
    start = time.perf_counter()
    clinic = write_clinic(zips, reports, machine.clinic, seed)
    set_up(source, clinic, machine)
    hunt = Hunt(clinic.canaries)
    outcome.seconds["planting"] = round(time.perf_counter() - start, 1)
    outcome.canaries = hunt.canaries
    outcome.planted = {n: sum(canary.study == n for canary in hunt.canaries) for n in range(studies)}
    search = scan.Scan(hunt, own_files(source))
    _timed(outcome, "stages", lambda: outcome.ran.update(run_stages(machine)))
    _timed(outcome, "mishaps", lambda: run_mishaps(machine, clinic))
    _timed(outcome, "search of the input", lambda: outcome.missed.extend(find_planted(hunt, clinic)))
    _timed(outcome, "search", lambda: outcome.hits.extend(find_leaks(search, machine, since)))
    outcome.files, outcome.megabytes = search.files, round(search.bytes / 1e6, 1)
    return outcome


def told(outcome: Outcome, base: Path) -> str:
    """The outcome in lines for people; no identifier is in it."""
    planted = outcome.planted.values()
    lines = [
        f"planted: {sum(planted)} identifiers in {len(planted)} studies ({min(planted)} to {max(planted)} a study)",
        f"not found in the input: {len(outcome.missed)}",
        *(f"  {count} × {carrier}" for carrier, count in Counter(one.carrier for one in outcome.missed).items()),
        f"stages that ran: {', '.join(stage for stage, ran in outcome.ran.items() if ran)}",
        f"stages that ended in an error: {', '.join(stage for stage, ran in outcome.ran.items() if not ran) or 'none'}",
        f"searched outside the zone: {outcome.files} files, {outcome.megabytes} MB",
        f"seconds: {outcome.seconds}",
        f"leaks: {len(outcome.hits)}",
    ]
    lines += [f"  {count} × {carrier}" for carrier, count in scan.by_carrier(outcome.hits).items()]
    lines += [f"  {count} in {name}" for name, count in scan.by_file(outcome.hits, base).items()]
    return "\n".join(lines)


def simulate(source: Path, folder: Path, studies: int) -> Path:
    """A small synthetic hospital to plant in, smoke-sized; returns its folder."""
    from cmr_lib.simulate import cohort

    values = params.read_yaml(source / "params/smoke/simulate.yaml")
    hospital = {"n_patients": studies, "repeat_share": 0.0, "no_report_share": 0.0, "orphan_report_share": 0.0}
    changed = {
        "hospital": hospital, "reader": values["reader"] | {"identifier_share": 0.0}, "seed": 77,
        "external": dict.fromkeys(values["external"], 0), "out_dir": str(folder), "data_dir": str(folder),
    }  # fmt: skip
    cohort.write_hospital(params.check("simulate", values | changed), progress=False)
    return folder


def root() -> Path:
    """The repository that this code belongs to."""
    return project.find_root(Path(__file__).parent)
