"""Requests of a watch: one attempt each, and the stream of a job."""

import socket
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

from trackerapi_client import models

from trackerapi import models as answers
from trackerapi.models import check_subject
from trackerapi.process.clock import steady_seconds
from trackerapi.wire.answer_check import InvalidAnswer, check_model, parse_object
from trackerapi.wire.bodies import MAX_REPORT_BYTES, secrets_of, without_secrets
from trackerapi.wire.calls import Calls, job_answer
from trackerapi.wire.client import BackendClient
from trackerapi.wire.event_stream import StreamMessage, StreamParser
from trackerapi.wire.failures import invalid_answer
from trackerapi.wire.guarded_http import EVENT_STREAM, GuardedHttp, OpenStream
from trackerapi.wire.network import AttemptBudget, limited_to

MAX_SILENCE_SECONDS: Final = 40.0
"""Maximum time without a line, in seconds; the contract has a comment each 15 s."""

RETRY_SECONDS: Final = 2.0
"""Pause before the next connection if the server asks for none, in seconds."""

MIN_RETRY_SECONDS: Final = 1.0
"""Minimum pause before the next connection, in seconds: a server that ends each stream
at once must not get hundreds of requests a second."""

_EVENTS: Final = frozenset({"job", "message"})
_MAX_BYTES_BETWEEN_LINES: Final = 2 * MAX_REPORT_BYTES


class JobStream:
    """Open stream of one job: an iterable of its states, each newer than the last.

    The iteration ends when the server ends the stream. One thread iterates; any thread
    may call `abort()`.

    Args:
        opened: Answer of the backend.
        job_id: The job, by the backend's id.
        first_seconds: Maximum time until the first line, in seconds.
    """

    def __init__(self, opened: OpenStream, job_id: int, first_seconds: float) -> None:
        self._opened, self._response = opened, opened.response
        self._job_id, self._first_seconds = job_id, first_seconds
        self._parser = StreamParser()

    @property
    def retry_seconds(self) -> float:
        """Pause before the next connection, in seconds."""
        retry = self._parser.retry_seconds
        return RETRY_SECONDS if retry is None else max(retry, MIN_RETRY_SECONDS)

    def __iter__(self) -> Iterator[answers.Job]:
        """Yield the states; raise BackendUnavailable if the stream breaks or stalls."""
        with self._opened.translate_errors():
            for message in self._messages():
                if message.event in _EVENTS:
                    yield self._job_in(message)

    def abort(self) -> None:
        """Close the connection, also while another thread reads from it."""
        stream: Any = self._response.extensions.get("network_stream")
        with suppress(OSError, AttributeError):
            connection = stream.get_extra_info("socket")
            # Not `SSLSocket.shutdown()`, which two threads must not use. The thread
            # that reads then closes the descriptor.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _messages(self) -> Iterator[StreamMessage]:
        # Only the budget limits reads: httpx would limit them to those of an answer.
        self._response.request.extensions["timeout"]["read"] = None
        chunks = iter(cast("Iterable[bytes]", self._response.stream))
        budget = self._budget(self._first_seconds)
        while True:
            with limited_to(budget):
                chunk = next(chunks, None)
            if chunk is None:
                return
            line_count = self._parser.line_count
            yield from self._parser.feed(chunk)
            if self._parser.line_count > line_count:
                budget = self._budget(MAX_SILENCE_SECONDS)

    def _budget(self, seconds: float) -> AttemptBudget:
        return AttemptBudget(steady_seconds() + seconds, _MAX_BYTES_BETWEEN_LINES)

    def _job_in(self, message: StreamMessage) -> answers.Job:
        request = self._response.request
        try:
            content = without_secrets(
                parse_object(message.data), secrets_of(request.headers)
            )
            check_model("Job", content)
        except InvalidAnswer as fault:
            raise invalid_answer(
                request, self._response.status_code, self._response.headers, fault
            ) from None
        check_subject(content["id"], self._job_id)
        return job_answer(models.Job.from_dict(content))


class WatchCalls:
    """Requests of a watch, one attempt each; safe to share between threads.

    Args:
        client: The generated client, with a deadline of 0.
    """

    def __init__(self, client: BackendClient) -> None:
        self._client, self._calls = client, Calls(client)

    def get_job(self, job_id: int) -> answers.Job:
        """Return a job by the backend's id.

        Raises:
            BackendError: If the backend gives no usable answer.
        """
        return self._calls.get_job(job_id)

    @contextmanager
    def stream_job(self, job_id: int, last_version: int | None) -> Generator[JobStream]:
        """Yield the open stream of a job; close its connection at the end.

        Args:
            job_id: The job, by the backend's id.
            last_version: Version after which the stream begins; None for a stream that
                begins with the present state.

        Raises:
            BackendError: If the backend, or a proxy on the way, opens no stream.
        """
        headers = {"Accept": EVENT_STREAM, "Cache-Control": "no-cache"}
        if last_version is not None:
            headers["Last-Event-ID"] = str(last_version)
        # The class of a client that nobody has replaced by `set_httpx_client()`.
        http = cast("GuardedHttp", self._client.get_httpx_client())
        request = http.build_request("GET", f"/jobs/{job_id}/stream", headers=headers)
        with http.streaming(request) as opened:
            attempt_seconds = self._client.time_limits.attempt_seconds
            # With a known version, the first line may be the comment after 15 s.
            first = attempt_seconds if last_version is None else MAX_SILENCE_SECONDS
            yield JobStream(opened, job_id, first)
