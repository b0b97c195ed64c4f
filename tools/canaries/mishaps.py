"""What goes wrong in a clinic: tables and folders that cannot be read. A process of its own; its output is searched.

    python -m tools.canaries.mishaps params/clinic/preprocess.yaml MISSING TABLE [TABLE ...]

Each table is given to the stage preprocess as its reports; then a folder, a key and a table that are not there. Nobody
catches anything: the tracebacks are what a user would see, and send to somebody who can help.
"""

import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cmr_lib import params
from cmr_lib.clips import build
from cmr_lib.run.source import collect, read


def _mishaps(tables: list[str], missing: str) -> Iterator[dict[str, Any]]:
    yield from ({"cohort": {"reports": table}} for table in tables)
    yield {"cohort": {"reports": f"{missing}.csv"}}
    yield {"cohort": {"studies": missing}}
    yield {"cohort": {"studies": str(Path(missing).parent / "nothing")}}
    yield {"identity": {"key_file": str(Path(missing).parent / "no key")}}
    yield {"cohort": {"max_reject_share": 0.01}}
    yield {"cohort": {"max_studies": missing}}


def main(parameters: str, missing: str, tables: list[str]) -> None:
    """Run preprocess with each mishap and print what is raised."""
    notebook = read(Path("notebooks/02_preprocess.ipynb"))
    values = collect(notebook, "preprocess", [parameters], ["out_dir=outputs/clinic/mishaps", "data_dir=data/clinic"])
    for mishap in _mishaps(tables, missing):
        try:
            build.preprocess(params.check("preprocess", params.merge(values, mishap)), progress=True)
        except Exception:  # noqa: BLE001 (whatever it is: its text is searched)
            traceback.print_exc()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
