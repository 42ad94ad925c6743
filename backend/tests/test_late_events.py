"""Late events on both engines: the stored state is the state of all stored events."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.instants import format_instant, to_micros, utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.jobs.recording import Report, record_reports
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import providers as stored_providers

from backend.tests.support.histories import (
    START,
    assert_states_equal_refolds,
    random_history,
)
from backend.tests.support.service import STEPS, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trackerapi_backend.store import Store


@pytest.fixture
def store(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """A new store with a provider, on each engine."""
    storage = storage_from({}, variables_of(tmp_path, database_url))
    with closing(open_store(storage, migrate=True)) as store:
        with store.transaction() as db:
            stored_providers.create_provider(db, "One", now=utc_now())
            create_customer(db, 1, 142)
        yield store


def new_job(store: Store, name: str, *, has_configuration: bool = True) -> None:
    """Create a job of the provider."""
    document: Any = {"provider_job_id": name, "customer_id": 142, "tag": "import"}
    if has_configuration:
        steps = {"tag": "import", "name": "Import", "step_configurations": STEPS}
        document["configuration"] = steps
    with store.transaction() as db:
        create_job(db, 1, document, name_hmac=b"", now=utc_now())


def record(
    store: Store,
    name: str,
    documents: Sequence[dict[str, Any]],
    *,
    is_interrupted: bool = False,
) -> None:
    """Record events of a job in one transaction, which an exception may interrupt."""
    events = [
        read_event({"provider_job_id": name, **document}, now=to_micros(utc_now()))  # type: ignore[typeddict-item]
        for document in documents
    ]
    with store.transaction() as db:
        record_reports(db, [Report(1, events)])
        if is_interrupted:
            raise InterruptedError


@pytest.mark.parametrize("has_configuration", [True, False])
def test_state_equals_a_fold_of_all_events(
    store: Store, *, has_configuration: bool
) -> None:
    """After each batch in random order, a job has the state of all its events."""
    for seed in range(12):
        name = f"job-{seed}"
        new_job(store, name, has_configuration=has_configuration)
        events = random_history(seed, 60)
        for first in range(0, len(events), 3):
            record(store, name, events[first : first + 3])
            assert_states_equal_refolds(store, provider_job_id=name)


def test_state_equals_a_fold_after_transactions_that_were_rolled_back(
    store: Store,
) -> None:
    """A batch that was rolled back and is recorded again counts once."""
    new_job(store, "job")
    events = random_history(7, 60)
    for first in range(0, len(events), 3):
        with pytest.raises(InterruptedError):
            record(store, "job", events[first : first + 3], is_interrupted=True)
        record(store, "job", events[first : first + 3])
        assert_states_equal_refolds(store)


def test_late_error_reads_few_of_many_events(store: Store) -> None:
    """A late error among 3,000 progress events needs fewer than 20 queries."""
    new_job(store, "job")
    progress = [
        {
            "kind": "progress",
            "tag": "load",
            "completed": second,
            "total": 3000,
            "occurred_at": format_instant(START + timedelta(seconds=second)),
        }
        for second in range(3000)
    ]
    record(store, "job", progress)
    statements: list[str] = []
    late = {
        "kind": "error",
        "tag": "load",
        "retrying": True,
        "occurred_at": format_instant(START + timedelta(seconds=10.5)),
    }
    with store.transaction() as db:
        event.listen(
            db.engine,
            "before_cursor_execute",
            lambda *call: statements.append(call[2]),
        )
    record(store, "job", [late])
    read = [text for text in statements if "FROM events" in text]
    assert 0 < len(read) < 20
    assert not [text for text in read if "ORDER BY events.sequence" in text]
    assert_states_equal_refolds(store)
