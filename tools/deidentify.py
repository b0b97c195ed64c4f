"""Shareable DICOM of your studies: `make deidentify STUDIES=dir OUT=dir`.

Reads a folder with one .zip (or folder) of DICOM a study and writes MR images without identifiers, by PS3.15 Annex E
(Basic Profile with Retain Device Identity, Modified Dates, Clean Descriptors), and rejects.csv: why each other file was
left out. Each study is read in a worker process under caps on time, memory and size; one that breaks them is a row, and
the run goes on. Names, UIDs and dates follow from the key, so that a second run, and `make embed`, give the same ones.
"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from cmr_lib import project
from cmr_lib.ingest.rejects import COLUMNS
from cmr_lib.ingest.sharing_pool import share_all
from cmr_lib.ingest.studies import find_studies

WORKERS = 2  # studies read at a time


def deidentify(studies: Path, out: Path, key: bytes, workers: int = WORKERS) -> dict[str, int]:
    """Share every study below a folder; returns how many files were found, accepted, rejected and ignored.

    Raises FileNotFoundError where the folder is absent, ValueError where it holds no study, FileExistsError where `out`
    holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(
            "OUT holds files already; an empty or new folder is wanted, so that nothing old is shared."
        )
    rows, total = [], dict.fromkeys(("found", "accepted", "rejected", "ignored"), 0)
    paths = find_studies(studies)
    if not paths:
        raise ValueError("No study in STUDIES: wanted one .zip or one folder of DICOM files a study, found neither.")
    for done in tqdm(share_all(paths, out, key, workers), total=len(paths), desc="studies", unit="study"):
        rows += [asdict(row) for row in done.rejects]
        total = {name: total[name] + done.counts[name] for name in total}
    project.write_table(out / "rejects.csv", pd.DataFrame(rows, columns=list(COLUMNS)))
    return total


def main(arguments: list[str] | None = None) -> int:
    """Command line; one sentence and exit 1 when the folder can't be used."""
    parser = argparse.ArgumentParser(prog="make deidentify", description=__doc__.splitlines()[0])
    parser.add_argument("studies", type=Path, help="folder with one .zip or folder of DICOM a study")
    parser.add_argument("out", type=Path, help="new folder to write to")
    parser.add_argument("--key", type=Path, default=Path(project.OWN_KEY), help="naming key file, made if absent")
    parser.add_argument("--workers", type=int, default=WORKERS, help="studies read at a time")
    given = parser.parse_args(arguments)
    try:
        key = project.read_key(project.own_key_file(given.key))
        total = deidentify(given.studies, given.out, key, given.workers)
    except (OSError, ValueError) as error:
        print(f"make deidentify: {error}", file=sys.stderr)
        return 1
    print("Files: " + ", ".join(f"{count:,} {name}" for name, count in total.items()) + ". Why: rejects.csv.")
    print("Look at the pictures before you share them: text that is part of the pixels is known by its flags only.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
