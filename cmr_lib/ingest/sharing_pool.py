"""Every study of a folder as DICOM that may be shared, each in a worker process that may be killed.

A worker writes into a folder of its own; what it finished is moved to its place here, in the order of the studies. So a
study that hangs, starves or kills its worker ends as a row and leaves no file, and of two studies of one accession
number the first is shared, whichever was finished first.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cmr_lib.ingest.files import LIMITS, Limits
from cmr_lib.ingest.header import READ_ERRORS
from cmr_lib.ingest.rejects import Refused, reject
from cmr_lib.ingest.sharing import Shared, share_study
from cmr_lib.ingest.studies import study_name
from cmr_lib.ingest.workers import AHEAD, CAPS, Caps, LocalPool, in_order
from cmr_lib.project import keyed_name

UNFINISHED = ".unfinished"  # below the folder that is written to, gone when the run ends, however it ends

Share = Callable[[Path, Path, bytes, Limits], Shared]
Numbered = tuple[int, Path]  # two folders may have one name


def refused_whole(study_key: str, refused: Refused) -> Shared:
    """A study that is not shared: one row, one thing found, none of its files named."""
    row = reject("study", refused.code, study_key=study_key, tag=refused.tag)
    return Shared(study_key, {"found": 1, "accepted": 0, "rejected": 1, "ignored": 0}, [row])


@dataclass(frozen=True)
class Sharing:
    """What is done with every study: `work((number, path))`. Goes to the workers, so it holds nothing that cannot."""

    out: Path
    key: bytes
    limits: Limits = LIMITS
    share: Share = share_study

    def folder(self, number: int) -> Path:
        """Where a worker writes the study of this number."""
        return self.out / UNFINISHED / str(number)

    def unread(self, path: Path, refused: Refused) -> Shared:
        """What is left of a study that was not read to its end."""
        return refused_whole(keyed_name(self.key, "study", study_name(path)), refused)

    def __call__(self, item: Numbered) -> Shared:
        """Share one study. What no code foresees is a row too; OSError of the disk is raised, and ends the run."""
        number, path = item
        try:
            return self.share(path, self.folder(number), self.key, self.limits)
        except (MemoryError, OSError):
            raise
        except READ_ERRORS as error:
            return self.unread(path, Refused("E_UNFORESEEN", type(error).__name__))

    def placed(self, number: int, done: Shared) -> Shared:
        """The finished study at its place below `out`, where there is anything of it and the place is free."""
        if not done.counts["accepted"]:
            return done
        target = self.out / done.study_key
        if target.exists():
            return refused_whole(done.study_key, Refused("E_DUP_STUDY", "AccessionNumber"))
        (self.folder(number) / done.study_key).rename(target)
        return done


def share_all(
    paths: Sequence[Path], out: Path, key: bytes, workers: int, caps: Caps = CAPS, limits: Limits = LIMITS,
    share: Share = share_study,
) -> Iterator[Shared]:  # fmt: skip
    """What became of every study, in order; its files are below `out` when it is yielded.

    A study that breaks a cap or its worker has one row of level "study" and no file. Raises as `share_study`.
    """
    work = Sharing(Path(out), key, limits, share)
    try:
        # of this machine, never a cluster's: another machine need not see `out`
        with LocalPool(work, min(workers, len(paths)), caps, preload=[__name__]) as pool:
            for (number, path), done in in_order(pool, enumerate(paths), AHEAD * workers):
                yield work.unread(path, done) if isinstance(done, Refused) else work.placed(number, done)
    finally:
        shutil.rmtree(work.out / UNFINISHED, ignore_errors=True)
