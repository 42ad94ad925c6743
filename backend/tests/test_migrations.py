"""Migrations: upgrade, downgrade, and equality with the tables of `store/schema.py`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from trackerapi_backend.instants import from_micros, to_micros, utc_now
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.recording import Report, record_reports
from trackerapi_backend.routes.serialization import (
    serialize_configuration,
    serialize_job,
)
from trackerapi_backend.store import StoreError
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store import configurations as stored_configs
from trackerapi_backend.store import events as stored_events
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store import share_links as stored_links
from trackerapi_backend.store.migrations import HEAD, current_revision, is_newer
from trackerapi_backend.store.schema import metadata
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.support.revisions import config_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    """A transaction on a new store with the latest schema."""
    with (
        closing(SqliteStore(tmp_path / "own.db", migrate=True)) as store,
        store.transaction() as db,
    ):
        yield db


def test_migrations_lead_to_the_tables_of_the_queries(db: Connection) -> None:
    """All revisions together create the tables and indexes of `store/schema.py`."""
    context = MigrationContext.configure(db, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []


def test_release_knows_exactly_its_revisions(db: Connection) -> None:
    """`is_newer()` is false for each revision of this release and true for the next."""
    revisions = ScriptDirectory.from_config(config_for(db)).walk_revisions()
    known = {each.revision for each in revisions}
    assert HEAD in known
    assert not [each for each in known if is_newer(each)]
    assert is_newer(f"{len(known) + 1:04}")


def test_migrations_go_down_and_up_again(db: Connection) -> None:
    """A downgrade to `base` leaves no table; an upgrade creates all tables again."""
    command.downgrade(config_for(db), "base")
    assert inspect(db).get_table_names() == ["alembic_version"]
    command.upgrade(config_for(db), "head")
    assert current_revision(db) == HEAD
    context = MigrationContext.configure(db, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []


OLD_JOB = 7319642871808001
NEW_KEY = {"key_hmac": b"k" * 32, "label": "New", "scopes": ["ingest"]}
OLD_ROWS = (
    "INSERT INTO providers (id, name, created_at) VALUES (1, 'One', 0)",
    "INSERT INTO customers (id, provider_id, created_at) VALUES (142, 1, 0)",
    "INSERT INTO api_keys (id, key_id, provider_id, label, key_hmac, scopes,"
    " created_at) VALUES (1, 'old', 1, 'Old', x'00', '[\"read\"]', 0)",
    "INSERT INTO job_configurations (id, provider_id, tag, name, revision,"
    " content_hash, document, created_at) VALUES (1, 1, 'j', 'J', 1, x'00',"
    ' \'{"step_configurations":[{"tag":"a","name":"A","points":1}]}\', 0)',
)
# State of schema 0001: a list of eight values for the step, and no `form`.
OLD_STATE = {
    "status": "running",
    "has_succeeded": False,
    "steps": {"a": ["running", 0.25, 5, 40, 1, True, 1000000, None]},
    "started_at": 1000000,
    "finished_at": None,
    "event_count": 2,
    "last_occurred_at": 2000000,
    "last_event_at": 2000000,
    "last_key": [2000000, "02" * 16],
}


@pytest.fixture
def old_database(tmp_path: Path) -> Path:
    """A database of schema 0001 with a key, and a job with two counting events."""
    path = tmp_path / "own.db"
    with closing(SqliteStore(path, migrate=True)) as store, store.transaction() as db:
        command.downgrade(config_for(db), "0001")
        for row in OLD_ROWS:
            db.exec_driver_sql(row)
        db.execute(
            text(
                "INSERT INTO jobs (id, provider_id, provider_job_id, customer_id,"
                " configuration_id, tag, name, finish, metadata, status, state,"
                " created_at) VALUES (:id, 1, 'old job', 142, 1, 'j', 'J', 'auto',"
                " '{}', 'running', :state, 0)"
            ),
            {"id": OLD_JOB, "state": json.dumps(OLD_STATE)},
        )
        db.execute(
            text(
                "INSERT INTO share_links (id, job_id, token_hash, created_at,"
                " expires_at) VALUES (1, :job, x'00', 0, 5)"
            ),
            {"job": OLD_JOB},
        )
        for number, (completed, total) in enumerate([(10, 40), (5, 40)], start=1):
            db.execute(
                text(
                    "INSERT INTO events (job_id, sequence, event_id, kind, tag,"
                    " event_metadata, occurred_at, received_at, completed, total,"
                    " retrying) VALUES (:job, :n, :id, 'progress', 'a', '{}', :at,"
                    " :at, :completed, :total, 0)"
                ),
                {
                    "job": OLD_JOB,
                    "n": number,
                    "id": bytes([number]) * 16,
                    "at": number * 1_000_000,
                    "completed": completed,
                    "total": total,
                },
            )
    return path


def test_upgrade_keeps_rows_of_an_older_release(old_database: Path) -> None:
    """An upgrade keeps the rows and creates a copy of the old database."""
    with closing(SqliteStore(old_database, migrate=True)) as store:
        key = store.read(lambda db: stored_keys.find_key(db, 1, "old"))
        events = store.read(lambda db: stored_events.all_events(db, OLD_JOB))
        profile = store.read(lambda db: stored_providers.get_profile(db, 1))
        link = store.read(lambda db: stored_links.find_share_link(db, 1, 1))
        config = store.read(lambda db: stored_configs.find_configuration(db, 1, 1))
    assert key is not None
    assert (key.label, key.key_hmac, key.scopes) == ("Old", b"\0", ["read"])
    assert key.job_id is None
    assert (profile.name, profile.display_name, profile.accent) == ("One", None, None)
    assert link is not None
    assert (link.expires_at, link.label, link.language, link.last_opened_at) == (
        *(from_micros(5), None),
        *(None, None),
    )
    assert config is not None
    stored = serialize_configuration(config)
    assert (stored["texts"], stored["silent_after"]) == ({}, None)
    assert [(row.completed, row.part) for row in events] == [(10, None), (5, None)]
    assert [(row.failed, row.max_attempts) for row in events] == [(None, None)] * 2
    copy = old_database.with_name(f"{old_database.name}.before-{HEAD}")
    with closing(sqlite3.connect(copy)) as before:
        assert before.execute("SELECT version_num FROM alembic_version").fetchall() == [
            ("0001",)
        ]


def test_state_of_an_older_release_is_folded_again(
    old_database: Path,
) -> None:
    """The next event of a job of an older release folds all events of the job again."""
    draft = read_event(
        {
            "provider_job_id": "old job",
            "kind": "progress",
            "tag": "a",
            "part": "x",
            "completed": 20,
        },
        now=to_micros(utc_now()),
    )
    with closing(SqliteStore(old_database, migrate=True)) as store:
        with store.transaction() as db:
            before = stored_jobs.find_job(db, 1, OLD_JOB)
            record_reports(db, [Report(1, [draft])])
            after = stored_jobs.find_job(db, 1, OLD_JOB)
    assert before is not None
    assert after is not None
    old, new = serialize_job(before), serialize_job(after)
    assert (old["title"], old["reference"]) == (None, None)
    later = ("units", "failed", "max_attempts")
    assert [old["steps"][0][name] for name in later] == [None] * 3
    assert (old["percent"], old["steps"][0]["completed"]) == (25.0, 5)
    assert (new["percent"], new["steps"][0]["completed"]) == (75.0, 30)
    assert (new["steps"][0]["total"], new["event_count"]) == (40, 3)


def test_downgrade_deletes_job_tokens(
    old_database: Path,
) -> None:
    """A downgrade deletes job tokens, which would be valid for all jobs."""
    with (
        closing(SqliteStore(old_database, migrate=True)) as store,
        store.transaction() as db,
    ):
        bound = {"key_id": "bound", "provider_id": 1, "job_id": OLD_JOB}
        stored_keys.create_key(db, {**NEW_KEY, **bound, "created_at": utc_now()})
        command.downgrade(config_for(db), "0001")
        left = db.execute(text("SELECT key_id FROM api_keys")).scalars().all()
    assert left == ["old"]


def test_store_rejects_another_schema(tmp_path: Path) -> None:
    """A file without the current schema is rejected; the error names `migrate`."""
    path = tmp_path / "own.db"
    with closing(SqliteStore(path, migrate=True)) as store, store.transaction() as db:
        command.downgrade(config_for(db), "base")
    with pytest.raises(StoreError, match="run `trackerapi-backend migrate`"):
        SqliteStore(path)
    SqliteStore(path, migrate=True).close()
    SqliteStore(path).close()
