"""Log records that become lines of a job's timeline."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded_jobs import lines
from trackerapi import Event, TrackerApi, TrackerJob
from trackerapi.integrations.logging import MAX_A_SECOND, TrackerHandler

Listen = Callable[[TrackerHandler], TrackerHandler]


@pytest.fixture
def logger() -> logging.Logger:
    """Return a logger at level DEBUG that does not propagate."""
    logger = logging.getLogger("my_pipeline")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    return logger


@pytest.fixture
def listen(logger: logging.Logger) -> Iterator[Listen]:
    """Return a function that adds a handler to the logger until the test ends."""
    handlers: list[TrackerHandler] = []

    def add(handler: TrackerHandler) -> TrackerHandler:
        handlers.append(handler)
        logger.addHandler(handler)
        return handler

    yield add
    for handler in handlers:
        logger.removeHandler(handler)
        handler.close()


def test_record_is_a_line_for_the_provider(
    run: TrackerJob, outbox: Path, logger: logging.Logger, listen: Listen
) -> None:
    """The text is the detail of the line; inside a step, the line has its tag."""
    listen(TrackerHandler())
    with run as job:
        logger.info("begins with %s", "scan-1")
        with job.step("load"):
            logger.warning("slow disk")

    assert lines(outbox) == [
        {"detail": "INFO my_pipeline: begins with scan-1"},
        {"detail": "WARNING my_pipeline: slow disk", "tag": "load"},
    ]


def test_level_and_filter_select_the_records(
    run: TrackerJob, outbox: Path, logger: logging.Logger, listen: Listen
) -> None:
    """Records below the level or rejected by the filter are not reported."""
    listen(TrackerHandler(level="WARNING", filter=lambda r: "secret" not in r.msg))
    with run:
        logger.info("too low")
        logger.error("a secret")
        logger.error("chosen")

    assert [line["detail"] for line in lines(outbox)] == ["ERROR my_pipeline: chosen"]


def test_customer_message_has_no_traceback(
    run: TrackerJob, outbox: Path, logger: logging.Logger, listen: Listen
) -> None:
    """With `audience="customer"`, the text is the message, the traceback the detail."""
    listen(TrackerHandler(audience="customer"))
    with run as job, job.step("load"):
        try:
            int("/secret/path")
        except ValueError:
            logger.exception("One image could not be read", stack_info=True)

    (line,) = lines(outbox)
    assert line["message"] == "One image could not be read"
    assert line["detail"].endswith("with base 10: '/secret/path'")


def test_detail_has_the_traceback(
    run: TrackerJob, outbox: Path, logger: logging.Logger, listen: Listen
) -> None:
    """By default, text and traceback are in the detail, and the message is absent."""
    listen(TrackerHandler())
    with run:
        try:
            int("why")
        except ValueError:
            logger.exception("what")

    (line,) = lines(outbox)
    assert line["detail"].startswith("ERROR my_pipeline: what\nTraceback")
    assert "message" not in line


def test_job_and_step_can_be_given(
    run: TrackerJob, outbox: Path, logger: logging.Logger, listen: Listen
) -> None:
    """A handler with `job` and `step` reports records outside of any block."""
    handler = listen(TrackerHandler(run, step="Segment"))
    handler.setFormatter(logging.Formatter("%(message)s!"))
    logger.info("hello")

    assert lines(outbox) == [{"detail": "hello!", "tag": "segment"}]


def test_step_of_another_job_is_ignored(
    recorder: TrackerApi,
    run: TrackerJob,
    outbox: Path,
    logger: logging.Logger,
    listen: Listen,
) -> None:
    """A handler of one job omits the current step of another job."""
    listen(TrackerHandler(run))
    with (
        recorder.run_job("other", 142, "undescribed") as other,
        other.step("elsewhere"),
    ):
        logger.info("hello")

    assert lines(outbox) == [{"detail": "INFO my_pipeline: hello"}]


def test_record_outside_of_a_job_is_dropped(
    run: TrackerJob, outbox: Path, logger: logging.Logger, listen: Listen
) -> None:
    """Records before the job, and from a thread without `bind()`, are dropped."""
    listen(TrackerHandler())
    logger.info("before")
    with run as job:
        for target in (logger.info, job.bind(logger.info)):
            thread = threading.Thread(target=target, args=(target.__qualname__,))
            thread.start()
            thread.join()

    assert len(lines(outbox)) == 1


def test_records_of_the_library_are_not_reported(outbox: Path) -> None:
    """Records of the library's loggers, threads and filters are not reported."""
    root = logging.getLogger()

    def chatty(event: Event) -> Event:
        root.warning("sees %s", event.kind)
        return event

    with TrackerApi(
        "key",
        "http://127.0.0.1:9",
        mode="offline",
        outbox=outbox,
        before_send=chatty,
    ) as tracker:
        with tracker.run_job("job", 142, "undescribed") as job:
            handler = TrackerHandler(job)
            root.addHandler(handler)
            try:
                logging.getLogger("trackerapi").error("of the library")
                logging.getLogger("trackerapi.sub").error("of the library")
                thread = threading.Thread(
                    target=root.warning, args=("of a request",), name="trackerapi-x"
                )
                thread.start()
                thread.join()
                root.warning("of the job")
            finally:
                root.removeHandler(handler)
                handler.close()

    assert [line["detail"] for line in lines(outbox)] == ["WARNING root: of the job"]


def test_records_above_the_rate_are_counted(
    run: TrackerJob, outbox: Path, logger: logging.Logger, listen: Listen
) -> None:
    """Records above MAX_A_SECOND per second are left out; a line has their number."""
    handler = listen(TrackerHandler())
    with run:
        for number in range(1000):
            logger.info("record %d", number)
        handler.flush()
    taken = [line["detail"] for line in lines(outbox)]
    count_lines = [line for line in taken if "left out" in line]
    left_out = sum(int(line.split()[0]) for line in count_lines)

    assert all(f"more than {MAX_A_SECOND} a second" in line for line in count_lines)
    assert len(taken) - len(count_lines) + left_out == 1000
    assert left_out > 0


def test_broken_record_does_not_stop_the_job(
    run: TrackerJob,
    outbox: Path,
    logger: logging.Logger,
    listen: Listen,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`logging` prints the error of an invalid record; the next record is reported."""
    handler = listen(TrackerHandler())
    with run:
        # Bypass the logger: the handler of pytest would raise for this record.
        handler.handle(
            logger.makeRecord(logger.name, logging.INFO, "", 0, "%d", ("none",), None)
        )
        logger.info("goes on")

    assert [line["detail"] for line in lines(outbox)] == ["INFO my_pipeline: goes on"]
    assert "--- Logging error ---" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"audience": "everybody"}, ValueError),
        ({"level": "LOUD"}, ValueError),
        ({"filter": "a name"}, TypeError),
    ],
)
def test_wrong_argument_raises_at_once(
    wrong: dict[str, Any], error: type[Exception]
) -> None:
    """An invalid `audience`, `level` or `filter` raises in the constructor."""
    with pytest.raises(error):
        TrackerHandler(**wrong)
