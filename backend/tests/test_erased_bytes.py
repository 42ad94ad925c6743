"""Bytes of erased jobs and customers: none are left in files or dumps."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from backend.tests.support.pages import new_link
from backend.tests.support.postgres import new_database
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    command_here,
    new_name,
    prepare,
    send_lines,
    serve_existing,
    variables_of,
)
from scripts.postgres_server import find_program

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

MARK = "Zq7-planted-Wv3"
JOBS, EVENTS = 8, 15
SHOWN = {"name": "Files", "audience": "customer"}
CONFIGURATION = {
    "tag": "import",
    "name": "Import",
    "step_configurations": [
        {"tag": "load", "name": "Load", "points": 1, "metadata_configurations": [SHOWN]}
    ],
}


def create_marked_customer(api: httpx.Client) -> int:
    """Create a customer with the mark in each of its texts."""
    created = api.post("/customers", json={"reference": f"{MARK} ref", "name": MARK})
    assert created.status_code == 201, created.text
    return int(created.json()["id"])


def create_job(
    api: httpx.Client, customer_id: int, mark: str, *, is_configured: bool
) -> str:
    """Create a job with the mark in its texts, its link and its token; return its name.

    The tag of a job without a configuration is a text of the job.
    """
    name = f"{mark} {new_name()}"
    sent: dict[str, Any] = {
        "provider_job_id": name,
        "customer_id": customer_id,
        "tag": "import" if is_configured else mark,
        "title": f"{mark} title",
        "reference": f"{mark} reference",
        "metadata": {f"{mark} key": [f"{mark} value"]},
    }
    if is_configured:
        sent["configuration"] = CONFIGURATION
    created = api.post("/jobs", json=sent)
    assert created.status_code == 201, created.text
    new_link(api, created.json(), label=f"{mark} link")
    token = {"label": f"{mark} token"}
    assert api.post(f"/jobs/{created.json()['id']}/tokens", json=token).is_success
    return name


def event_of(name: str, mark: str, number: int, chance: random.Random) -> Any:
    """Return an event with the mark in each of its texts, which have random lengths."""
    event = {
        "provider_job_id": name,
        "kind": chance.choice(("progress", "info", mark)),
        "tag": chance.choice(("load", f"{mark} tag {number % 7}")),
        "event_metadata": {
            "Files": f"{mark} " * chance.randrange(1, 30),
            f"{mark} key": f"{mark} " * chance.randrange(1, 200),
        },
        "message": f"{mark} message " * chance.randrange(1, 10),
        "detail": f"{mark} detail " * chance.randrange(1, 40),
    }
    if event["kind"] != "progress":
        return event
    counts = {"completed": number, "total": EVENTS, "part": f"{mark} part {number % 3}"}
    return {**event, **counts}


def report_together(api: httpx.Client, names: dict[str, str]) -> None:
    """Report on all jobs in turns, so that their rows are in the same pages.

    Args:
        api: Client with a key.
        names: Mark of each job by the name of the job.
    """
    chance = random.Random(7)  # noqa: S311 -- varies lengths
    for number in range(EVENTS):
        events = [
            event_of(name, mark, number, chance)
            for name, mark in chance.sample(sorted(names.items()), len(names))
        ]
        answer = send_lines(api, events).json()
        assert (answer["accepted"], answer["rejected"]) == (len(events), [])


def erase_marked(api: httpx.Client, found: Callable[[], set[str]]) -> None:
    """Store marked and other jobs; erase the marked ones; return after the erasures.

    Args:
        api: Client with a key.
        found: Function that returns the places of the mark.
    """
    customer_id = create_marked_customer(api)
    names = {
        create_job(api, of, mark, is_configured=number % 2 > 0): mark
        for number in range(JOBS)
        for of, mark in ((customer_id, MARK), (CUSTOMER, "other"))
    }
    report_together(api, names)
    assert found()
    query = {"customer_id": customer_id, "limit": 200}
    one, *_ = api.get("/jobs", params=query).json()["items"]
    for path in (f"/jobs/{one['id']}", f"/customers/{customer_id}"):
        answer = api.delete(path)
        assert (answer.status_code, answer.json()["residue"]) == (200, None)
    kept = api.get("/jobs", params={"customer_id": CUSTOMER, "limit": 200})
    assert [job["event_count"] for job in kept.json()["items"]] == [EVENTS] * JOBS


def test_no_byte_is_left_in_the_folder_of_sqlite(tmp_path: Path) -> None:
    """After an erasure, neither the database nor a file beside it has the mark."""

    def found() -> set[str]:
        files = [path for path in tmp_path.iterdir() if path.is_file()]
        return {path.name for path in files if MARK.encode() in path.read_bytes()}

    keys = prepare(tmp_path)
    with serve_existing(tmp_path, keys) as (_process, service), service.client() as api:
        erase_marked(api, found)
        assert found() == set()


def test_no_byte_is_left_in_a_dump_of_postgresql(tmp_path: Path, postgres: str) -> None:
    """After an erasure, `pg_dump` has no mark; after `compact`, no data file has it."""
    with new_database(postgres) as url:

        def found() -> set[str]:
            return {"dump"} if MARK.encode() in dump(url) else set()

        keys = prepare(tmp_path, url)
        with (
            serve_existing(tmp_path, keys, url) as (_process, service),
            service.client() as api,
        ):
            erase_marked(api, found)
        assert found() == set()
        compacted = command_here("compact", environment=variables_of(tmp_path, url))
        assert compacted.returncode == 0, compacted.stderr
        assert [
            path for path in files_of(url) if MARK.encode() in path.read_bytes()
        ] == []


def dump(url: str) -> bytes:
    """Return the dump of a database."""
    program = find_program("pg_dump")
    if program is None:
        pytest.skip("pg_dump is not installed")
    return subprocess.run(
        [program, "--dbname", url],
        check=True,
        capture_output=True,
        timeout=MAX_WAIT_SECONDS,
    ).stdout


def files_of(url: str) -> list[Path]:
    """Return the data files of a database; none of a server on another machine."""
    with psycopg.connect(url, autocommit=True) as db:
        # Changed pages stay in the memory of the server until a checkpoint.
        db.execute("CHECKPOINT")
        row = db.execute(
            "SELECT current_setting('data_directory'), oid FROM pg_database"
            " WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    folder = Path(row[0]) / "base" / str(row[1])
    return list(folder.iterdir()) if folder.is_dir() else []
