"""Workers of `multiprocessing` and `concurrent.futures`."""

import textwrap
from typing import Final

import pytest

from tests.support.backend_jobs import stored
from tests.support.scripts import Scripts
from trackerapi import TrackerApi

WORKERS: Final = """\
import multiprocessing

def own_tracker(count):
    tracker = TrackerApi()
    send(tracker.job(JOB), count)

def own_tracker_and_no_end(count):
    own_tracker(count)
    os._exit(0)

def inherited(count):
    send(job, count)

"""


@pytest.mark.parametrize(
    ("method", "work"),
    [
        ("fork", "inherited"),
        ("fork", "own_tracker"),
        ("fork", "own_tracker_and_no_end"),
        ("spawn", "own_tracker"),
        ("spawn", "own_tracker_and_no_end"),
        ("forkserver", "own_tracker"),
        ("forkserver", "own_tracker_and_no_end"),
    ],
)
def test_workers_of_multiprocessing_lose_and_double_nothing(
    scripts: Scripts, method: str, work: str
) -> None:
    """Events of workers are stored once, for each start method and each exit."""
    script = WORKERS + textwrap.dedent(f"""\
        if __name__ == "__main__":
            tracker = TrackerApi()
            job = tracker.job(JOB)
            send(job, 10)
            context = multiprocessing.get_context("{method}")
            workers = [context.Process(target={work}, args=(20,)) for _ in range(2)]
            for worker in workers:
                worker.start()
            send(job, 10)
            for worker in workers:
                worker.join()
            print([worker.exitcode for worker in workers])
            print(tracker.flush(timeout=30).waiting)
        """)
    output, errors = scripts.run(script)

    assert (output, errors) == ("[0, 0]\n0\n", "")
    assert len(scripts.returned) == 60
    scripts.assert_all_arrive_once()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_of_multiprocessing_delivers_before_it_ends(
    scripts: Scripts, method: str
) -> None:
    """A worker delivers its events before it ends, without `atexit` handlers."""
    script = WORKERS + textwrap.dedent(f"""\
        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            worker = context.Process(target=own_tracker, args=(20,))
            worker.start()
            worker.join()
        """)
    output, errors = scripts.run(script)

    assert (output, errors) == ("", "")
    with TrackerApi(scripts.backend.api_key, scripts.backend.base_url) as asking:
        arrived = [event.event_id for event in stored(asking, scripts.job_id)]
    assert arrived == scripts.returned


def test_pool_with_terminated_workers_loses_nothing(scripts: Scripts) -> None:
    """Events of pool workers that are killed at the end of the pool are delivered."""
    script = WORKERS + textwrap.dedent("""\
        if __name__ == "__main__":
            tracker = TrackerApi()
            job = tracker.job(JOB)
            send(job)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                pool.map(inherited, [5] * 10)
            print(tracker.flush(timeout=30).waiting)
        """)
    output, errors = scripts.run(script)

    assert (output, errors) == ("0\n", "")
    assert len(scripts.returned) == 51
    scripts.assert_all_arrive_once()


@pytest.mark.parametrize(
    ("executor", "work"),
    [
        ("ThreadPoolExecutor", "inherited"),
        ("ProcessPoolExecutor", "inherited"),
        ("ProcessPoolExecutor", "own_tracker"),
    ],
)
def test_pools_of_concurrent_futures_lose_and_double_nothing(
    scripts: Scripts, executor: str, work: str
) -> None:
    """Events of tasks in an executor are stored once each, without a flush."""
    script = WORKERS + textwrap.dedent(f"""\
        from concurrent.futures import {executor}

        if __name__ == "__main__":
            tracker = TrackerApi()
            job = tracker.job(JOB)
            send(job)
            with {executor}(2) as pool:
                list(pool.map({work}, [5] * 10))
        """)
    output, errors = scripts.run(script)

    assert (output, errors) == ("", "")
    assert len(scripts.returned) == 51
    scripts.assert_all_arrive_once()
