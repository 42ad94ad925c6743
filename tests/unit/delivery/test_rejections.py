"""Retried and final rejections by HTTP status; `backoff_seconds()`."""

from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lines import creation_line, event_id_of, event_line
from tests.support.memory_backend import (
    Fault,
    MemoryBackend,
    key_refused,
    lost_answer,
    problem,
    rejected,
    unavailable,
)
from tests.support.reporting_process import ReportingProcess
from trackerapi.errors import BackendError
from trackerapi.retry import (
    FIRST_DELAY_SECONDS,
    MAX_DELAY_SECONDS,
    backoff_seconds,
)

UNDELIVERED, HELD, DELIVERED = "undelivered", "held", "delivered"

RETRIED_ANSWERS: Final[dict[str, Callable[[], Fault]]] = {
    "no answer": unavailable,
    "not sent": lambda: unavailable(was_sent=False),
    "answer lost": lost_answer,
    **{
        f"{status} not ours": lambda status=status: unavailable(status)
        for status in (200, 302, 400, 403, 404, 408, 413, 422, 425, 429, 431, 500, 503)
    },
    "401": lambda: key_refused(401),
    "403": lambda: key_refused(403),
    **{
        f"{status} refused": lambda status=status: rejected(status)
        for status in (402, 405, 411, 415, 418, 451)
    },
    **{
        f"{status} without a problem": lambda status=status: rejected(
            status, has_problem=False
        )
        for status in (400, 404, 409, 422)
    },
}
"""Answers after which a record stays undelivered, by name."""


def state_after_pass(process: ReportingProcess, memory: MemoryBackend) -> str:
    """Return `UNDELIVERED`, `HELD` or `DELIVERED`: the state after one pass.

    If the record is undelivered, assert that further passes deliver the record.
    """
    try:
        process.run_pass()
    except BackendError:
        assert process.outbox.undelivered_count > 0
        state = UNDELIVERED
    else:
        held = sum(file.held.counts()[0] for file in process.files())
        return HELD if held else DELIVERED
    process.deliver()
    assert not any(sum(file.held.counts()) for file in process.files())
    return state


@pytest.mark.parametrize("answer", RETRIED_ANSWERS)
def test_event_stays_undelivered_after(
    process: ReportingProcess, memory: MemoryBackend, answer: str
) -> None:
    """No answer of `RETRIED_ANSWERS` makes an event held: a later pass delivers it."""
    line = event_line()
    process.append(line)
    memory.fail_next("send", RETRIED_ANSWERS[answer]())

    assert state_after_pass(process, memory) == UNDELIVERED
    assert list(memory.events.values()) == [line]


@pytest.mark.parametrize("answer", RETRIED_ANSWERS)
def test_creation_stays_undelivered_after(
    process: ReportingProcess, memory: MemoryBackend, answer: str
) -> None:
    """No answer of `RETRIED_ANSWERS` makes a creation held: a later pass sends it."""
    process.append(creation_line("new"))
    memory.fail_next("create_job", RETRIED_ANSWERS[answer]())

    assert state_after_pass(process, memory) == UNDELIVERED
    assert "new" in memory.jobs


@pytest.mark.parametrize("status", [404, 409])
def test_batch_rejected_not_for_its_content_stays_undelivered(
    process: ReportingProcess, memory: MemoryBackend, status: int
) -> None:
    """A batch answered with 404 or 409 is sent again: its content is not the cause."""
    process.append(event_line())
    memory.fail_next("send", rejected(status))

    assert state_after_pass(process, memory) == UNDELIVERED
    assert len(memory.events) == 1


@pytest.mark.parametrize("status", [400, 413, 414, 422, 431])
def test_only_line_of_a_batch_is_held_after(
    process: ReportingProcess, memory: MemoryBackend, status: int
) -> None:
    """The only line of a batch answered with this status is held."""
    process.append(event_line())
    memory.fail_next("send", rejected(status))

    assert state_after_pass(process, memory) == HELD
    assert memory.events == {}


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_line_is_held_after_a_rejection_in_the_batch_answer(
    process: ReportingProcess, memory: MemoryBackend, status: int
) -> None:
    """A line that the batch answer rejects with this status is held."""
    line = event_line()
    process.append(line)
    memory.rejected_events[event_id_of(line)] = problem(status)

    assert state_after_pass(process, memory) == HELD


@pytest.mark.parametrize("status", [400, 404, 409, 410, 413, 414, 422, 431])
def test_creation_is_held_after(
    process: ReportingProcess, memory: MemoryBackend, status: int
) -> None:
    """A creation answered with this status and problem details is held."""
    process.append(creation_line("new"))
    memory.fail_next("create_job", rejected(status))

    assert state_after_pass(process, memory) == HELD


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [(1, 0.25), (2, 0.5), (3, 1.0), (9, 60.0), (17, 60.0), (5000, 60.0)],
)
def test_backoff_doubles_up_to_a_limit(attempt: int, longest: float) -> None:
    """Each failure doubles the maximum wait, which stays at 60 s from attempt 9 on."""
    assert backoff_seconds(attempt, jitter=1.0) == longest


@given(
    attempt=st.integers(1, 10_000),
    jitter=st.floats(0, 1),
    longest=st.floats(0.25, 600),
    retry_after=st.none() | st.floats(0, 3600),
)
def test_backoff_keeps_to_its_bounds(
    attempt: int, jitter: float, longest: float, retry_after: float | None
) -> None:
    """The wait has full jitter, a cap, and `Retry-After` as its minimum."""
    wait = backoff_seconds(
        attempt,
        jitter=jitter,
        retry_after_seconds=retry_after,
        longest_seconds=longest,
    )

    assert wait >= (retry_after or 0.0)
    assert wait <= max(longest, retry_after or 0.0)
    if retry_after is None:
        assert wait <= longest * jitter


def test_backoff_has_full_jitter() -> None:
    """`jitter` scales the wait from zero to its maximum."""
    assert backoff_seconds(20, jitter=0.0) == 0.0
    assert backoff_seconds(20, jitter=1.0) == MAX_DELAY_SECONDS
    assert backoff_seconds(1, jitter=0.5) == FIRST_DELAY_SECONDS / 2


def test_cap_of_the_backoff_does_not_cut_retry_after() -> None:
    """A cap of 10 s does not shorten a `Retry-After` of 900 s."""
    assert (
        backoff_seconds(1, jitter=0.0, retry_after_seconds=900, longest_seconds=10)
        == 900
    )
