"""API keys: in the header of requests, and nowhere else."""

import logging
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.gateway import Gateway
from tests.support.outbox_folders import folder_content
from tests.support.scripted_server import KEY, Request, always, problem
from trackerapi import (
    DeliveryProblem,
    TrackerApi,
    TrackerJob,
)

KEYS: Final = {
    "ours": KEY,
    "another form": "canarysecret.of/another+form==",
    "too many parts": "trk_canarysecret_canarysecret_canarysecret_canarysecret",
    "three parts": "sk_live_canarysecret",
}


@pytest.mark.parametrize("form", KEYS)
@pytest.mark.parametrize("outcome", ["offline", "down", "refused", "held", "delivered"])
def test_key_is_in_its_header_only(
    gateway: Gateway,
    job: TrackerJob,
    outbox: Path,
    caplog: pytest.LogCaptureFixture,
    form: str,
    outcome: str,
) -> None:
    """Only the header `X-API-Key` contains the key: no file, log, repr or report."""
    caplog.set_level(logging.DEBUG)
    gateway.lends_key = True
    gateway.fault = {
        "down": always(b""),
        "refused": always(problem(401)),
        "held": lambda r: problem(422) if r.method == "POST" else None,
    }.get(outcome)
    mode: Any = "offline" if outcome == "offline" else "online"
    reported: list[DeliveryProblem] = []
    with TrackerApi(
        KEYS[form], gateway.url, mode=mode, outbox=outbox, on_problem=reported.append
    ) as tracker:
        tracker.create_job(job.provider_job_id, 142, str(job.config and job.config.tag))
        handle = tracker.job(job.provider_job_id)
        handle.send_event(kind="info")
        report = tracker.flush(timeout=0.3)
        shown = [tracker, handle, report, reported, tracker.admin, tracker.client]

    sent = {request.headers["x-api-key"] for request in gateway.server.requests}
    assert sent == (set() if outcome == "offline" else {KEYS[form]})
    assert folder_content(outbox)
    assert b"canarysecret" not in folder_content(outbox)
    assert "canarysecret" not in caplog.text
    assert not [thing for thing in shown if "canarysecret" in repr(thing)]


@pytest.mark.parametrize("status", [401, 422, 503])
def test_key_that_an_answer_repeats_is_not_shown(
    gateway: Gateway, outbox: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """A key that the backend repeats in an answer is not logged or written."""

    def echo(request: Request) -> bytes:
        return problem(status, detail=f"Bad key: {request.headers['x-api-key']}")

    caplog.set_level(logging.DEBUG)
    gateway.fault = echo
    reported: list[DeliveryProblem] = []
    with TrackerApi(
        KEY, gateway.url, outbox=outbox, on_problem=reported.append
    ) as tracker:
        job = tracker.create_job("echo", 142, "undescribed")
        job.send_event(kind="info")
        report = tracker.flush(timeout=0.3)

    assert gateway.server.requests
    assert b"canarysecret" not in folder_content(outbox)
    assert "canarysecret" not in caplog.text
    assert "canarysecret" not in f"{reported} {report}"
