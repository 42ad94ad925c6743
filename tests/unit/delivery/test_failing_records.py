"""Records on which the backend always fails, and their effect on other records."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lines import (
    creation_line,
    event_id_of,
    event_line,
    event_lines,
    ids_of,
)
from tests.support.memory_backend import Fault, MemoryBackend, unavailable
from tests.support.reporting_process import BINDING, ReportingProcess
from trackerapi.delivery.batches import BatchDelivery
from trackerapi.delivery.failing_records import FAILURES_TO_SEARCH
from trackerapi.errors import BackendError
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.problems import Problems

BROKEN = unavailable()
NOT_OURS = unavailable(200)
ROUNDS = 60
"""Number of delivery passes; enough for several searches for failing records."""


def run_passes(process: ReportingProcess, count: int = ROUNDS) -> None:
    """Run delivery passes and ignore their errors."""
    for _ in range(count):
        with suppress(BackendError):
            process.run_pass()


def set_aside_lines(process: ReportingProcess) -> list[bytes]:
    """Return the lines that are set aside, which means deferred."""
    return [
        kept.record
        for file in process.files()
        for kept in file.held.entries(is_deferred=True)
    ]


def poison(memory: MemoryBackend, lines: list[bytes], fault: Fault = BROKEN) -> None:
    """Make each batch that contains one of `lines` fail."""
    memory.event_faults |= dict.fromkeys(ids_of(lines), fault)


@pytest.mark.parametrize("fault", [unavailable(500), BROKEN, NOT_OURS])
@pytest.mark.parametrize("index", [0, 1, 17, 29])
def test_failing_event_is_set_aside_and_the_others_arrive(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault, index: int
) -> None:
    """An event that always fails is set aside, and its reason is logged once."""
    lines = event_lines(30)
    process.append(*lines)
    poison(memory, [lines[index]], fault)
    run_passes(process)
    # At index 29, no event followed the failing event before this append.
    lines.append(event_line())
    process.append(lines[-1])

    run_passes(process)

    assert sorted(memory.events) == sorted(ids_of(lines[:index] + lines[index + 1 :]))
    assert set_aside_lines(process) == [lines[index]]
    problems = [each for each in process.reported if each.kind == "not-taken"]
    assert len(problems) == 1
    assert str(fault.error.args[0]) in problems[0].message
    assert "job-unknown" not in process.reported_kinds
    assert process.counters.delivered == 30

    memory.event_faults.clear()
    process.deliver()
    assert sorted(memory.events) == sorted(ids_of(lines))
    assert set_aside_lines(process) == []
    assert process.counters.delivered == 31


def leave_events(folder: Path, memory: MemoryBackend, count: int) -> list[bytes]:
    """Record `count` events, each by a process that is then killed; return them."""
    lines = event_lines(count)
    for line in lines:
        process = ReportingProcess(folder, memory)
        process.append(line)
        process.kill()
    return lines


def test_failing_events_spread_over_a_batch_delay_no_other_event(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """If one event in twenty fails, the failing events are set aside; others arrive."""
    lines = event_lines(600)
    bad = lines[7::20]
    process.append(*lines)
    poison(memory, bad, unavailable(500))

    run_passes(process)

    assert sorted(memory.events) == sorted(set(ids_of(lines)) - set(ids_of(bad)))
    assert sorted(set_aside_lines(process)) == sorted(bad)
    assert process.counters.delivered == len(lines) - len(bad)
    memory.event_faults.clear()
    process.deliver()
    assert len(memory.events) == len(lines)


def test_several_failing_events_of_one_batch_are_all_found(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Failing events are found whether they are adjacent or far apart."""
    lines = event_lines(300)
    bad = [*lines[:2], lines[140], *lines[200:204], lines[299]]
    process.append(*lines)
    poison(memory, bad)

    run_passes(process)

    assert sorted(memory.events) == sorted(set(ids_of(lines)) - set(ids_of(bad)))
    memory.event_faults.clear()
    process.deliver()
    assert len(memory.events) == 300


def test_job_with_only_failing_events_delays_no_other_job(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """Events of a job that always fail are set aside; events of other jobs arrive."""
    memory.jobs["bad"] = {}
    bad, good = event_lines(400, "bad"), event_lines(100)
    process.append(*bad[:200])
    for number, line in enumerate(good):
        process.append(line, *bad[200 + 2 * number : 202 + 2 * number])
    poison(memory, bad)

    run_passes(process)

    assert sorted(memory.events) == sorted(ids_of(good))
    assert sorted(set_aside_lines(process)) == sorted(bad)
    memory.event_faults.clear()
    process.deliver()
    assert len(memory.events) == 500


def test_failing_event_in_a_leftover_delays_no_other_file(
    folder: Path, memory: MemoryBackend
) -> None:
    """Failing events of three leftover files are set aside; own events arrive."""
    bad = leave_events(folder, memory, 3)
    poison(memory, bad)
    process = ReportingProcess(folder, memory)
    run_passes(process, 12)
    lines = event_lines(5)
    process.append(*lines)

    run_passes(process)

    assert sorted(memory.events) == sorted(ids_of(lines))
    assert sorted(set_aside_lines(process)) == sorted(bad)
    memory.event_faults.clear()
    process.deliver()
    assert len(memory.events) == 8
    process.kill()


def test_many_leftovers_with_only_failing_events_delay_the_next_process_little(
    folder: Path, memory: MemoryBackend
) -> None:
    """Own events arrive in `FAILURES_TO_SEARCH` + 1 passes despite 7 leftover files.

    Two passes later the failing events of all leftover files are set aside.
    """
    bad = leave_events(folder, memory, 7)
    poison(memory, bad, unavailable(500))
    process = ReportingProcess(folder, memory)
    lines = event_lines(5)
    process.append(*lines)

    run_passes(process, FAILURES_TO_SEARCH + 1)
    assert sorted(memory.events) == sorted(ids_of(lines))
    run_passes(process, 2)
    assert sorted(set_aside_lines(process)) == sorted(bad)
    process.kill()


def test_leftovers_of_a_failing_backend_cause_few_requests(
    folder: Path, memory: MemoryBackend
) -> None:
    """If every event fails, none is set aside; 60 passes send 300 batches at most."""
    bad = leave_events(folder, memory, 7)
    poison(memory, bad)
    process = ReportingProcess(folder, memory)

    run_passes(process)

    assert len(memory.batches) <= 5 * ROUNDS
    assert set_aside_lines(process) == []
    process.kill()


@pytest.mark.parametrize("is_first", [True, False])
def test_failing_creation_delays_its_events_and_no_other_job(
    process: ReportingProcess, memory: MemoryBackend, is_first: bool
) -> None:
    """Events of a job whose creation always fails stay undelivered; others arrive."""
    memory.rejected_jobs["new"] = unavailable(500)
    lines = event_lines(3, "new")
    bad, others = [creation_line("new"), *lines], event_lines(3)
    process.append(*[*bad, *others] if is_first else [*others, *bad, event_line()])

    run_passes(process)
    more = event_line(job="new")
    process.append(more)
    run_passes(process)

    assert set(ids_of(others)) <= set(memory.events)
    assert not {*ids_of(lines), event_id_of(more)} & set(memory.events)
    assert process.has_undelivered()
    assert "job-unknown" not in process.reported_kinds
    assert "not-taken" in process.reported_kinds
    del memory.rejected_jobs["new"]
    process.deliver()
    assert set(ids_of([*lines, more])) <= set(memory.events)
    assert set_aside_lines(process) == []


@pytest.mark.parametrize("fault", [unavailable(503), BROKEN, NOT_OURS])
def test_unavailable_backend_gets_one_request_a_pass(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """During an outage each pass sends one request and sets no event aside."""
    lines = event_lines(100)
    process.append(*lines[:50])
    process.run_pass()
    process.append(*lines[50:])
    before = len(memory.batches) + memory.identify_count
    memory.outage = fault

    run_passes(process)

    assert len(memory.batches) + memory.identify_count == before + ROUNDS
    assert set_aside_lines(process) == []
    memory.recover()
    process.deliver()
    assert list(memory.events.values()) == lines


def test_backend_that_fails_for_every_event_sets_none_aside(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """If every batch gets 503, no event is set aside; all arrive after the outage."""
    lines = event_lines(1000)
    process.append(*lines)
    poison(memory, lines, unavailable(503))

    run_passes(process)

    assert set_aside_lines(process) == []
    assert len(memory.batches) <= 5 * ROUNDS
    memory.event_faults.clear()
    process.deliver()
    assert list(memory.events.values()) == lines


@pytest.mark.parametrize("fault", [unavailable(was_sent=False), unavailable(429)])
def test_failed_connection_or_429_starts_no_search(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """A failed connection or a 429 starts no search: batches keep their two lines."""
    process.append(*event_lines(2))
    process.run_pass()
    process.append(*event_lines(2))
    asked = memory.identify_count
    memory.fail_next("send", *[fault] * 20)

    run_passes(process, 20)

    assert memory.identify_count == asked
    assert set(memory.line_counts[1:]) == {2}


def test_failing_event_of_a_late_job_delays_no_other(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """If one deferred event fails once its job exists, the others still arrive."""
    lines, other = event_lines(5, "late"), event_line(job="unknown")
    process.append(*lines, other)
    run_passes(process, 3)
    memory.jobs["late"] = {}
    poison(memory, [lines[2]])

    run_passes(process)

    assert sorted(memory.events) == sorted(ids_of([*lines[:2], *lines[3:]]))
    memory.jobs["unknown"] = {}
    memory.event_faults.clear()
    process.deliver()
    assert len(memory.events) == 6


@given(
    count=st.integers(1, 60),
    bad=st.sets(st.integers(0, 59), max_size=12),
    faults=st.lists(
        st.sampled_from([None, unavailable(500), BROKEN, NOT_OURS]), max_size=30
    ),
    jobs=st.integers(1, 4),
)
def test_every_event_arrives_once_or_stays(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    bad: set[int],
    faults: list[Fault | None],
    jobs: int,
) -> None:
    """After any failing events and outages, each event is stored exactly once."""
    memory, counters = MemoryBackend(*(f"job-{n}" for n in range(jobs))), Counters()
    file = OutboxFile.create(tmp_path_factory.mktemp("outbox"), BINDING)
    lines = [event_line(job=f"job-{number % jobs}") for number in range(count)]
    for line in lines:
        file.append(line)
    poison(memory, [line for number, line in enumerate(lines) if number in bad])
    memory.fail_next("send", *faults)
    batch_delivery = BatchDelivery(memory, lambda _: None, Problems(), counters)

    for _ in range(100):
        with suppress(BackendError):
            batch_delivery.deliver_next(file)
            batch_delivery.retry_deferred(file)
    memory.recover()
    memory.event_faults.clear()
    for _ in range(3):
        while batch_delivery.deliver_next(file):
            pass
        batch_delivery.retry_deferred(file)

    assert sorted(memory.events) == sorted(ids_of(lines))
    assert list(file.held.entries()) == []
    assert memory.violations == []
    file.close()
