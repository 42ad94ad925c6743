"""Rows of the documented table of failures; mark for the two modes of each row."""

from typing import Final

import pytest

from tests.support.scripted_server import http as http_answer
from tests.support.scripted_server import problem

ROWS: Final = {
    "no-answer": "create_job: no answer",
    "key-refused": "create_job: key refused",
    "content-refused": "create_job: refused for its content",
    "refused-later": "Creation that waited is refused later",
    "unknown-job": "Event for a job the backend does not know",
    "any-fault": "send_event, any backend or network fault",
    "unknown-step": "Unknown step tag; misspelt kind",
    "metadata": "Metadata that JSON cannot hold or above a limit",
    "outbox": "Outbox cannot be written",
    "exit": "Exit with events undelivered",
}
"""First words of each row of the table."""


MODES: Final = ("default", "strict")


def in_row(row: str, *modes: str) -> pytest.MarkDecorator:
    """Return a mark that runs the test of a row in the modes `modes`, or in both."""
    chosen = modes or MODES
    return pytest.mark.parametrize(
        "strict",
        [mode == "strict" for mode in chosen],
        ids=[f"{row}-{mode}" for mode in chosen],
    )


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the levels of the log messages so far."""
    return [record.levelname for record in caplog.records]


HTML: Final = b"<!doctype html><title>Welcome</title><p>Please log in to the network."


NO_ANSWERS: Final = {
    "closed": b"",
    **{str(s): problem(s) for s in (408, 425, 429, 500, 502, 503, 504)},
    "bare-503": http_answer(503, HTML, "text/html"),
    "portal": http_answer(200, HTML, "text/html; charset=utf-8"),
    "portal-403": http_answer(403, HTML, "text/html"),
    "proxy-404": http_answer(404, HTML, "text/html"),
    "redirect": http_answer(302, b"", "", Location="https://portal.example/"),
    "another-service": http_answer(200, {"status": "ok"}),
    "not-http": b"220 mail.example ESMTP\r\n\r\n",
}
