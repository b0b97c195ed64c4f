"""The same work on a Dask cluster, where the environment names a scheduler (DASK_SCHEDULER_ADDRESS).

An address is a fact of a place, so it is not in params/. Every machine of the cluster needs this package, and sees the
studies' folder under the same path. On each, a study is still read in a process that may be killed (`workers`).
"""

import functools
import multiprocessing
import os
import pickle
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from cmr_lib.ingest.rejects import Refused
from cmr_lib.ingest.workers import CAPS, Answer, Caps, LocalPool, Pool, Work

ADDRESS = "DASK_SCHEDULER_ADDRESS"  # Dask's own name for it


@functools.cache
def _pool_here(packed: bytes, caps: Caps) -> LocalPool:
    """The worker processes of one machine of the cluster, as many as Dask has threads there."""
    from dask.distributed import get_worker

    # Dask starts its processes as daemons, which may have no children: theirs end with them here (daemon=True).
    multiprocessing.current_process()._config["daemon"] = False
    return LocalPool(pickle.loads(packed), get_worker().state.nthreads, caps)  # noqa: S301 (our own client sent it)


def _isolated(packed: bytes, item: Any, caps: Caps) -> Any:
    """The work on one item, in a killable process of the machine that this runs on."""
    return _pool_here(packed, caps).submit(item).result()


class _Remote:
    """A Dask future that says in our words when the machine itself was lost."""

    def __init__(self, future: Any, lost: type[Exception]) -> None:
        self._future, self._lost = future, lost

    def result(self) -> Any:
        try:
            return self._future.result()
        except self._lost:
            raise Refused("E_WORKER_DIED") from None
        finally:
            self._future.release()


class ClusterPool:
    """Workers of a Dask cluster."""

    def __init__(self, work: Work, address: str, caps: Caps = CAPS) -> None:
        try:
            from dask import distributed
        except ImportError:
            raise ModuleNotFoundError(
                f"{ADDRESS} names a scheduler but dask.distributed is not installed: install `distributed` here and on "
                "the cluster, or unset the variable to use the processes of this machine."
            ) from None
        self._client, self._lost = distributed.Client(address), distributed.KilledWorker
        self._packed, self._caps = pickle.dumps(work), caps

    @property
    def workers(self) -> int:
        """How many studies the cluster reads at a time."""
        return max(1, sum(self._client.nthreads().values()))

    def submit(self, item: Any) -> Answer:
        """Do the work on one item as soon as a machine is free; it is never done twice."""
        future = self._client.submit(_isolated, self._packed, item, self._caps, pure=False)
        return _Remote(future, self._lost)

    def __enter__(self) -> "ClusterPool":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()


def open_pool(work: Work, workers: int, caps: Caps = CAPS, preload: Sequence[str] = ()) -> tuple[Pool, int]:
    """The pool to use, and how many studies it reads at a time: this machine's, or a cluster's where one is named."""
    if address := os.environ.get(ADDRESS, ""):
        pool = ClusterPool(work, address, caps)
        return pool, pool.workers
    return LocalPool(work, workers, caps, preload), workers
