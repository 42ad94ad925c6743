"""Worker thread that writes records for event loops."""

import threading
from typing import Final

import pytest

from tests.support.memory_backend import PATIENCE_SECONDS
from trackerapi.process import worker as module
from trackerapi.process.worker import Worker

NAME: Final = "trackerapi-worker"


def worker_threads() -> list[threading.Thread]:
    """Return the live threads of workers."""
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_work_is_done_in_order_by_one_thread() -> None:
    """One thread does the posted work in the order of the calls."""
    worker, done = Worker(), list[tuple[int, int]]()

    for number in range(1000):
        worker.post(lambda n=number: done.append((n, threading.get_ident())))
    worker.drain(PATIENCE_SECONDS)

    assert [number for number, _ in done] == list(range(1000))
    assert len({thread for _, thread in done} - {threading.get_ident()}) == 1


def test_worker_without_work_starts_no_thread() -> None:
    """Neither the constructor nor `drain()` without work starts a thread."""
    before = worker_threads()

    Worker().drain(PATIENCE_SECONDS)

    assert worker_threads() == before


def test_ended_thread_is_followed_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Work posted while an idle thread ends is done in order by the next thread."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    worker, done = Worker(), list[int]()

    for number in range(300):
        worker.post(lambda n=number: done.append(n))
        for thread in worker_threads():
            thread.join(0.001 * (number % 3))
    worker.drain(PATIENCE_SECONDS)

    assert done == list(range(300))


def test_failed_work_is_followed_by_the_next() -> None:
    """After work that raised an exception, the next work is done."""
    worker, is_done = Worker(), threading.Event()

    worker.post(lambda: 1 // 0)
    worker.post(is_done.set)

    assert is_done.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_work_that_ends_its_thread_is_followed_by_the_next(
    error: BaseException,
) -> None:
    """After work that raised SystemExit or KeyboardInterrupt, the next work is done."""
    worker, is_done = Worker(), threading.Event()

    def leave() -> None:
        raise error

    worker.post(leave)
    worker.post(is_done.set)

    assert is_done.wait(PATIENCE_SECONDS)


def test_work_may_wait_for_its_own_worker() -> None:
    """Work that calls `drain()` of its own worker does not deadlock."""
    worker, is_done = Worker(), threading.Event()

    worker.post(lambda: worker.drain(PATIENCE_SECONDS))
    worker.post(is_done.set)

    assert is_done.wait(PATIENCE_SECONDS / 2)


def test_work_is_done_at_once_where_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If no thread can start, `post()` does the work in the calling thread."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    worker, done = Worker(), list[int]()

    worker.post(lambda: done.append(1))

    assert done == [1]


def test_work_goes_on_after_ctrl_c_at_the_start_of_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After Ctrl-C at the start of the thread, the next `post()` does all work."""
    start = threading.Thread.start

    def interrupt(_: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupt)
    worker, done = Worker(), list[int]()
    with pytest.raises(KeyboardInterrupt):
        worker.post(lambda: done.append(1))

    worker.post(lambda: done.append(2))
    worker.drain(PATIENCE_SECONDS)

    assert done == [1, 2]
