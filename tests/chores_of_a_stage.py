"""Stand-ins for the reading of a study; what they import is imported when a process starts, not when it works."""

import os
import time

from cmr_lib.clips.cohort import StudyResult
from cmr_lib.ingest.sharing import share_study


def slow_or_good(path, key, shape, limits):
    if "slow" in path.name:
        time.sleep(600)
    if "crash" in path.name:
        os._exit(1)
    return StudyResult(path.name)


def half_or_shared(path, out, key, limits):
    """Sharing that stops half-way in some studies, with a file already written."""
    if path.stem in ("slow", "crash", "wrong"):
        (out / "half").mkdir(parents=True)
        (out / "half" / "1.dcm").write_bytes(b"half a study")
    if path.stem == "slow":
        time.sleep(600)
    if path.stem == "crash":
        os._exit(1)
    if path.stem == "wrong":
        raise ValueError("Secret^Name")
    return share_study(path, out, key, limits)
