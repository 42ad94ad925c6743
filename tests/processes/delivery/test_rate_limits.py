"""Reports to a backend that limits the requests of a key."""

from pathlib import Path

import httpx
import pytest
from trackerapi_backend.cli import main as cli

from tests.support.backend_jobs import deliver
from tests.support.running_backend import serve_backend
from trackerapi import TrackerApi


def test_job_beyond_the_rate_of_its_key_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A creation and events that get 429 arrive later, in order, once each."""
    database = tmp_path / "backend.db"
    monkeypatch.setenv("TRACKERAPI_BACKEND_DATABASE", str(database))
    for command in (
        "migrate",
        "customer create --id 142",
        "key create --label all --scope ingest --scope read",
    ):
        assert cli.main(command.split()) == 0
    key = capsys.readouterr().out.split()[-1]
    names = ["first", "second", "third"]
    with serve_backend({"TRACKERAPI_BACKEND_KEY_REQUESTS_PER_SECOND": "1"}) as url:
        with httpx.Client(base_url=url, headers={"X-API-Key": key}) as api:
            while (answer := api.get("/jobs")).status_code == 200:
                pass
        with TrackerApi(key, url, outbox=tmp_path / "outbox") as tracker:
            job = tracker.create_job("limited", customer_id=142, tag="t")
            job.note(names[0])
            deliver(tracker)
            for name in names[1:]:
                job.note(name)
            deliver(tracker)
            events = list(job.events())
    assert answer.status_code == 429
    assert [event.message for event in events if event.kind == "info"] == names
