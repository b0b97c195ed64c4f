"""Workers that hang, starve, crash or are killed: their study gets a code, the others their result, in order."""

import sys
import threading
import time
import types

import dicom_maker as maker
import psutil
import pytest
from chores import chore
from chores_of_a_stage import slow_or_good

from cmr_lib import params
from cmr_lib.clips import build
from cmr_lib.clips.resume import Kept
from cmr_lib.clips.work import Work, prepare_study
from cmr_lib.ingest.cluster import ADDRESS, ClusterPool, open_pool
from cmr_lib.ingest.rejects import Refused
from cmr_lib.ingest.workers import Caps, LocalPool, in_order

CAPS = Caps(seconds=3.0, memory_bytes=300 * 2**20)
KEY = b"a key for tests, 32 bytes or more"


def results(items, workers=2, caps=CAPS):
    with LocalPool(chore, workers, caps) as pool:
        return [answer.code if isinstance(answer, Refused) else answer for _, answer in in_order(pool, items, 4)]


@pytest.mark.parametrize("workers", [1, 3])
def test_results_are_in_order_and_bad_work_has_a_code_whatever_the_number_of_workers(workers):
    items = [1, "hang", 2, "eat", 3, "die", 4, "leave", 5, "busy", 6]
    wanted = [2, "E_TIMEOUT", 4, "E_MEMORY", 6, "E_WORKER_DIED", 8, "E_WORKER_DIED", 10, "E_TIMEOUT", 12]
    assert results(items, workers) == wanted


def test_a_worker_lives_on_until_it_is_spent_or_broken():
    assert len(set(results(["who"] * 4, workers=1))) == 1
    assert len(set(results(["who"] * 4, workers=1, caps=Caps(studies=2)))) == 2
    first, code, second = results(["who", "eat", "who"], workers=1)
    assert code == "E_MEMORY"
    assert first != second


def test_an_error_of_the_program_is_raised_and_not_taken_for_a_bad_study():
    with pytest.raises(ZeroDivisionError):
        results([1, "wrong"])


def test_no_process_thread_or_descriptor_is_left_behind():
    results([1, "die", 2])  # starts the fork server, which stays
    me = psutil.Process()
    before = (me.num_fds(), threading.active_count(), len(me.children(recursive=True)))
    for _ in range(3):
        results([1, "die", 2, "eat"])
    with LocalPool(chore, 2, CAPS) as pool:  # left while work is going on
        pool.submit("hang")
        pool.submit("hang")
        time.sleep(0.3)
    assert (me.num_fds(), threading.active_count(), len(me.children(recursive=True))) == before


def test_only_a_few_studies_are_in_work_at_a_time():
    taken = []

    def items():
        for number in range(20):
            taken.append(number)
            yield number

    with LocalPool(chore, 2, CAPS) as pool:
        walk = in_order(pool, items(), 4)
        assert next(walk) == (0, 0)
        assert len(taken) == 4
        assert [answer for _, answer in walk] == [2 * number for number in range(1, 20)]


def test_what_travels_between_processes_is_whole():
    import pickle

    refused = pickle.loads(pickle.dumps(Refused("E_GEOMETRY", "PixelSpacing")))
    assert (refused.code, refused.tag) == ("E_GEOMETRY", "PixelSpacing")


# --- in the stage -----------------------------------------------------------------------------------------------
def work(folder, **how):
    """The work of a stage on studies, kept in a folder of its own."""
    shape = params.ClipShape(size_px=32, spacing_mm=4.0, phases=6)
    return Work(KEY, shape, Kept(folder / "kept", KEY, "stamp"), **how)


def test_a_study_that_hangs_or_kills_its_worker_is_a_row_and_the_run_goes_on(tmp_path):
    paths = [tmp_path / name for name in ("a", "slow Secret^Name", "b", "crash Secret^Name", "c")]
    for path in paths:
        path.write_bytes(b"")
    found = list(build.read_all(paths, work(tmp_path, prepare=slow_or_good), 2, progress=False, caps=CAPS))
    assert [study.study_key for study in found if not study.rejects] == ["a", "b", "c"]
    rows = [row for study in found for row in study.rejects]
    assert [(row.level, row.code) for row in rows] == [("study", "E_TIMEOUT"), ("study", "E_WORKER_DIED")]
    assert all("Secret" not in str(row) for row in rows)
    for study in found:
        build.check_conservation({"found": 0, "accepted": 0, "rejected": 0} | study.counts)


# --- a cluster --------------------------------------------------------------------------------------------------
def test_a_cluster_without_its_library_is_a_clear_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.setenv(ADDRESS, "tcp://scheduler:8786")
    with pytest.raises(ModuleNotFoundError, match=f"{ADDRESS}.*distributed.*unset"):
        open_pool(chore, 2)


class KilledWorkerError(Exception):
    pass


class FakeClient:
    """Does at once, here, what a cluster would do elsewhere."""

    def __init__(self, address):
        self.address, self.closed = address, False

    def nthreads(self):
        return {"one": 2, "two": 3}

    def submit(self, function, packed, item, caps, *, pure):
        assert not pure
        return FakeFuture(item)

    def close(self):
        self.closed = True


class FakeFuture:
    def __init__(self, item):
        self.item = item

    def result(self):
        if self.item == "lost":
            raise KilledWorkerError
        return self.item * 2

    def release(self):
        pass


def test_a_named_scheduler_gets_the_work_and_a_lost_machine_is_a_row(monkeypatch):
    distributed = types.SimpleNamespace(Client=FakeClient, KilledWorker=KilledWorkerError)
    monkeypatch.setitem(sys.modules, "dask", types.SimpleNamespace(distributed=distributed))
    monkeypatch.setenv(ADDRESS, "tcp://scheduler:8786")
    pool, at_once = open_pool(chore, 2)
    assert isinstance(pool, ClusterPool)
    assert at_once == 5
    with pool:
        answers = [answer for _, answer in in_order(pool, [1, "lost", 3], 4)]
    assert answers[::2] == [2, 6]
    assert answers[1].code == "E_WORKER_DIED"


def test_a_real_cluster_gives_what_local_processes_give(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        monkeypatch.setenv(ADDRESS, cluster.scheduler_address)
        pool, at_once = open_pool(chore, 1, CAPS)
        with pool:
            answers = [answer for _, answer in in_order(pool, [1, "die", "hang", 3], 4)]
    assert at_once == 2
    assert [answer.code if isinstance(answer, Refused) else answer for answer in answers] == [
        *(2, "E_WORKER_DIED", "E_TIMEOUT", 6)
    ]


def test_a_study_is_read_the_same_in_a_worker_and_here(tmp_path):
    path = maker.write_zip(tmp_path / "a.zip", maker.study(3, 5))
    step = work(tmp_path)
    (there,) = build.read_all([path], step, 1, progress=False)
    here = prepare_study(path, step.key, step.shape)
    assert there.counts == here.counts
    assert [clip.frames.tobytes() for clip in there.clips] == [clip.frames.tobytes() for clip in here.clips]
