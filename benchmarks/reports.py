"""What reading reports costs: faults, scrubbing, sections, findings, numbers, sameness, as in the stage preprocess.

`python -m benchmarks.reports --reports 13787 --out reports.json` on a quiet machine: as many reports as the published
cohort had are simulated first (not counted), each with its letterhead. Wanted: at most 3 minutes on 2 cores. Beside the
wall time it prints the CPU time, which other work on the machine does not stretch.
"""

import argparse
import multiprocessing
import time
from functools import partial
from pathlib import Path

from cmr_lib import project
from cmr_lib.clips.report_reading import Accepted, Reports, Scrubber, Waiting, accept
from cmr_lib.reports.checks import fault
from cmr_lib.reports.identifiers import Identifiers
from cmr_lib.reports.sameness import sameness
from cmr_lib.simulate.identity import accession, identity_of
from tools.simulated_reports import SEED, simulated

WANTED_S, COHORT = 180.0, 13787
Work = tuple[Waiting, Identifiers, str]


def written(number: int) -> Work:
    """One simulated report, what the header of its study would know, and the sex."""
    text, reading, _ = simulated("first", number)
    who = identity_of(SEED, number, 50)
    known = Identifiers(
        names=(who.dicom_name, f"{who.referring}^Dr", f"{who.reader}^Dr"),
        numbers=(who.patient_id, who.telephone),
        words=(who.address, "Riverside Synthetic Hospital"),
        births=(who.birth_date,),
    )
    return Waiting(text, who.patient_id, accession(number, 1), 1), known, reading.sex


def read(work: Work, key: bytes) -> tuple[Accepted, float]:
    """What the stage makes of one report, and the CPU seconds that it took."""
    one, known, sex = work
    start = time.process_time()
    if fault(one.text):
        raise RuntimeError("A simulated report was refused.")
    reports = Reports(waiting={"x": one})
    accept(reports, "x", Scrubber(key, True, None), known, one.patient, sex)
    return reports.accepted["x"], time.process_time() - start


def measure(count: int, workers: int) -> dict[str, float]:
    """Wall and CPU seconds for `count` reports, and how many tell the same as another."""
    key = project.PUBLIC_DEMO_KEY
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        work = pool.map(written, range(count), chunksize=64)
        start = time.perf_counter()
        done = pool.map(partial(read, key=key), work, chunksize=64)
    accepted = [one for one, _ in done]
    before = time.process_time()
    same = sameness([one.report.text() for one in accepted], [one.summary for one in accepted])
    alone = time.process_time() - before
    return {
        "reports": count,
        "seconds": time.perf_counter() - start,
        "cpu_seconds": sum(seconds for _, seconds in done) + alone,
        "cpu_seconds_sameness": alone,
        "share_clinically_same": same.rates()["clinical"]["value"],
    }


def main() -> None:
    """Command line; exit 1 when it takes longer than wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--reports", type=int, default=COHORT)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the numbers go as JSON")
    args = parser.parse_args()
    found = measure(args.reports, args.workers)
    print(", ".join(f"{name} {value:,.2f}" for name, value in found.items()))
    if args.out:
        project.write_json(args.out, {"workers": args.workers, **found})
    wanted = WANTED_S * args.reports / COHORT
    if found["seconds"] > wanted:
        raise SystemExit(f"{found['seconds']:.0f} s for {args.reports:,} reports; at most {wanted:.0f} s are wanted.")


if __name__ == "__main__":
    main()
