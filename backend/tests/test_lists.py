"""Lists: each list is read in order from an index, so no page is slow."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store import configurations, customers, jobs, share_links
from trackerapi_backend.store import events as stored_events
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.paging import MAX_WEIGHT, Span
from trackerapi_backend.store.schema import metadata
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.support.service import (
    new_job,
    new_name,
    pages_of,
    report,
    send_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import httpx
    from sqlalchemy import Connection

    Query = Callable[[Connection], object]

JOB_FILTERS: dict[str, Any] = {
    "id": 1,
    "provider_job_id": "x",
    "customer_id": 1,
    "tag": "t",
    "status": ["pending", "failed"],
    "created_since": utc_now() - timedelta(days=1),
}
UNIQUE_KEYS = ("jobs USING INTEGER PRIMARY KEY (rowid=?)", "provider_job_id=?")
SPANS = (Span(), Span(after=7))


def subsets(filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return every combination of filters, from none to all."""
    sizes = range(len(filters) + 1)
    some: Iterable[tuple[str, ...]] = chain.from_iterable(
        combinations(filters, size) for size in sizes
    )
    return ({name: filters[name] for name in names} for names in some)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """A store with one job that matches all filters."""
    folder: Path = tmp_path_factory.mktemp("lists")
    now = utc_now()
    with closing(SqliteStore(folder / "own.db", migrate=True)) as store:
        with store.transaction() as db:
            provider_id = stored_providers.create_provider(db, "One", now=now)
            customer_id = create_customer(db, provider_id)
            sent = {"provider_job_id": "x", "customer_id": customer_id, "tag": "t"}
            create_job(db, provider_id, sent, name_hmac=b"", now=now)
        yield store


def plans_of(store: SqliteStore, query: Query) -> list[str]:
    """Return the query plan of each statement of a query, step by step."""
    statements: list[tuple[str, Any]] = []

    def remember(*call: Any) -> None:
        statements.append((call[2], call[3]))

    def explained(db: Connection) -> list[str]:
        event.listen(db.engine, "before_cursor_execute", remember)
        try:
            query(db)
        finally:
            event.remove(db.engine, "before_cursor_execute", remember)
        return [
            row[-1]
            for statement, values in statements
            for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]

    return store.read(explained)


def lists() -> Iterator[tuple[str, Query]]:
    """Return every list of the API with every combination of its filters."""
    for span in SPANS:
        for filters in subsets(JOB_FILTERS):
            yield (
                f"jobs by {', '.join(filters) or 'nothing'}",
                lambda db, f=filters, s=span: jobs.list_jobs(db, 1, f, s),
            )
        for filters in subsets({"tag": "t", "version": "1.0.0", "ids": [1, 2]}):
            yield (
                f"configurations by {', '.join(filters) or 'nothing'}",
                lambda db, f=filters, s=span: configurations.list_configurations(
                    db, 1, f, s
                ),
            )
        yield "keys", lambda db, s=span: stored_keys.list_keys(db, 1, s)
        yield "links", lambda db, s=span: share_links.list_share_links(db, 1, s)
        yield "events", lambda db, s=span: stored_events.list_events(db, 1, s)
        for reference in (None, "r"):
            yield (
                f"customers by {reference}",
                lambda db, r=reference, s=span: customers.list_customers(db, 1, r, s),
            )


def is_costly(step: str) -> bool:
    """Return whether a step of a plan sorts rows or reads a whole table."""
    return "TEMP B-TREE" in step or step.split()[1] in {
        table for table in metadata.tables if step.startswith("SCAN")
    }


@pytest.mark.parametrize("few_jobs", [0, 400])
def test_every_list_is_read_in_order_from_an_index(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, few_jobs: int
) -> None:
    """No list sorts or scans a table, with any filters and any cursor."""
    monkeypatch.setattr(jobs, "MAX_JOBS_BY_ID", few_jobs)
    costly: list[str] = []
    for name, query in lists():
        plans = plans_of(store, query)
        assert plans, name
        # A plan with a unique key finds one row: sorting one row is not costly.
        if not any(key in plan for plan in plans for key in UNIQUE_KEYS):
            costly += [f"{name}: {step}" for step in plans if is_costly(step)]
    assert not costly, "\n".join(costly)


AFTER = (utc_now(), b"0" * 16)
QUERIES_OF_LATE_EVENTS: dict[str, Query] = {
    "ix_events_status": lambda db: stored_events.status_events(db, 1),
    "ix_events_progress of a step": lambda db: stored_events.find_next_progress(
        db, 1, "load", AFTER
    ),
    "ix_events_progress of a job": lambda db: stored_events.find_next_progress(
        db, 1, None, AFTER
    ),
    "ix_events_progress of all tags": lambda db: stored_events.list_progress_tags(
        db, 1
    ),
}


@pytest.mark.parametrize("name", QUERIES_OF_LATE_EVENTS)
def test_late_events_are_found_by_an_index(store: SqliteStore, name: str) -> None:
    """Each query of the fold after a late event seeks in its own partial index."""
    plans = plans_of(store, QUERIES_OF_LATE_EVENTS[name])
    seeks = [step for step in plans if "events" in step]
    assert seeks
    assert all(f"INDEX {name.split(maxsplit=1)[0]}" in step for step in seeks), plans
    assert not [step for step in plans if "TEMP B-TREE" in step]


def test_several_statuses_are_listed_as_one_list(api: httpx.Client) -> None:
    """A list of several statuses has each job once, newest first, over all pages."""
    tag = new_name()
    made = [new_job(api, tag=tag, configuration=_plain(tag)) for _ in range(7)]
    for job in made[::2]:
        report(api, job, kind="start")
    report(api, made[3], kind="cancel")
    query: dict[str, Any] = {"tag": tag, "status": ["running", "pending"], "limit": 2}
    pages = [answer.json()["items"] for answer in pages_of(api, "/jobs", **query)]
    assert max(map(len, pages)) <= query["limit"]
    seen = [item["id"] for page in pages for item in page]
    expected = [job["id"] for job in reversed(made) if job is not made[3]]
    assert seen == expected


def test_status_named_a_thousand_times_is_one_filter(api: httpx.Client) -> None:
    """A request that repeats a status a thousand times gets 200."""
    answer = api.get("/jobs", params={"status": ["pending"] * 1000, "limit": 1})
    assert answer.status_code == 200, answer.text


def _plain(tag: str) -> dict[str, Any]:
    step = {"tag": "only", "name": "Only", "points": 1}
    return {"tag": tag, "name": "Plain", "step_configurations": [step]}


def test_page_of_long_events_is_bounded_in_bytes(api: httpx.Client) -> None:
    """A page of 200 events with long texts ends early; all pages have all events."""
    job = new_job(api)
    line = {"provider_job_id": job["provider_job_id"], "kind": "info"}
    texts = {"detail": "x" * 16_000, "message": "y" * 2_000}
    long = [{**line, **texts, "event_metadata": {"k": "z" * 8_000}}] * 25
    for _ in range(16):
        assert send_lines(api, long).json()["accepted"] == len(long)
    pages = list(pages_of(api, f"/jobs/{job['id']}/events", limit=200))
    lengths = [len(answer.json()["items"]) for answer in pages]
    assert sum(lengths) == 400
    assert len(lengths) > 2
    assert max(len(answer.content) for answer in pages) < 2 * MAX_WEIGHT


def test_page_of_jobs_with_many_steps_is_bounded_in_bytes(api: httpx.Client) -> None:
    """A page of 40 jobs with 500 steps each ends early; all pages have all jobs."""
    tag = new_name()
    steps = [{"tag": f"s{n}", "name": f"Step {n}", "points": 1} for n in range(500)]
    document = {"tag": tag, "name": "Import", "step_configurations": steps}
    for _ in range(40):
        new_job(api, tag=tag, configuration=document)
    pages = list(pages_of(api, "/jobs", tag=tag, limit=200))
    assert max(len(answer.content) for answer in pages) < 2 * MAX_WEIGHT
    lengths = [len(answer.json()["items"]) for answer in pages]
    assert sum(lengths) == 40
    assert len(lengths) > 1
