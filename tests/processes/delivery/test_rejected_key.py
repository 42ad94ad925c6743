"""Keys that the backend rejects: messages, errors and later delivery.

The title of a test with the mark `in_row` begins with its row of the failure table.
"""

import logging
from pathlib import Path

import pytest

from tests.support.backend_jobs import deliver, new_job, stored
from tests.support.ended_scripts import ended_script
from tests.support.failure_table import in_row
from tests.support.gateway import Gateway, reporting
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import always, problem
from trackerapi import (
    AuthenticationError,
    JobConfig,
    TrackerApi,
)


@pytest.mark.parametrize("status", [401, 403])
@in_row("key-refused", "default")
def test_rejected_key_is_logged_at_once_and_at_exit(
    gateway: Gateway,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    status: int,
) -> None:
    """create_job: key refused: the call and `close()` log one error each."""
    gateway.fault = always(problem(status))
    tracker = reporting(gateway, strict=strict, shutdown_timeout=30)
    job = new_job(tracker, config)
    at_once = [record.message for record in caplog.records]
    job.send_event(kind="step", name="say_hello")
    caplog.clear()
    tracker.close()

    assert len(at_once) == 1
    assert "refused the API key" in at_once[0]
    assert "TRACKERAPI_API_KEY" in at_once[0]
    errors = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "refused the API key" in errors[0]


@in_row("key-refused", "default")
def test_rejected_key_is_printed_twice_by_a_whole_script(
    backend: RunningBackend, strict: bool
) -> None:
    """create_job: key refused: the error is printed by the call and again at exit."""
    end = ended_script(
        "tracker = TrackerApi()\n"
        "job = tracker.create_job('refused', 142, 'undescribed')\n"
        "job.send_event(kind='info')\n"
        "print('meanwhile', file=sys.stderr)\n",
        TRACKERAPI_BASE_URL=backend.base_url,
        TRACKERAPI_API_KEY="not-a-key",
        TRACKERAPI_STRICT=str(int(strict)),
    )

    before, _, after = end.stderr.partition("meanwhile")
    assert before.count("refused the API key") == 1
    assert after.count("refused the API key") == 1


@pytest.mark.parametrize("place", ["file", "environment"])
@in_row("key-refused", "default")
def test_records_are_delivered_with_a_working_key(
    backend: RunningBackend,
    config: JobConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
    place: str,
) -> None:
    """create_job: key refused: after a change of the key, all records are delivered."""
    bad = backend.api_key[:-10] + backend.api_key[-10:][::-1]
    key_file = tmp_path / "key"
    variable = "TRACKERAPI_API_KEY" + ("_FILE" if place == "file" else "")
    key_file.write_text(bad)
    monkeypatch.setenv(variable, str(key_file) if place == "file" else bad)
    with TrackerApi(base_url=backend.base_url, strict=strict) as tracker:
        job = new_job(tracker, config)
        event_id = job.send_event(kind="step", name="say_hello")
        refused = tracker.flush(timeout=0.3)
        if place == "file":
            key_file.write_text(backend.api_key)
        else:
            monkeypatch.setenv(variable, backend.api_key)
        deliver(tracker)

        assert refused.waiting == 2
        assert job.fetch().percent == 28.57
        assert [event.event_id for event in stored(tracker, job)] == [event_id]


@pytest.mark.parametrize("status", [401, 403])
@in_row("key-refused", "strict")
def test_rejected_key_raises(
    gateway: Gateway, config: JobConfig, strict: bool, status: int
) -> None:
    """create_job: key refused: `create_job()` raises AuthenticationError."""
    gateway.fault = always(problem(status))
    with reporting(gateway, strict=strict) as tracker:
        with pytest.raises(AuthenticationError) as caught:
            new_job(tracker, config)

    assert caught.value.status == status
