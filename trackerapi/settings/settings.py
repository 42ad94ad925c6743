"""Settings of one TrackerApi: argument, else environment variable, else default.

Settings are read when a TrackerApi is made, never at import, and without the network.
No repr and no error contains the key.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Self

from trackerapi.errors import SettingsError
from trackerapi.settings.api_key import (
    API_KEY,
    API_KEY_FILE,
    KeyFile,
    key_file,
    key_id_of,
    read_api_key,
)
from trackerapi.settings.route import Route
from trackerapi.settings.sources import Sources

STRICT = "TRACKERAPI_STRICT"
OUTBOX = "TRACKERAPI_OUTBOX"
MODE = "TRACKERAPI_MODE"
SHUTDOWN_TIMEOUT = "TRACKERAPI_SHUTDOWN_TIMEOUT"
ON_SIGTERM = "TRACKERAPI_ON_SIGTERM"
PROGRESS = "TRACKERAPI_PROGRESS"
PROGRESS_SECONDS = "TRACKERAPI_PROGRESS_SECONDS"

MODES = ("online", "offline", "off")
SIGTERM_KINDS = ("interrupt", "cancel")
VIEWS = ("off", "auto", "live", "plain")

DEFAULT_TIMEOUT_SECONDS = 10.0
DEFAULT_SHUTDOWN_TIMEOUT_SECONDS = 2.0
DEFAULT_PROGRESS_SECONDS = 10.0
MIN_PROGRESS_SECONDS = 1
DEFAULT_OUTBOX_LIMIT_BYTES = 1024**3
MIN_OUTBOX_LIMIT_BYTES = 64 * 1024
MAX_OUTBOX_LIMIT_BYTES = 2**63 - 1
MAX_TIMEOUT_SECONDS = 3600
OFF_BASE_URL = "off:"
"""Placeholder address of a tracker with mode `off`, which sends nothing."""


_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of one TrackerApi.

    Attributes:
        route: Address of the backend, proxy and certificates.
        api_key: The provider's key; hidden in the repr.
        key_file: File from which the key was read; None for a key from another source.
        has_key_argument: Whether the key was given as the argument `api_key`.
        strict: Whether reporting calls raise errors; otherwise errors are logged.
        timeout_seconds: Maximum wait for one answer, in seconds, more than 0.
        mode: online (record and deliver), offline (record only) or off (do nothing).
        outbox: Folder of the outbox files; None for the user's state folder.
        shutdown_timeout_seconds: Maximum wait for delivery at `close()`, in seconds, 0
            or more.
        fsync: Whether a call returns only after `fsync` of its record.
        outbox_limit_bytes: Maximum size of the undelivered records on disk, in bytes.
        on_sigterm: Kind of event that reports SIGTERM: interrupt (the job is expected
            to continue later) or cancel.
        progress: View on stderr: off (no view), auto, live or plain.
        progress_seconds: Interval between plain lines of a job, in seconds, 1 or more.
    """

    route: Route
    api_key: str = field(repr=False)
    key_file: KeyFile | None = None
    has_key_argument: bool = False
    strict: bool = False
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    mode: str = "online"
    outbox: Path | None = None
    shutdown_timeout_seconds: float = DEFAULT_SHUTDOWN_TIMEOUT_SECONDS
    fsync: bool = False
    outbox_limit_bytes: int = DEFAULT_OUTBOX_LIMIT_BYTES
    on_sigterm: str = "interrupt"
    progress: str = "off"
    progress_seconds: float = DEFAULT_PROGRESS_SECONDS

    @classmethod
    def resolve(
        cls,
        arguments: Mapping[str, object],
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Combine arguments with the environment.

        Args:
            arguments: Values by the names of the attributes, and `api_key_file`; None
                for an argument that was not passed.
            environment: Variables to read; None for the environment of the process.

        Raises:
            SettingsError: If an address or key is missing, given twice or unusable, or
                another value has the wrong type or range.
        """
        given = {name: v for name, v in arguments.items() if v is not None}
        sources = Sources(given, os.environ if environment is None else environment)
        mode = sources.word("mode", MODE, MODES)
        is_off = mode == "off"
        return cls(
            route=Route(base_url=OFF_BASE_URL) if is_off else Route.resolve(sources),
            api_key="" if is_off else _api_key(mode, sources),
            key_file=None if is_off else key_file(sources),
            has_key_argument="api_key" in given,
            strict=_strict(sources),
            timeout_seconds=_timeout(sources),
            mode=mode,
            outbox=sources.path("outbox", OUTBOX)[0],
            shutdown_timeout_seconds=sources.seconds(
                "shutdown_timeout",
                SHUTDOWN_TIMEOUT,
                default=DEFAULT_SHUTDOWN_TIMEOUT_SECONDS,
                minimum=0,
                maximum=MAX_TIMEOUT_SECONDS,
            ),
            fsync=sources.flag("fsync", default=False),
            outbox_limit_bytes=_outbox_limit(sources),
            on_sigterm=sources.word("on_sigterm", ON_SIGTERM, SIGTERM_KINDS),
            progress=sources.word("progress", PROGRESS, VIEWS),
            progress_seconds=sources.seconds(
                "progress_seconds",
                PROGRESS_SECONDS,
                default=DEFAULT_PROGRESS_SECONDS,
                minimum=MIN_PROGRESS_SECONDS,
                maximum=MAX_TIMEOUT_SECONDS,
            ),
        )

    @property
    def base_url(self) -> str:
        """Address of the backend."""
        return self.route.base_url

    @property
    def key_id(self) -> str | None:
        """Public part of the key; None for a key without a public part."""
        return key_id_of(self.api_key)

    def read_key_again(self, environment: Mapping[str, str] | None = None) -> str:
        """Read the key again from its file or variable, and return it.

        Raises:
            SettingsError: If the key is missing or unusable.
        """
        if self.key_file is not None:
            return self.key_file.read()
        if self.has_key_argument:
            return self.api_key
        environment = os.environ if environment is None else environment
        return read_api_key(Sources({}, environment)) or _refuse_no_key()


def _api_key(mode: str, sources: Sources) -> str:
    """Return the key; an empty text if no key is set and the mode is "offline"."""
    return read_api_key(sources) or ("" if mode == "offline" else _refuse_no_key())


def _refuse_no_key() -> NoReturn:
    raise SettingsError(
        f"no API key; pass api_key=, or set this variable or {API_KEY_FILE}", API_KEY
    )


def _outbox_limit(sources: Sources) -> int:
    value = sources.arguments.get("outbox_limit_bytes", DEFAULT_OUTBOX_LIMIT_BYTES)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError("not a number of bytes", "outbox_limit_bytes")
    if not MIN_OUTBOX_LIMIT_BYTES <= value <= MAX_OUTBOX_LIMIT_BYTES:
        raise SettingsError(
            f"must be {MIN_OUTBOX_LIMIT_BYTES} to {MAX_OUTBOX_LIMIT_BYTES}",
            "outbox_limit_bytes",
        )
    return value


def _strict(sources: Sources) -> bool:
    if "strict" in sources.arguments:
        return sources.flag("strict", default=False)
    word = (sources.variable(STRICT) or "off").lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise SettingsError("not 1, true, yes, on, 0, false, no or off", STRICT)


def _timeout(sources: Sources) -> float:
    value = sources.arguments.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError("not a number of seconds", "timeout_seconds")
    if not 0 < value <= MAX_TIMEOUT_SECONDS:
        raise SettingsError(
            f"must be more than 0 and at most {MAX_TIMEOUT_SECONDS} seconds",
            "timeout_seconds",
        )
    return float(value)
