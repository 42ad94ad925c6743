"""Streams across server processes on one PostgreSQL database."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from backend.tests.support.pages import new_link
from backend.tests.support.postgres import new_database, postgres_server
from backend.tests.support.servers import Servers
from backend.tests.support.service import (
    command_here,
    new_job,
    new_name,
    report,
    send_lines,
    variables_of,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from backend.tests.support.streams import Stream
    from scripts.postgres_server import PostgresServer

NO_REREADS = (
    "from trackerapi_backend.live import hub\n"
    "hub.REREAD_SECONDS = hub.DEAF_REREAD_SECONDS = 3600.0\n"
)
NO_HEARTBEATS = (
    "from trackerapi_backend.live import stream\nstream.HEARTBEAT_SECONDS = 900.0\n"
)
FREQUENT_REREADS = "from trackerapi_backend.live import hub\nhub.REREAD_SECONDS = 0.2\n"
SLOW_RETRIES = (
    "from trackerapi_backend.store import postgres_channel\n"
    "postgres_channel.RETRY_SECONDS = 3.0\n"
)
DEAF = (
    "import psycopg\n"
    "from trackerapi_backend.live import hub\n"
    "from trackerapi_backend.store.postgres_channel import PostgresChannel\n"
    "def fail(self, connection):\n"
    "    raise psycopg.OperationalError('no LISTEN here')\n"
    "PostgresChannel._begin = fail\n"
    "hub.REREAD_SECONDS, hub.DEAF_REREAD_SECONDS = 3600.0, 0.2\n"
)


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    """Address of a new database."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    with postgres_server() as server:
        yield server


@contextmanager
def followed_job(
    folder: Path, url: str, prelude: str = NO_REREADS
) -> Iterator[tuple[httpx.Client, dict[str, Any], Stream]]:
    """Yield a client of one process, a new job, and its stream from another process."""
    with closing(Servers(folder, url, count=2, prelude=prelude)) as servers:
        first, second = servers.services
        with first.client() as api, second.client() as other:
            job = new_job(api)
            with open_stream(other, f"/jobs/{job['id']}/stream") as stream:
                assert stream.message().id == "1"
                yield api, job, stream


@pytest.mark.parametrize(
    "prelude", [NO_REREADS, DEAF], ids=["LISTEN works", "LISTEN fails"]
)
def test_viewer_of_one_process_follows_reports_to_another(
    tmp_path: Path, url: str, prelude: str
) -> None:
    """A viewer gets growing versions up to the newest, even if LISTEN fails."""
    with followed_job(tmp_path, url, prelude) as (api, job, stream):
        report(api, job, kind="start")
        assert stream.ids_to(2) == [2]
        event = {"provider_job_id": job["provider_job_id"], "kind": "info"}
        for _ in range(20):
            assert send_lines(api, [event] * 5).json()["accepted"] == 5
        versions = stream.ids_to(102)
        assert versions == sorted(set(versions))


def test_open_pages_follow_profile_and_texts(tmp_path: Path, url: str) -> None:
    """Pages of each process show a change of profile or texts, also by a command."""
    tag = new_name()
    steps = [{"tag": "load", "name": "Load", "points": 1}]
    document = {"tag": tag, "name": "Import", "step_configurations": steps}

    def named(name: str) -> dict[str, Any]:
        return document | {"texts": {"en": {"name": name}}}

    with (
        closing(Servers(tmp_path, url, count=2, prelude=NO_REREADS)) as servers,
        ExitStack() as stack,
    ):
        api = stack.enter_context(servers.services[0].client())
        job = new_job(api, tag=tag, configuration=document)
        path = f"{urlsplit(new_link(api, job)['url']).path}/stream"
        streams = []
        for service in servers.services:
            reader = stack.enter_context(service.client(None))
            streams.append(stack.enter_context(open_stream(reader, path)))

        def titles() -> list[str]:
            return [stream.message().data["title"] for stream in streams]

        assert titles() == ["0 % · Import"] * 2
        api.patch("/provider-profile", json={"display_name": "Northwind"})
        for stream in streams:
            assert stream.message().data["parts"]["provider"] == "Northwind"
        change = ("provider", "set", "--provider", "One", "--display-name", "Southwind")
        done = command_here(*change, environment=variables_of(tmp_path, url))
        assert done.returncode == 0, done.stderr
        for stream in streams:
            assert stream.message().data["parts"]["provider"] == "Southwind"
        api.post("/job_configurations", json=named("Reading"))
        assert titles() == ["0 % · Reading"] * 2
        new_job(api, tag=tag, configuration=named("Reception"))
        assert titles() == ["0 % · Reception"] * 2


@pytest.mark.parametrize("by_command", [False, True])
def test_expiry_by_another_process_ends_streams(
    tmp_path: Path, url: str, *, by_command: bool
) -> None:
    """A stream ends once another process, or a command, expires its key or token."""
    with (
        closing(Servers(tmp_path, url, count=2, prelude=NO_HEARTBEATS)) as servers,
        ExitStack() as stack,
    ):
        api = stack.enter_context(servers.services[0].client())
        job = new_job(api)
        made = api.post("/api-keys", json={"label": "k", "scopes": ["read"]}).json()
        token = api.post(f"/jobs/{job['id']}/tokens", json={}).json()
        keys = [made["api_key"], token["token"]]
        streams = []
        for key in keys:
            reader = stack.enter_context(servers.services[1].client(None))
            reader.headers["X-API-Key"] = key
            stream = open_stream(reader, f"/jobs/{job['id']}/stream")
            streams.append(stack.enter_context(stream))
            streams[-1].message()
        for key in keys:
            key_id = key.split("_")[1]
            if by_command:
                variables = variables_of(tmp_path, url)
                done = command_here("key", "expire", key_id, environment=variables)
                assert done.returncode == 0, done.stderr
            else:
                assert api.post(f"/api-keys/{key_id}/expire").is_success
        for stream in streams:
            assert list(stream.messages()) == []


def test_revocation_by_another_process_ends_pages(tmp_path: Path, url: str) -> None:
    """An open page ends once another process revokes its share link."""
    with (
        closing(Servers(tmp_path, url, count=2, prelude=NO_HEARTBEATS)) as servers,
        servers.services[0].client() as api,
        servers.services[1].client(None) as reader,
    ):
        link = new_link(api, new_job(api))
        path = f"{urlsplit(link['url']).path}/stream"
        with open_stream(reader, path) as stream:
            stream.message()
            revoke = f"/share-links/{link['share_link']['id']}/revoke"
            assert api.post(revoke).is_success
            assert list(stream.messages()) == []


def test_expiry_during_a_broken_connection_ends_streams(
    tmp_path: Path, url: str
) -> None:
    """A stream ends even if its process missed the message about the expired key."""
    prelude = NO_HEARTBEATS + SLOW_RETRIES
    with (
        closing(Servers(tmp_path, url, count=2, prelude=prelude)) as servers,
        servers.services[0].client() as api,
        servers.services[1].client("read") as reader,
    ):
        job = new_job(api)
        with open_stream(reader, f"/jobs/{job['id']}/stream") as stream:
            stream.message()
            with psycopg.connect(url, autocommit=True) as db:
                db.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database()"
                    " AND query ~ '^(LISTEN|SELECT pg_notify|SELECT 1$)'"
                    " AND pid <> pg_backend_pid()"
                )
            key_id = reader.headers["X-API-Key"].split("_")[1]
            assert api.post(f"/api-keys/{key_id}/expire").is_success
            assert list(stream.messages()) == []


@pytest.mark.parametrize("kind", ["job", "customer"])
def test_erasure_by_a_command_ends_streams(tmp_path: Path, url: str, kind: str) -> None:
    """A stream ends once a command erases its job, without a regular read."""
    with followed_job(tmp_path, url) as (_api, job, stream):
        erased = {"job": job["id"], "customer": job["customer_id"]}[kind]
        erase = (kind, "erase", "--yes", str(erased))
        done = command_here(*erase, environment=variables_of(tmp_path, url))
        assert done.returncode == 0, done.stderr
        assert list(stream.messages()) == []


def test_deleted_job_ends_its_streams(tmp_path: Path, url: str) -> None:
    """The stream of a job that exists no more ends; a new stream gets 404."""
    with (
        closing(Servers(tmp_path, url, prelude=FREQUENT_REREADS)) as servers,
        servers.services[0].client() as api,
    ):
        job = new_job(api)
        path = f"/jobs/{job['id']}/stream"
        with open_stream(api, path) as stream:
            stream.message()
            with psycopg.connect(url, autocommit=True) as db:
                db.execute("DELETE FROM jobs WHERE id = %s", (job["id"],))
            assert list(stream.messages()) == []
        assert api.get(path).status_code == 404


def test_streams_survive_a_restart_of_postgres(
    tmp_path: Path, own_server: PostgresServer
) -> None:
    """After a restart of PostgreSQL, open streams follow reports to any process."""
    url = own_server.url()
    with followed_job(tmp_path, url) as (api, job, stream):
        own_server.stop()
        own_server.start()
        report(api, job, kind="start")
        assert stream.ids_to(2) == [2]
        report(api, job, kind="info")
        assert stream.ids_to(3) == [3]


def test_streams_survive_foreign_messages(tmp_path: Path, url: str) -> None:
    """A message of another program on the channel does not stop the stream."""
    with followed_job(tmp_path, url) as (api, job, stream):
        with psycopg.connect(url, autocommit=True) as db:
            for payload in ("hello", "", "1,,2", "-1", "9" * 5000):
                db.execute("SELECT pg_notify('trackerapi_jobs', %s)", (payload,))
        report(api, job, kind="start")
        assert stream.ids_to(2) == [2]
