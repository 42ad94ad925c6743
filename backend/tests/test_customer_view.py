"""Customer view: latest metadata values and messages for any set of events."""

from __future__ import annotations

import random
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
import trackerapi_backend.store.migrations
from alembic import command
from alembic.config import Config
from trackerapi_backend.instants import to_micros, utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.recording import Report, record_reports
from trackerapi_backend.store import customer_view, customers
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.postgres import PostgresStore
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.support.pages import new_link
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    Service,
    first_line,
    new_job,
    new_name,
    prepare,
    report,
    send_lines,
    start_command,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection
    from trackerapi_backend.jobs.new_event import NewEvent
    from trackerapi_backend.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
FILES = {"name": "Files", "kind": "number", "audience": "customer"}
NODE = {"name": "Node", "kind": "text"}
STEPS = [
    {
        "tag": "load",
        "name": "Load",
        "points": 1,
        "metadata_configurations": [FILES, NODE],
    },
    {"tag": "store", "name": "Store", "points": 1, "metadata_configurations": [FILES]},
    {"tag": "clean", "name": "Clean", "points": 1},
]


def configuration() -> dict[str, Any]:
    """Return a configuration with metadata for the customer in two steps."""
    return {"tag": new_name(), "name": "Import", "step_configurations": STEPS}


def events() -> list[dict[str, Any]]:
    """Return 30 events in the order of time, three events in each second."""
    return [
        {
            "event_id": str(UUID(int=number)),
            "kind": "info",
            "tag": ("load", "Store", "clean", "unknown", None)[number % 5],
            # Three events share each second, so that their ids determine the order.
            "occurred_at": (START + timedelta(seconds=number // 3)).isoformat(),
            "event_metadata": {"Files": number, "Node": "canary"}
            if number % 4
            else {"Files": None},
            "message": f"Message {number}." if number % 2 else None,
        }
        for number in range(30)
    ]


@pytest.fixture
def db(tmp_path: Path, database_url: str | None) -> Iterator[Connection]:
    """A transaction on a new store with one provider and one customer."""
    store: Store = (
        SqliteStore(tmp_path / "own.db", migrate=True)
        if database_url is None
        else PostgresStore(database_url, migrate=True)
    )
    with closing(store), store.transaction() as db:
        provider_id = stored_providers.create_provider(db, "One", now=utc_now())
        values = {"id": CUSTOMER, "provider_id": provider_id, "created_at": utc_now()}
        customers.create_customer(db, values, caller_key_id=None)
        yield db


def record(db: Connection, batches: Sequence[Sequence[dict[str, Any]]]) -> int:
    """Record batches of events of a new job; return its id."""
    job_id, name = create(db)
    for batch in batches:
        record_reports(db, [Report(1, read(batch, name))])
    return job_id


def create(db: Connection) -> tuple[int, str]:
    """Create a job; return its id and `provider_job_id`."""
    document = configuration()
    sent: Any = {
        "provider_job_id": new_name(),
        "customer_id": CUSTOMER,
        "tag": document["tag"],
        "configuration": document,
    }
    job = create_job(db, 1, sent, name_hmac=b"", now=utc_now()).job
    return job.id, sent["provider_job_id"]


def read(batch: Sequence[dict[str, Any]], name: str) -> list[NewEvent]:
    """Return the events of a batch of a job."""
    drafts: list[Any] = [{**event, "provider_job_id": name} for event in batch]
    return [read_event(draft, now=to_micros(utc_now())) for draft in drafts]


def find_view(db: Connection, job_id: int) -> tuple[Any, list[str]]:
    """Return the metadata values and the messages of a job for its customer."""
    messages = [row.message for row in customer_view.find_messages(db, job_id)]
    return customer_view.find_values(db, job_id), messages


@pytest.mark.parametrize("seed", range(10))
def test_view_depends_on_the_set_of_events_alone(db: Connection, seed: int) -> None:
    """Order, batches and repeats of arrival do not change the view of the customer."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    shuffled = events() + events()[::7]
    chance.shuffle(shuffled)
    cuts = sorted(chance.sample(range(len(shuffled)), seed))
    batches = [
        shuffled[begin:end]
        for begin, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)
    ]

    values, messages = find_view(db, record(db, batches))

    assert values == {"load": {"Files": 25}, "store": {"Files": 26}}
    assert messages == [f"Message {n}." for n in (29, 27, 25, 23, 21)]


def test_jobs_of_one_group_keep_views_of_their_own(db: Connection) -> None:
    """Each job has its own latest values and messages if one group has their events."""
    jobs = [create(db) for _ in range(3)]
    for some in (events()[:20], events()[20:]):
        record_reports(db, [Report(1, read(some, name)) for _id, name in jobs[:2]])

    for job_id, _name in jobs[:2]:
        values, messages = find_view(db, job_id)
        assert values == {"load": {"Files": 25}, "store": {"Files": 26}}
        assert messages == [f"Message {n}." for n in (29, 27, 25, 23, 21)]
    assert find_view(db, jobs[2][0]) == ({}, [])


def test_null_hides_the_value_before_it(db: Connection) -> None:
    """If the latest value of a key is null, the view has null for the key."""
    of_step = {"tag": "load", "kind": "info", "occurred_at": START.isoformat()}
    batch = [
        {**of_step, "event_id": str(UUID(int=n)), "event_metadata": {"Files": value}}
        for n, value in enumerate([1, None])
    ]

    assert find_view(db, record(db, [batch]))[0] == {"load": {"Files": None}}


def test_upgrade_fills_the_view_from_stored_events(
    db: Connection,
) -> None:
    """The upgrade from schema 0003 fills the same view that recording had stored."""
    job_ids = [record(db, [events()]), record(db, []), record(db, [events()[:4]])]
    before = [find_view(db, job_id) for job_id in job_ids]
    config = Config()
    [folder] = trackerapi_backend.store.migrations.__path__
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = db

    command.downgrade(config, "0003")
    command.upgrade(config, "head")

    assert [find_view(db, job_id) for job_id in job_ids] == before
    assert before[0][0] == {"load": {"Files": 25}, "store": {"Files": 26}}
    assert before[1] == ({}, [])


def test_value_stays_on_the_page_after_many_other_events(api: httpx.Client) -> None:
    """A value stays on the page after 2,700 events without a value for its key."""
    document = configuration()
    job = new_job(api, tag=document["tag"], configuration=document)
    url = new_link(api, job)["url"]
    report(api, job, kind="info", tag="load", event_metadata={"Files": 1234567})
    report(api, job, kind="info", message="It has begun.")
    others = {
        "provider_job_id": job["provider_job_id"],
        "kind": "info",
        "tag": "load",
        "event_metadata": {"Node": "a", "Other": 1},
    }
    for _ in range(3):
        assert send_lines(api, [others] * 900).status_code == 200

    page = httpx.get(url, timeout=MAX_WAIT_SECONDS).text

    assert "1,234,567" in page
    assert "It has begun." in page


def test_page_reads_no_events(tmp_path: Path) -> None:
    """The page is the same after all events were deleted."""
    keys, path = prepare(tmp_path), tmp_path / "backend.db"
    database = {"TRACKERAPI_BACKEND_DATABASE": str(path)}
    document, pages = configuration(), []
    address = ""
    for _ in range(2):
        with start_command("serve", "--port", "0", environment=database) as process:
            base_url = first_line(process).split()[-1]
            service = Service(base_url=base_url, keys=keys, pid=process.pid)
            if not address:
                with service.client() as api:
                    job = new_job(api, tag=document["tag"], configuration=document)
                    metadata = {"Files": 7, "Node": "canary"}
                    report(
                        api,
                        job,
                        kind="step",
                        tag="load",
                        event_metadata=metadata,
                        message="All is loaded.",
                    )
                    address = new_link(api, job)["url"].removeprefix(base_url)
            page = httpx.get(base_url + address, timeout=MAX_WAIT_SECONDS).text
            # The page shows its own address, and the second server has another port.
            pages.append(page.replace(base_url.removeprefix("http://"), ""))
            process.terminate()
            process.wait(timeout=MAX_WAIT_SECONDS)
        with closing(sqlite3.connect(path)) as file, file:
            assert file.execute("DELETE FROM events").rowcount in (1, 0)

    assert "All is loaded." in pages[0]
    assert "canary" not in pages[0]
    # The age of the newest report changes from request to request.
    ages = re.compile("<time.*?</time>")
    assert ages.sub("", pages[1]) == ages.sub("", pages[0])
