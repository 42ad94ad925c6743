"""Texts of a server: shown as one printable, short line without the key."""

import json
import logging
from pathlib import Path
from typing import Final

import pytest

from tests.support.good_backend import GOOD, key_of, whole_answer
from tests.support.scripted_server import KEY, answering, http, problem
from trackerapi import BackendError, DeliveryProblem, TrackerApi
from trackerapi.cli.main import main

ESCAPED_KEY: Final = "".join(f"\\u{ord(c):04x}" for c in KEY)
SECRET: Final = KEY.split("_")[2]
HOSTILE: Final = {
    "long": "x" * 9_000,
    "lines": "one\nERROR root: forged\r\nline\u2028and\x0b\x85more",
    "escape": "\x1b[2J\x1b]0;title\x07 \x9b31m",
    "direction": "\u202eeman\u202c \u2066x\u2069 \u200f",
    "nul": "a\0b\x08\x7f",
    "key": f"your key {KEY} is not good",
    "secret": f"the secret {SECRET}",
}
MAX_LINE_LENGTH: Final = 2_200


def is_harmless(text: str) -> bool:
    """Return whether each line of a text is safe to print on a terminal."""
    return all(
        line.isprintable() and len(line) <= MAX_LINE_LENGTH and SECRET not in line
        for line in text.split("\n")
    )


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 503])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_text_of_a_problem_is_cleaned(
    text: str, status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Error, log and callback have one printable line; the outbox omits the secret."""
    reported: list[DeliveryProblem] = []
    errors = [{"pointer": text, "detail": text}] * 50
    refusal = problem(
        status, title=text, detail=text, errors=errors, more=text, deep=[[[[text]]]]
    )
    caplog.set_level(logging.DEBUG)

    with answering(refusal) as server:
        tracker = TrackerApi(
            KEY, server.url, outbox=tmp_path / "o", on_problem=reported.append,
            shutdown_timeout=0, timeout_seconds=0.5,
        )  # fmt: skip
        with pytest.raises(BackendError) as caught:
            tracker.verify_api_key()
        tracker.create_job("job-1", customer_id=142, tag="import")
        report = tracker.flush(timeout=0.2)
        tracker.close()

    error = caught.value
    shown = [
        str(error),
        error.reason,
        report.last_error or "",
        repr(dict(error.problem)),
    ]
    assert is_harmless("\n".join(shown[:3]))
    assert SECRET not in shown[3]
    assert all(
        is_harmless(each.message) and "\n" not in each.message for each in reported
    )
    assert all(
        is_harmless(record.getMessage()) and "\n" not in record.getMessage()
        for record in caplog.records
        if record.name == "trackerapi"
    )
    kept = b"".join(
        path.read_bytes() for path in (tmp_path / "o").rglob("*") if path.is_file()
    )
    assert SECRET.encode() not in kept
    assert len(kept) < 50_000


def test_reason_is_not_repeated() -> None:
    """An error of a problem is left out if the detail contains its text."""
    errors = [{"pointer": "/tag", "detail": "is blank"}]
    answer = problem(422, detail="/tag is blank.", errors=errors)
    with answering(answer) as server:
        with TrackerApi(KEY, server.url) as tracker:
            with pytest.raises(BackendError) as caught:
                tracker.verify_api_key()

    assert str(caught.value).count("is blank") == 1


def test_reason_of_a_megabyte_is_one_short_line() -> None:
    """The error text is cut to 500 characters, the detail of the problem to 2,000."""
    with answering(problem(422, detail="x" * 1_000_000)) as server:
        with TrackerApi(KEY, server.url) as tracker:
            with pytest.raises(BackendError) as caught:
                tracker.verify_api_key()

    assert len(str(caught.value)) <= 500
    assert len(caught.value.problem["detail"]) <= 2_000


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"detail": KEY}).replace(KEY, ESCAPED_KEY).encode(),
        json.dumps({"detail": KEY}).encode("utf-16"),
        json.dumps({"detail": KEY}).encode("utf-32-le"),
        json.dumps({KEY: {"a": [KEY]}}).encode(),
    ],
    ids=["escapes", "utf-16", "utf-32", "name"],
)
@pytest.mark.parametrize("media", ["application/problem+json", "application/json"])
def test_key_is_removed_in_each_spelling(body: bytes, media: str) -> None:
    """A key in a body is removed from the error, also if escaped or in UTF-16."""
    details = {"type": "urn:x", "title": "Test", "status": 400, "request_id": "a"}
    try:
        members = {**details, "detail": "", **json.loads(body)}
        body = json.dumps(members).replace(KEY, ESCAPED_KEY).encode()
    except ValueError:
        pass

    with answering(http(400, body, media)) as server:
        with TrackerApi(KEY, server.url, timeout_seconds=0.3) as tracker:
            with pytest.raises(BackendError) as caught:
                tracker.verify_api_key()

    error = caught.value
    texts = [str(error), error.reason, json.dumps(dict(error.problem)), repr(error)]
    assert not any(SECRET in each for each in texts)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 "
        + KEY.encode()
        + b"\r\nBad Header "
        + KEY.encode()
        + b"\r\n\r\n",
        KEY.encode() + b"\r\n\r\n",
        http(500, b"page", f"text/{KEY}"),
        http(302, b"", "text/html", Location=f"https://elsewhere.test/{KEY}"),
        problem(503)
        .replace(b"HTTP/1.1 503 Words", b"HTTP/1.1 503 W")
        .replace(
            b"Content-Type", b"X-Request-Id: " + KEY.encode() + b"\r\nContent-Type"
        ),
    ],
    ids=["header", "no HTTP", "type", "redirect", "request id"],
)
def test_key_in_the_head_of_an_answer_is_not_shown(
    raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A key in the head of an answer is absent from error, cause and log."""
    with answering(raw) as server:
        with TrackerApi(KEY, server.url, timeout_seconds=0.3) as tracker:
            with pytest.raises(BackendError) as caught:
                tracker.verify_api_key()

    error = caught.value
    assert SECRET not in f"{error} {error!r} {error.__cause__!r} {caplog.text}"


def test_key_is_removed_under_another_header_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests and redaction take the name of the header from `KEY_HEADER`."""
    monkeypatch.setattr("trackerapi.wire.bodies.KEY_HEADER", "X-Other-Key")
    with answering(problem(422, detail=KEY)) as server:
        with TrackerApi(KEY, server.url) as tracker:
            with pytest.raises(BackendError) as caught:
                tracker.verify_api_key()

    assert {request.headers["x-other-key"] for request in server.requests} == {KEY}
    assert SECRET not in f"{caught.value} {caught.value.problem}"
    assert "[the key]" in str(caught.value)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_commands_print_texts_of_a_server_in_harmless_lines(
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Commands print no control characters of names, statuses and cursors."""

    def answer(request: object) -> bytes:
        status, schema = GOOD[key_of(request)]  # type: ignore[arg-type]
        return http(status, insert_text(whole_answer(schema), text))

    with answering(answer) as server:
        monkeypatch.setenv("TRACKERAPI_BASE_URL", server.url)
        monkeypatch.setenv("TRACKERAPI_API_KEY", KEY)
        monkeypatch.setenv("TRACKERAPI_SHUTDOWN_TIMEOUT", "0")
        for command in ("verify", "verify --json", "job show --last", "job list"):
            main(command.split())
    output = capsys.readouterr()

    assert is_harmless(output.err)
    assert SECRET not in output.out
    assert all(line.isprintable() for line in output.out.split("\n"))


def insert_text(value: object, text: str) -> object:
    """Return an answer with `text` in each member where the contract allows it."""
    if isinstance(value, dict):
        changed = {name: insert_text(each, text) for name, each in value.items()}
        return {**changed, "next_cursor": None} if "next_cursor" in value else changed
    if isinstance(value, list):
        return [insert_text(each, text) for each in value]
    is_free = isinstance(value, str) and not value[:4].isdecimal()
    return text if is_free else value
