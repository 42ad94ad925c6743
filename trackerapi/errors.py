"""Errors raised by trackerapi.

TrackerError
├── ConfigError              a job configuration is missing or invalid
├── SettingsError            an address, key or other setting is missing or invalid
├── UsageError               a command cannot run with its arguments
├── UnknownStepError         the job's configuration has no such step
├── OutboxError              the event could not be stored; nothing was recorded
└── BackendError             the backend did not accept the request
    ├── BackendUnavailable   no usable answer: a later attempt may succeed
    ├── AuthenticationError  the key was refused: another key may succeed
    └── BackendRejected      the content was refused: the same request fails again

Callers catch a branch and read attributes. Every error can be pickled, prints as one
line and never contains a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

MAX_TEXT_LENGTH = 500
"""Maximum length of the `str()` of an error, in characters."""


class TrackerError(Exception):
    """Base of every error that this package raises on purpose.

    Example:
        try:
            tracker.get_job("import-42")
        except TrackerError as error:
            print(error)
    """


class UsageError(TrackerError):
    """A command cannot run with its arguments; the message names the cause."""


class ConfigError(TrackerError, ValueError):
    """A job configuration is missing or does not match its schema.

    Attributes:
        reason: One sentence without the location.
        path: File of the configuration; None for a configuration from code.
        pointer: JSON Pointer (RFC 6901) to the value; empty for the whole document.
        suggestion: Known name that a misspelt name resembles; None without such a name.

    Example:
        try:
            JobConfigManager(configurations_file="job_configurations.json")
        except ConfigError as error:
            print(error.path, error.pointer, error.reason)
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
    """A setting is missing or has an unusable value.

    Attributes:
        reason: One sentence with the fix; never contains a key.
        setting: Argument or environment variable that has to change.

    Example:
        try:
            tracker = TrackerApi()
        except SettingsError as error:
            print(f"set {error.setting}: {error.reason}")
    """

    def __init__(self, reason: str, setting: str) -> None:
        super().__init__(reason, setting)
        self.reason, self.setting = reason, setting

    def __str__(self) -> str:
        return one_line(f"{self.setting}: {self.reason}")


class UnknownStepError(TrackerError, KeyError):
    """A step that the job's configuration does not have, or an unknown kind of event.

    Attributes:
        name: Unknown name of the step or kind.
        suggestion: Known name that `name` resembles; None without such a name.
        job_tag: Tag of the job's configuration; None without a configuration, or for a
            kind.
        what: `step`, or `event kind` for an unknown kind of event.

    Example:
        try:
            job.step("downlaod")
        except UnknownStepError as error:
            print(error.name, "is probably", error.suggestion)
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
    """The event could not be stored; nothing was recorded.

    Example:
        try:
            job.note("Reading the images")
        except OutboxError:
            logging.warning("the disk is full")
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A failed request and its answer, both without secrets.

    Attributes:
        method: HTTP method in capitals.
        url: Address without user, query and fragment.
        status: HTTP status; None without an answer.
        problem: Members of the problem details (RFC 9457); empty without them.
        request_id: Id with which the backend's operator finds the request.
        retry_after_seconds: Delay from the backend's `Retry-After`, 0 or more; None
            without this header.
        was_sent: False if the request certainly did not reach the backend.
        is_backend_up: True if the backend is known to be up although this request
            failed; False if that is not known.
    """

    method: str = ""
    url: str = ""
    status: int | None = None
    problem: Mapping[str, Any] = field(default_factory=dict[str, Any])
    request_id: str | None = None
    retry_after_seconds: float | None = None
    was_sent: bool = True
    is_backend_up: bool = False


NO_EXCHANGE = Exchange()


class BackendError(TrackerError):
    """The backend did not accept the request, or gave no usable answer.

    Attributes:
        reason: One sentence with the cause.
        exchange: The request and its answer.

    Example:
        try:
            job = tracker.get_job("import-42")
        except BackendError as error:
            print(error.status, error.reason, error.request_id)
    """

    def __init__(self, reason: str, exchange: Exchange = NO_EXCHANGE) -> None:
        # A reason may contain text of a server, and programs print it on terminals.
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
        """Id by which the operator finds the request; None without an id."""
        return self.exchange.request_id

    @property
    def retry_after_seconds(self) -> float | None:
        """Delay from `Retry-After`, in seconds; None without this header."""
        return self.exchange.retry_after_seconds

    @property
    def method(self) -> str:
        """HTTP method of the request; empty without a request."""
        return self.exchange.method

    @property
    def url(self) -> str:
        """Address of the request without query; empty without a request."""
        return self.exchange.url

    def __str__(self) -> str:
        tail = f" (request {one_line(self.request_id, 64)})" if self.request_id else ""
        head = f"{self.method} {self.url}: " if self.url else ""
        return one_line(head + self.reason, MAX_TEXT_LENGTH - len(tail)) + tail


class BackendUnavailable(BackendError):
    """No usable answer came; a later attempt may succeed.

    Raised without an answer, for the statuses 408, 425, 429 and 5xx, and for an answer
    that is not from a tracker backend, such as the page of a proxy. The backend may
    have applied the request unless `exchange.was_sent` is False.

    Example:
        try:
            job = tracker.get_job("import-42")
        except BackendUnavailable as error:
            time.sleep(error.retry_after_seconds or 60)
    """


class AuthenticationError(BackendError):
    """The backend refused the key (401) or its scopes (403), and changed nothing.

    Example:
        try:
            tracker.verify_api_key()
        except AuthenticationError:
            print("make a new key")
    """


class BackendRejected(BackendError):
    """The backend refused the content of the request; the same request fails again.

    Example:
        try:
            tracker.get_job("no such job")
        except BackendRejected as error:
            print(error.problem)
    """


def printable(text: str) -> str:
    """Return `text` with U+FFFD for each character that a terminal interprets.

    These characters are controls, escapes, line ends, and marks that change the
    direction of text. All texts of servers, files and exceptions pass through this
    function before they are printed.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def one_line(text: str, length: int = MAX_TEXT_LENGTH) -> str:
    """Return `text` as one printable line of at most `length` characters.

    Line ends become blanks; longer texts end with an ellipsis.
    """
    head = text[: 4 * length]  # A server may send a text of any length.
    line = printable(" ".join(head.split()))
    if len(line) <= length and len(head) == len(text):
        return line
    return line[: length - 1] + "…"
