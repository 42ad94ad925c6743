"""Threads that report on the same few jobs through faults, and a check of the store.

Each thread repeats a batch with the same event ids until a server acknowledges it, as
scripts with `trackerapi` do.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.instants import format_instant, utc_now
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import events as stored_events
from trackerapi_backend.store import jobs as stored_jobs

from backend.tests.support.histories import KINDS, assert_states_equal_refolds
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    STEPS,
    new_job,
    new_name,
    problem_name,
    send_lines,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from backend.tests.support.service import Service

    Event = dict[str, Any]

REPORTERS = 8
JOBS = 2
PAUSE_SECONDS = 0.05
_BATCH_SIZES = (1, 1, 5, 20, 60)
_LATE_SECONDS = (0, 0, 0, 1, 60, 3600)
_FILES = {"name": "Files", "audience": "customer"}


class HotJobs:
    """Jobs with many reporters, and the ids of all their events.

    Args:
        services: Servers of one database. A test may replace an item by the server
            that takes its place. Reporters try the next server after a failure.
        kinds: Members of the events to choose from.
    """

    def __init__(self, services: list[Service], kinds: Sequence[Event] = KINDS) -> None:
        self.services, self.kinds = services, kinds
        with services[0].client() as api:
            self.names = [_new_job(api) for _ in range(JOBS)]
        self.rejections: list[httpx.Response] = []
        self._sent: dict[str, set[str]] = {name: set() for name in self.names}
        self._acknowledged: dict[str, set[str]] = {name: set() for name in self.names}
        self._count = 0
        self._changed = threading.Condition()

    @property
    def count(self) -> int:
        """Number of acknowledged events."""
        return self._count

    def acknowledged(self, name: str) -> set[str]:
        """Return the ids of the acknowledged events of a job."""
        with self._changed:
            return set(self._acknowledged[name])

    def wait_for_events(self, count: int) -> None:
        """Wait until `count` more events are acknowledged."""
        with self._changed:
            enough = self._count + count
            assert self._changed.wait_for(
                lambda: self._count >= enough, MAX_WAIT_SECONDS
            )

    def begin(self, events: Sequence[Event]) -> None:
        """Record the ids of events that are about to be sent."""
        with self._changed:
            for event in events:
                self._sent[event["provider_job_id"]].add(event["event_id"])

    def acknowledge(self, events: Sequence[Event]) -> None:
        """Record the ids of acknowledged events."""
        with self._changed:
            for event in events:
                self._acknowledged[event["provider_job_id"]].add(event["event_id"])
            self._count += len(events)
            self._changed.notify_all()

    def assert_stored(self, folder: Path, url: str | None, *, ended: bool) -> None:
        """Check that the store has each acknowledged event once, and right states.

        Args:
            folder: Folder of the backend; with SQLite, no server may run.
            url: Address of a PostgreSQL database; None for SQLite.
            ended: Whether each event is acknowledged, so that the store has no other.
        """

        def check(db: Connection) -> None:
            with self._changed:
                sent = {name: set(ids) for name, ids in self._sent.items()}
            for name in self.names:
                stored = _stored_ids(db, name)
                lost = acknowledged[name] - stored.keys()
                doubled = [each for each, count in stored.items() if count > 1]
                foreign = stored.keys() - sent[name]
                found = (len(lost), len(doubled), len(foreign))
                assert found == (0, 0, 0), f"lost, doubled, foreign events: {found}"

        with self._changed:
            acknowledged = {name: set(ids) for name, ids in self._acknowledged.items()}
        if ended:
            assert acknowledged == self._sent
        with closing(open_store(storage_from({}, variables_of(folder, url)))) as store:
            store.read(check)
            assert_states_equal_refolds(store)

    @contextmanager
    def reporters(self) -> Iterator[None]:
        """Report from `REPORTERS` threads during the block.

        At the end of the block, each thread repeats its last batch until it is
        acknowledged. Raises the first error of a thread.
        """
        stopping = threading.Event()
        threads = [_Reporter(self, number, stopping) for number in range(REPORTERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join(MAX_WAIT_SECONDS)
        for thread in threads:
            assert not thread.is_alive(), "a thread still waits for an answer"
            if thread.error is not None:
                raise thread.error


class _Reporter(threading.Thread):
    """Thread that sends batches of random events; see `HotJobs.reporters()`."""

    def __init__(self, jobs: HotJobs, number: int, stopping: threading.Event) -> None:
        super().__init__()
        self._jobs, self._number, self._stopping = jobs, number, stopping
        self._random = random.Random(number)  # noqa: S311 -- events, no secret
        self._clients: dict[str, httpx.Client] = {}
        self._latest: list[Event] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Report until the end of the block, or until an unexpected answer."""
        try:
            while not self._stopping.is_set():
                self._report(self._new_batch())
        except BaseException as error:  # noqa: BLE001 -- raised in the test's thread
            self.error = error
        finally:
            for client in self._clients.values():
                client.close()

    def _new_batch(self) -> list[Event]:
        """Return new events; some batches repeat acknowledged events."""
        fresh = [self._new_event() for _ in range(self._random.choice(_BATCH_SIZES))]
        repeated = self._latest[-3:] if self._random.random() < 0.2 else []
        self._latest = [*fresh, *repeated]
        return self._latest

    def _new_event(self) -> Event:
        at = utc_now() - timedelta(seconds=self._random.choice(_LATE_SECONDS))
        event = {
            **self._random.choice(self._jobs.kinds),
            "provider_job_id": self._random.choice(self._jobs.names),
            "event_id": str(uuid4()),
            "occurred_at": format_instant(at),
            "event_metadata": {"Files": self._random.randrange(1000)},
        }
        return event | ({"message": "Read"} if self._random.random() < 0.1 else {})

    def _report(self, events: list[Event]) -> None:
        self._jobs.begin(events)
        until = time.monotonic() + MAX_WAIT_SECONDS
        while not self._is_acknowledged(events):
            assert time.monotonic() < until, "no server acknowledges the events"
            time.sleep(PAUSE_SECONDS)
        self._jobs.acknowledge(events)

    def _is_acknowledged(self, events: list[Event]) -> bool:
        """Send events once; return whether a server has acknowledged them."""
        services = self._jobs.services
        try:
            answer = self._send(services[self._number % len(services)], events)
        except httpx.TransportError:
            # The server is gone, maybe after it has stored the events.
            self._number += 1
            return False
        if answer.status_code == 503:
            assert problem_name(answer) == "unavailable"
            assert int(answer.headers["Retry-After"]) >= 1
            self._jobs.rejections.append(answer)
            return False
        assert answer.is_success, answer.text
        return True

    def _send(self, service: Service, events: list[Event]) -> httpx.Response:
        api = self._clients.get(service.base_url)
        if api is None:
            api = self._clients[service.base_url] = service.client()
        if len(events) == 1:
            answer = api.post("/events", json=events[0])
            if answer.is_success:
                assert answer.json()["event_id"] == events[0]["event_id"]
            return answer
        answer = send_lines(api, events)
        if answer.is_success:
            report = answer.json()
            assert report["rejected"] == []
            assert report["accepted"] + report["duplicates"] == len(events)
        return answer


def _new_job(api: httpx.Client) -> str:
    tag = new_name()
    steps = [{**step, "metadata_configurations": [_FILES]} for step in STEPS]
    configuration = {"tag": tag, "name": "Hot", "step_configurations": steps}
    job = new_job(api, tag=tag, configuration=configuration)
    return str(job["provider_job_id"])


def _stored_ids(db: Connection, name: str) -> Counter[str]:
    """Return how often the store has each event id of a job of provider 1."""
    job = stored_jobs.find_job_by_provider_job_id(db, 1, name)
    assert job is not None
    events = stored_events.all_events(db, job.id)
    return Counter(str(UUID(bytes=event.event_id)) for event in events)
