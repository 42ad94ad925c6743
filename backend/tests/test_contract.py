"""Backend and contract as a whole: operations, served file, generated requests."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from trackerapi_backend.app import create_app
from trackerapi_backend.live.hub import Hub
from trackerapi_backend.pepper import open_pepper_file
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.requests.contract import contract_bytes, operations
from trackerapi_backend.routes import HANDLERS
from trackerapi_backend.store.readiness import Readiness
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.pages import new_link
from backend.tests.support.service import new_job, prepare, serve_new

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from backend.tests.support.service import Service

HOOKS = Path(__file__).with_name("support") / "schemathesis_hooks.py"


def test_every_operation_has_a_handler() -> None:
    """The handlers are exactly the operations of the contract."""
    assert {operation.operation_id for operation in operations()} == set(HANDLERS)


def test_served_contract_is_the_checked_in_one(service: Service) -> None:
    """`/openapi.json` returns the bytes of the checked-in contract."""
    with service.client(None) as anyone:
        answer = anyone.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == contract_bytes()


def test_health_needs_no_key(service: Service) -> None:
    """`/livez` and `/readyz` need no key."""
    with service.client(None) as anyone:
        answers = [anyone.get(path) for path in ("/livez", "/readyz")]
    assert [answer.json()["status"] for answer in answers] == ["ok", "ok"]


@pytest.mark.parametrize("path", ["/events", "/jobs/1", "/nothing"])
def test_websocket_is_closed(tmp_path: Path, path: str) -> None:
    """The application closes a WebSocket on any path."""
    prepare(tmp_path)
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    async def connect() -> None:
        with closing(SqliteStore(tmp_path / "backend.db")) as store:
            writer, pepper = Writer(store), open_pepper_file(tmp_path / "pepper")
            services = Services(
                store=store,
                writer=writer,
                hub=Hub(store),
                authenticator=Authenticator(store, writer, pepper),
                readiness=Readiness(store, writer),
                pepper=pepper,
            )
            scope = {"type": "websocket", "path": path, "headers": []}
            await create_app(services)(scope, receive, send)
            writer.close()

    asyncio.run(connect())
    assert sent == ["websocket.close"]


def test_backend_keeps_the_contract_for_generated_requests(
    tmp_path: Path, database_url: str | None
) -> None:
    """Generated requests, valid and invalid, get responses of the contract."""
    # All phases: examples, coverage, fuzzing and stateful. Different seeds on the two
    # engines generate more requests in the same time.
    seed = "1" if database_url is None else "2"
    with serve_new(tmp_path, database_url) as service:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(HOOKS.with_name("schemathesis.toml")), "run"),
                *(f"{service.base_url}/openapi.json", "--url", service.base_url),
                *("--header", f"X-API-Key: {service.keys['all']}"),
                *("--checks", "all", "--seed", seed, "--max-examples", "2"),
                # The answer has no end; test_streams.py reads it.
                *("--exclude-operation-id", "stream_job"),
                *("--generation-database", "none", "--no-color"),
                # The long timeouts are for a busy machine.
                *("--suppress-health-check", "too_slow", "--request-timeout", "60"),
            ],
            env=os.environ
            | {
                "SCHEMATHESIS_HOOKS": str(HOOKS),
                "KNOWN_OBJECTS": json.dumps(known_objects(service)),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert run.returncode == 0, run.stdout
    tested = len(list(operations())) - 1
    assert f"Tested: {tested}" in run.stdout


def known_objects(service: Service) -> dict[str, object]:
    """Create objects for generated requests; return their ids by parameter."""
    with service.client() as api:
        job = new_job(api)
        link = new_link(api, job)["share_link"]
    names = ("provider_job_id", "customer_id", "configuration_id")
    ids = {name: job[name] for name in names}
    return ids | {"job_id": job["id"], "share_link_id": link["id"]}
