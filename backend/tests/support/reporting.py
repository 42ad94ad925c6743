"""Threads that report to a backend until it fails, and a check of the stored events."""

from __future__ import annotations

import random
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    all_items,
    new_job,
    send_lines,
    serve_existing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONNECTIONS = 16
BATCH_SIZES = (1, 50, 300, 900, 900)
ENOUGH_EVENTS = 200
ENOUGH_REJECTIONS = 2


class ReportingThread(threading.Thread):
    """Thread that sends batches of many sizes for a job of its own.

    Attributes:
        acknowledged: Ids of the acknowledged events.
        enough: Set once `ENOUGH_EVENTS` are acknowledged.
        refused: Responses to rejected batches, except those that found a full queue.
    """

    def __init__(self, api: httpx.Client, number: int) -> None:
        super().__init__()
        self._api = api
        self._random = random.Random(number)  # noqa: S311 -- sizes, no secret
        self.job = new_job(self._api)
        self.acknowledged: set[str] = set()
        self.enough = threading.Event()
        self.refused: list[httpx.Response] = []

    def run(self) -> None:
        """Send until the server is gone or has rejected `ENOUGH_REJECTIONS` batches."""
        while len(self.refused) < ENOUGH_REJECTIONS:
            try:
                self.send(self._random.choice(BATCH_SIZES))
            except httpx.TransportError:
                return

    def send(self, size: int) -> None:
        """Send one batch; record its acknowledged ids or its response."""
        about = {"provider_job_id": self.job["provider_job_id"], "kind": "info"}
        ids = [str(uuid4()) for _ in range(size)]
        lines = [about | {"event_id": each, "detail": "x" * 900} for each in ids]
        answer = send_lines(self._api, lines)
        # A full queue is no failure of the store: the next batch may be accepted.
        if answer.status_code == 503 and "Too many" in answer.json()["detail"]:
            return
        if answer.status_code != 200:
            self.refused.append(answer)
            return
        assert answer.json()["accepted"] == size
        self.acknowledged.update(ids)
        if len(self.acknowledged) >= ENOUGH_EVENTS:
            self.enough.set()


@contextmanager
def report_from_threads(service: Service) -> Iterator[list[ReportingThread]]:
    """Send on many connections during the block; wait for all threads at its end."""
    with ExitStack() as stack:
        threads = [
            ReportingThread(stack.enter_context(service.client()), number)
            for number in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
            stack.callback(thread.join, timeout=MAX_WAIT_SECONDS)
        yield threads


def stored_ids(api: httpx.Client, job: dict[str, Any]) -> list[str]:
    """Return the ids of all events of a job."""
    return [item["event_id"] for item in all_items(api, f"/jobs/{job['id']}/events")]


def assert_all_stored(service: Service, threads: list[ReportingThread]) -> None:
    """Check that the server has each acknowledged event once."""
    assert sum(len(thread.acknowledged) for thread in threads) >= ENOUGH_EVENTS
    with service.client() as api:
        for thread in threads:
            stored = stored_ids(api, thread.job)
            counted = api.get(f"/jobs/{thread.job['id']}").json()["event_count"]
            assert thread.acknowledged <= set(stored)
            assert counted == len(stored) == len(set(stored))


def kill_while_reporting(
    folder: Path, keys: dict[str, str], url: str | None = None
) -> list[ReportingThread]:
    """Kill a server while it receives batches; return the sending threads."""
    with serve_existing(folder, keys, url) as (process, service):
        with report_from_threads(service) as threads:
            for thread in threads:
                assert thread.enough.wait(timeout=MAX_WAIT_SECONDS)
            process.kill()
        process.wait()
    return threads
