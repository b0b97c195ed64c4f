"""The public sets by the name that `source` in params/*/preprocess.yaml gives them."""

from pathlib import Path

from cmr_lib.ingest.files import LIMITS, Limits
from cmr_lib.ingest.header import READ_ERRORS
from cmr_lib.ingest.public.acdc import ACDC
from cmr_lib.ingest.public.mnms import MNMS
from cmr_lib.ingest.public.record import Case, Content, PublicSet, PublicStudy, accounted, refused_case
from cmr_lib.ingest.public.sunnybrook import SUNNYBROOK
from cmr_lib.ingest.rejects import Refused

SETS: dict[str, PublicSet] = {"acdc": ACDC, "mnms": MNMS, "sunnybrook": SUNNYBROOK}


def find_cases(source: str, root: Path | str) -> list[Case]:
    """The cases of a set below a folder. Raises FileNotFoundError or, for another layout, ValueError: one sentence."""
    root, known = Path(root), SETS[source]
    if not root.is_dir():
        raise FileNotFoundError(f"cohort.studies: no folder {root}; wanted the folder that holds {known.layout}.")
    cases = known.find(root)
    if not cases:
        raise ValueError(
            f"No case of {known.title} below cohort.studies ({root}): wanted {known.layout}. "
            f"Unpack the set there as it comes, or set `source` to what the folder holds."
        )
    return cases


def read_case(case: Case, key: bytes, limits: Limits = LIMITS) -> PublicStudy:
    """One case as a study with labels; a case that breaks its layout has no stacks and one row that says where."""
    try:
        found = SETS[case.source].read(case, key, limits)
    except Refused as refused:
        return refused_case(case, refused, key)
    except READ_ERRORS as error:
        return refused_case(case, Refused("E_UNFORESEEN", type(error).__name__), key)
    return accounted(case, found, key) if isinstance(found, Content) else found
