"""Records that the backend does not take, and the records beside them."""

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
"""Enough for several searches."""


def run_passes(process: ReportingProcess, count: int = ROUNDS) -> None:
    """Run delivery passes and ignore their errors."""
    for _ in range(count):
        with suppress(BackendError):
            process.run_pass()


def set_aside_lines(process: ReportingProcess) -> list[bytes]:
    """Return the lines that are set aside and sent again."""
    return [
        kept.record
        for file in process.files()
        for kept in file.held.entries(is_deferred=True)
    ]


def poison(memory: MemoryBackend, lines: list[bytes], fault: Fault = BROKEN) -> None:
    """Make each batch that holds one of some events fail."""
    memory.event_faults |= dict.fromkeys(ids_of(lines), fault)


@pytest.mark.parametrize("fault", [unavailable(500), BROKEN, NOT_OURS])
@pytest.mark.parametrize("place", [0, 1, 17, 29])
def test_failing_event_is_set_aside_and_the_others_arrive(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault, place: int
) -> None:
    """An event fails for ever: it waits with the true reason, logged once."""
    lines = event_lines(30)
    process.append(*lines)
    poison(memory, [lines[place]], fault)
    run_passes(process)
    # Where it is the last one, nothing waits behind it until now.
    lines.append(event_line())
    process.append(lines[-1])

    run_passes(process)

    assert sorted(memory.events) == sorted(ids_of(lines[:place] + lines[place + 1 :]))
    assert set_aside_lines(process) == [lines[place]]
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
    """Leave events of as many ended processes in files of their own; return them."""
    lines = event_lines(count)
    for line in lines:
        process = ReportingProcess(folder, memory)
        process.append(line)
        process.kill()
    return lines


def test_failing_events_spread_over_a_batch_keep_no_other_event(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """One event in twenty fails: each part of the batch that is not small has one."""
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
    """All events of one job fail, anywhere among events of other jobs."""
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
    """Files of several ended processes hold one failing event each."""
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
    """A few passes deliver its events; the leftovers are set aside soon afterwards."""
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
    """A pass that searches tries each file; other passes try the first file only."""
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
    """A creation fails for ever: the events of its job wait for it."""
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
    """An outage of all requests narrows no batch and sets nothing aside."""
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


def test_backend_that_takes_no_record_keeps_all_in_place(
    process: ReportingProcess, memory: MemoryBackend
) -> None:
    """A backend that cannot write gets few requests, and nothing is set aside."""
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
def test_request_without_effect_blames_no_record(
    process: ReportingProcess, memory: MemoryBackend, fault: Fault
) -> None:
    """Without a connection, or at a limit of requests, no record is searched for."""
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
    """Events are deferred; once their job exists, one of them fails."""
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
    """Failing events and outages in any order lose nothing and double nothing."""
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
