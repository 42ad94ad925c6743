"""Errors raised by trackerapi.

TrackerError
├── ConfigError              a job configuration is missing or invalid
├── SettingsError            an address, key or other setting is missing or invalid
├── UnknownStepError         no such step in the job's configuration
├── OutboxError              the event could not be stored; nothing was recorded
└── BackendError             the backend did not take what was sent
    ├── BackendUnavailable   no usable answer: a later attempt may succeed
    ├── AuthenticationError  the key was refused: another key may succeed
    └── BackendRejected      refused for its content: repeating it cannot succeed

Callers catch a branch and read attributes. Every error can be pickled, prints as
one line and never holds a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

MAX_TEXT_LENGTH = 500
"""Longest `str()` of an error, in characters."""


class TrackerError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(TrackerError):
    """A command cannot do as it was asked; the message says why."""


class ConfigError(TrackerError, ValueError):
    """A job configuration is missing or does not match its schema.

    Attributes:
        reason: One sentence without the location.
        path: File the configuration was read from; None when it came from code.
        pointer: JSON Pointer (RFC 6901) to the value; empty for the whole document.
        suggestion: Nearest known name for what looks like a typo; None without one.
    """

    def __init__(
        self,
        reason: str,
        path: Path | None = None,
        pointer: str = "",
        suggestion: str | None = None,
    ) -> None:
        super().__init__(reason, path, pointer, suggestion)
        self.reason, self.path = reason, path
        self.pointer, self.suggestion = pointer, suggestion

    def __str__(self) -> str:
        location = f"{self.path or ''}{'#' if self.pointer else ''}{self.pointer}"
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        text = f"{self.reason}{hint}"
        return one_line(f"{location}: {text}" if location else text)


class SettingsError(TrackerError, ValueError):
    """A setting is missing or has a value that cannot work.

    Attributes:
        reason: One sentence that says what to do; never holds the value of a key.
        setting: Argument or environment variable that has to change.
    """

    def __init__(self, reason: str, setting: str) -> None:
        super().__init__(reason, setting)
        self.reason, self.setting = reason, setting

    def __str__(self) -> str:
        return one_line(f"{self.setting}: {self.reason}")


class UnknownStepError(TrackerError, LookupError):
    """An event names a step that the job's configuration does not have.

    Attributes:
        name: What the event gave.
        suggestion: Nearest known name; None without a near one.
        job_tag: Tag of the job's configuration; None where there is none in play.
        what: What the name stands for: a step, or a kind of event.
    """

    def __init__(
        self,
        name: str,
        suggestion: str | None = None,
        job_tag: str | None = None,
        what: str = "step",
    ) -> None:
        super().__init__(name, suggestion, job_tag, what)
        self.name, self.suggestion = name, suggestion
        self.job_tag, self.what = job_tag, what

    def __str__(self) -> str:
        owner = f"job {self.job_tag!r} has no" if self.job_tag else "there is no"
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return one_line(f"{owner} {self.what} {self.name!r}{hint}")


class OutboxError(TrackerError):
    """The event could not be stored; nothing was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A failed request and its answer, without secrets.

    Attributes:
        method: HTTP method in capitals.
        url: Address without user, query and fragment.
        status: HTTP status; None without an answer.
        problem: Members of the problem details (RFC 9457); empty without them.
        request_id: Id by which the backend's operator finds the request.
        retry_after_seconds: Wait the backend asked for, 0 or more; None without one.
        was_sent: False only if the request surely did not reach the backend.
    """

    method: str = ""
    url: str = ""
    status: int | None = None
    problem: Mapping[str, Any] = field(default_factory=dict[str, Any])
    request_id: str | None = None
    retry_after_seconds: float | None = None
    was_sent: bool = True


NO_EXCHANGE = Exchange()


class BackendError(TrackerError):
    """The backend did not take what was sent, or did not answer usably.

    Attributes:
        reason: One sentence that says why it failed.
        exchange: The request and its answer.
    """

    def __init__(self, reason: str, exchange: Exchange = NO_EXCHANGE) -> None:
        # A reason may contain text of a server, which programs print on terminals.
        reason = one_line(reason)
        super().__init__(reason, exchange)
        self.reason, self.exchange = reason, exchange

    @property
    def status(self) -> int | None:
        """HTTP status; None without an answer."""
        return self.exchange.status

    @property
    def problem(self) -> Mapping[str, Any]:
        """Members of the problem details (RFC 9457), read-only; empty without them."""
        return MappingProxyType(dict(self.exchange.problem))

    @property
    def request_id(self) -> str | None:
        """Id by which the backend's operator finds the request; None without one."""
        return self.exchange.request_id

    @property
    def retry_after_seconds(self) -> float | None:
        """Wait the backend asked for, in seconds; None when it asked for none."""
        return self.exchange.retry_after_seconds

    @property
    def method(self) -> str:
        """HTTP method of the request; empty when there was none."""
        return self.exchange.method

    @property
    def url(self) -> str:
        """Address of the request without query; empty when there was none."""
        return self.exchange.url

    def __str__(self) -> str:
        tail = f" (request {one_line(self.request_id, 64)})" if self.request_id else ""
        head = f"{self.method} {self.url}: " if self.url else ""
        return one_line(head + self.reason, MAX_TEXT_LENGTH - len(tail)) + tail


class BackendUnavailable(BackendError):
    """No usable answer came; a later attempt may succeed.

    Raised for no answer, 408, 425, 429, 5xx, and answers that are not from a tracker
    backend, such as the page of a proxy. The request may have been applied unless
    `exchange.was_sent` is False.
    """


class AuthenticationError(BackendError):
    """The backend refused the key (401) or its scopes (403); nothing was done."""


class BackendRejected(BackendError):
    """The backend refused the request for its content; repeating it cannot succeed."""


def printable(text: str) -> str:
    """Return `text` with U+FFFD for characters that a terminal would act on.

    These are controls and escapes, line ends, and marks that change the direction of a
    line. Whatever a server, a file or an exception says goes through this function.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def one_line(text: str, length: int = MAX_TEXT_LENGTH) -> str:
    """Return `text` as one printable line of at most `length` characters.

    Line ends become blanks; longer texts end with an ellipsis.
    """
    head = text[: 4 * length]  # a server may send a text of any length
    line = printable(" ".join(head.split()))
    if len(line) <= length and len(head) == len(text):
        return line
    return line[: length - 1] + "…"
