"""Events under faults of the network, with unknown steps and with unfit metadata.

The title of a test with the mark `in_row` begins with its row of the failure table.
"""

import math
import re
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.backend_jobs import deliver, new_job, stored
from tests.support.failure_table import NO_ANSWERS, in_row, levels
from tests.support.gateway import Gateway, reporting
from tests.support.scripted_server import always, problem, silent
from tests.support.waiting import SLACK_SECONDS
from trackerapi import (
    JobConfig,
    TrackerApi,
    TrackerJob,
    UnknownStepError,
)

FAULTS: Final = {
    "silence": b"",
    **{str(s): problem(s) for s in (401, 403, 404)},
    **{kind: NO_ANSWERS[kind] for kind in ("closed", "429", "503", "portal")},
    **{kind: NO_ANSWERS[kind] for kind in ("proxy-404", "redirect", "not-http")},
}


@pytest.mark.parametrize("kind", FAULTS)
@in_row("any-fault")
def test_events_return_at_once_and_arrive_later(
    gateway: Gateway,
    tracker: TrackerApi,
    job: TrackerJob,
    silence: threading.Event,
    strict: bool,
    kind: str,
) -> None:
    """send_event, any backend or network fault: no wait; delivered after the fault."""
    gateway.fault = silent(silence) if kind == "silence" else always(FAULTS[kind])
    with reporting(gateway, strict=strict) as failing:
        handle = failing.job(job.provider_job_id)
        ids = [handle.send_event(kind="info")]
        # After this call, the delivery thread waits for an answer.
        failing.flush(timeout=0.1)
        began = time.monotonic()
        ids += [handle.send_event(kind="info") for _ in range(100)]
        seconds = time.monotonic() - began
        gateway.fault = None
        silence.set()
        deliver(failing)

    assert seconds <= SLACK_SECONDS
    assert [event.event_id for event in stored(tracker, job)] == ids


TYPOS: Final = {
    "step": ({"kind": "step", "name": "say_helo"}, "did you mean 'say_hello'?"),
    "kind": ({"kind": "complet"}, "did you mean 'complete'?"),
}


@pytest.mark.parametrize("what", TYPOS)
@in_row("unknown-step", "default")
def test_typo_is_sent_as_it_is_and_warned_about_once(
    tracker: TrackerApi,
    job: TrackerJob,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    what: str,
) -> None:
    """Unknown step tag; misspelt kind: stored without effect, with one warning."""
    assert not strict
    typo, near = TYPOS[what]
    ids = [job.send_event(**typo) for _ in range(3)]  # type: ignore[arg-type]
    deliver(tracker)

    assert [event.event_id for event in stored(tracker, job)] == ids
    assert {(e.kind, e.tag) for e in stored(tracker, job)} == {
        (typo["kind"], typo.get("name"))
    }
    assert (job.fetch().percent, job.fetch().status) == (0, "pending")
    assert levels(caplog) == ["WARNING"]
    assert near in caplog.text


@pytest.mark.parametrize("what", TYPOS)
@in_row("unknown-step", "strict")
def test_typo_raises_and_nothing_is_sent(
    gateway: Gateway, config: JobConfig, strict: bool, what: str
) -> None:
    """Unknown step tag; misspelt kind: UnknownStepError names the nearest word."""
    typo, near = TYPOS[what]
    with reporting(gateway, strict=strict) as tracker:
        job = new_job(tracker, config)
        with pytest.raises(UnknownStepError, match=re.escape(near)):
            job.send_event(**typo)  # type: ignore[arg-type]
        deliver(tracker)

        assert stored(tracker, job) == []


CYCLE: Final[list[Any]] = []
CYCLE.append(CYCLE)


MISFITS: Final[dict[str, tuple[dict[str, Any], Any]]] = {
    "object": ({"At": Path("/data")}, "/data"),
    "nan": ({"At": math.nan}, None),
    "long": ({"At": "x" * 10_000}, "x" * 199 + "…"),
    "deep": ({"At": {"b": {"c": {"d": {"e": {"f": 1}}}}}}, ...),
    "cycle": ({"At": CYCLE}, ...),
    "many": ({f"k{n}": n for n in range(60)}, ...),
}


@pytest.mark.parametrize("misfit", MISFITS)
@in_row("metadata", "default")
def test_misfit_metadata_is_changed_and_marked(
    tracker: TrackerApi,
    job: TrackerJob,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
    misfit: str,
) -> None:
    """Metadata that JSON cannot hold or above a limit: changed, with one warning."""
    assert not strict
    metadata, wanted = MISFITS[misfit]
    ids = [job.send_event(kind="info", metadata=metadata) for _ in range(2)]
    deliver(tracker)

    events = stored(tracker, job)
    assert [event.event_id for event in events] == ids
    assert all(event.event_metadata["trackerapi_changed"] for event in events)
    if wanted is not ...:
        assert events[0].event_metadata["At"] == wanted
        assert events[0].event_metadata["trackerapi_changed"] == ["At"]
    assert levels(caplog) == ["WARNING"]


@pytest.mark.parametrize("misfit", MISFITS)
@in_row("metadata", "strict")
def test_misfit_metadata_raises_and_nothing_is_sent(
    gateway: Gateway, config: JobConfig, strict: bool, misfit: str
) -> None:
    """Metadata that JSON cannot hold or above a limit: ValueError."""
    with reporting(gateway, strict=strict) as tracker:
        job = new_job(tracker, config)
        with pytest.raises(ValueError, match=r"not JSON|JSON or the limits"):
            job.send_event(kind="info", metadata=MISFITS[misfit][0])
        deliver(tracker)

        assert stored(tracker, job) == []
