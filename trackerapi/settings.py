"""Settings of one TrackerApi: argument, else environment, else default.

Read when a TrackerApi is made, never at import. Nothing here uses the network.
The key never shows in a repr or an error.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from trackerapi.addresses import canonical_address
from trackerapi.api_key import (
    API_KEY,
    API_KEY_FILE,
    key_id_of,
    read_api_key,
    refuse_placeholder,
    text_of,
    token_in,
)
from trackerapi.errors import SettingsError

BASE_URL = "TRACKERAPI_BASE_URL"
STRICT = "TRACKERAPI_STRICT"
CA_FILE = "TRACKERAPI_CA_FILE"
OUTBOX = "TRACKERAPI_OUTBOX"
MODE = "TRACKERAPI_MODE"
SHUTDOWN_TIMEOUT = "TRACKERAPI_SHUTDOWN_TIMEOUT"
PROGRESS = "TRACKERAPI_PROGRESS"
PROGRESS_SECONDS = "TRACKERAPI_PROGRESS_SECONDS"

MODES = ("online", "offline", "off")
VIEWS = ("off", "auto", "live", "plain")

DEFAULT_TIMEOUT_SECONDS = 10.0
DEFAULT_SHUTDOWN_TIMEOUT_SECONDS = 2.0
DEFAULT_PROGRESS_SECONDS = 10.0
SHORTEST_PROGRESS_SECONDS = 1
DEFAULT_OUTBOX_LIMIT_BYTES = 1024**3
SMALLEST_OUTBOX_LIMIT_BYTES = 64 * 1024
LONGEST_TIMEOUT_SECONDS = 3600
OFF_BASE_URL = "off:"
"""Address of a tracker that does nothing."""


_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the backend is, who asks, and how patiently.

    Attributes:
        base_url: Address of the backend, http or https, in its canonical spelling.
        api_key: The provider's key; hidden in the repr.
        strict: Raise what is otherwise logged once the work has begun.
        ca_file: Certificates to trust instead of the usual ones; None for those.
        verify: Whether certificates are checked at all.
        proxy: Address of a proxy, hidden in the repr; None takes it from
            `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
        timeout_seconds: Longest wait for one answer, more than 0.
        mode: online (record and deliver), offline (record only) or off (do nothing).
        outbox: Folder for what waits; None for the user's state folder.
        shutdown_timeout_seconds: Longest wait for delivery at the end, 0 or more.
        fsync: Whether each record is brought to the disk itself.
        outbox_limit_bytes: Size of what may wait on disk.
        progress: What is shown on stderr: off (nothing), auto, live or plain.
        progress_seconds: Between two plain lines of a job, 1 or more.
        key_arguments: The arguments that named the key, to read it again; a key that
            was an argument itself is not among them.
    """

    base_url: str
    api_key: str = field(repr=False)
    strict: bool = False
    ca_file: Path | None = None
    verify: bool = True
    proxy: str | None = field(default=None, repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    mode: str = "online"
    outbox: Path | None = None
    shutdown_timeout_seconds: float = DEFAULT_SHUTDOWN_TIMEOUT_SECONDS
    fsync: bool = False
    outbox_limit_bytes: int = DEFAULT_OUTBOX_LIMIT_BYTES
    progress: str = "off"
    progress_seconds: float = DEFAULT_PROGRESS_SECONDS
    key_arguments: Mapping[str, object] | None = field(default=None, repr=False)

    @classmethod
    def resolve(
        cls,
        arguments: Mapping[str, object],
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Combine arguments with the environment.

        Args:
            arguments: Values by the names of the attributes, and `api_key_file`;
                None stands for "not given".
            environment: Variables to read; None reads those of the process.

        Raises:
            SettingsError: If an address or key is missing, given twice or cannot
                work, or another value is of the wrong type or range.
        """
        environment = os.environ if environment is None else environment
        given = {name: v for name, v in arguments.items() if v is not None}
        mode = _word(_MODE, given, environment)
        named = given.keys() & {"api_key", "api_key_file"}
        return cls(
            base_url=OFF_BASE_URL if mode == "off" else _base_url(given, environment),
            api_key=_key_for(mode, given, environment),
            mode=mode,
            outbox=_outbox(given, environment),
            shutdown_timeout_seconds=_shutdown_timeout(given, environment),
            fsync=_flag(given.get("fsync", False), "fsync"),
            outbox_limit_bytes=_outbox_limit(given),
            progress=_word(_PROGRESS, given, environment),
            progress_seconds=_progress_seconds(given, environment),
            key_arguments=(
                None if "api_key" in named else {name: given[name] for name in named}
            ),
            strict=_strict(given, environment),
            ca_file=_ca_file(given, environment),
            verify=_flag(given.get("verify", True), "verify"),
            proxy=_proxy(given),
            timeout_seconds=_timeout(given),
        )

    @property
    def key_id(self) -> str | None:
        """Public part of the key; None for a key of another form."""
        return key_id_of(self.api_key)

    def read_key_again(self, environment: Mapping[str, str] | None = None) -> str:
        """Return the key as file or environment have it now.

        Raises:
            SettingsError: If it is missing or cannot work.
        """
        if self.key_arguments is None:
            return self.api_key
        environment = os.environ if environment is None else environment
        return read_api_key(self.key_arguments, environment)


def _base_url(given: Mapping[str, object], environment: Mapping[str, str]) -> str:
    value, setting = text_of("base_url", BASE_URL, given, environment)
    if value is None:
        raise SettingsError(
            "no address of the backend; pass base_url= or set this variable, "
            "for example to http://127.0.0.1:8000",
            BASE_URL,
        )
    refuse_placeholder(value, setting, "the address of the backend")
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        raise SettingsError("not an address", setting) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_valid:
        raise SettingsError(
            "not an http:// or https:// address with a host name", setting
        )
    if parts.username or parts.password:
        raise SettingsError(
            "an address holds no user or password; the key has its own setting", setting
        )
    if parts.query or parts.fragment or not value.isprintable() or " " in value:
        raise SettingsError(
            "an address holds no blank, query (?) or fragment (#)", setting
        )
    return canonical_address(value)


@dataclass(frozen=True, slots=True)
class _Choice:
    """A setting that is one of some words, the first by default."""

    argument: str
    variable: str
    words: tuple[str, ...]


_MODE = _Choice("mode", MODE, MODES)
_PROGRESS = _Choice("progress", PROGRESS, VIEWS)


def _word(
    choice: _Choice, given: Mapping[str, object], environment: Mapping[str, str]
) -> str:
    value, setting = text_of(choice.argument, choice.variable, given, environment)
    word = (value or choice.words[0]).strip().lower()
    if word not in choice.words:
        raise SettingsError(f"not one of {', '.join(choice.words)}", setting)
    return word


def _key_for(
    mode: str, given: Mapping[str, object], environment: Mapping[str, str]
) -> str:
    """Return the key; blank where none is needed and none is given."""
    if mode == "off":
        return ""
    is_given = given.keys() & {"api_key", "api_key_file"}
    is_set = environment.keys() & {API_KEY, API_KEY_FILE}
    if mode == "offline" and not (is_given or is_set or token_in(environment)):
        return ""
    return read_api_key(given, environment)


def _outbox(given: Mapping[str, object], environment: Mapping[str, str]) -> Path | None:
    value, setting = text_of("outbox", OUTBOX, given, environment)
    if value is None:
        return None
    if not value.strip():
        raise SettingsError("must name a folder", setting)
    try:
        # Absolute: a script may change its folder while it runs.
        return Path(value).expanduser().absolute()
    except RuntimeError:
        raise SettingsError(f"there is no home folder for {value}", setting) from None


def _shutdown_timeout(
    given: Mapping[str, object], environment: Mapping[str, str]
) -> float:
    value = given.get("shutdown_timeout", environment.get(SHUTDOWN_TIMEOUT))
    setting = "shutdown_timeout" if "shutdown_timeout" in given else SHUTDOWN_TIMEOUT
    if value is None:
        return DEFAULT_SHUTDOWN_TIMEOUT_SECONDS
    return _seconds(value, setting, 0)


def _progress_seconds(
    given: Mapping[str, object], environment: Mapping[str, str]
) -> float:
    value = given.get("progress_seconds", environment.get(PROGRESS_SECONDS))
    setting = "progress_seconds" if "progress_seconds" in given else PROGRESS_SECONDS
    if value is None:
        return DEFAULT_PROGRESS_SECONDS
    return _seconds(value, setting, SHORTEST_PROGRESS_SECONDS)


def _seconds(value: object, setting: str, least: int) -> float:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        seconds = math.nan
    if isinstance(value, bool) or not least <= seconds <= LONGEST_TIMEOUT_SECONDS:
        raise SettingsError(f"must be {least} to 3600 seconds", setting)
    return seconds


def _outbox_limit(given: Mapping[str, object]) -> int:
    value = given.get("outbox_limit_bytes", DEFAULT_OUTBOX_LIMIT_BYTES)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError("not a number of bytes", "outbox_limit_bytes")
    if value < SMALLEST_OUTBOX_LIMIT_BYTES:
        raise SettingsError(
            f"must be at least {SMALLEST_OUTBOX_LIMIT_BYTES}, got {value}",
            "outbox_limit_bytes",
        )
    return value


def _strict(given: Mapping[str, object], environment: Mapping[str, str]) -> bool:
    if "strict" in given:
        return _flag(given["strict"], "strict")
    word = environment.get(STRICT, "").strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise SettingsError("not 1, true, yes, on, 0, false, no or off", STRICT)


def _ca_file(
    given: Mapping[str, object], environment: Mapping[str, str]
) -> Path | None:
    value, setting = text_of("ca_file", CA_FILE, given, environment)
    if value is None:
        return None
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise SettingsError(f"there is no home folder for {value}", setting) from None
    try:
        holds_certificate = b"-----BEGIN" in path.read_bytes()
    except OSError as error:
        reason = f"cannot read the certificates {path}: {error.strerror or error}"
        raise SettingsError(reason, setting) from None
    if not holds_certificate:
        raise SettingsError(f"{path} holds no certificate in PEM form", setting)
    return path


def _proxy(given: Mapping[str, object]) -> str | None:
    value, setting = text_of("proxy", "", given, {})
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_valid = is_valid and (parts.port is None or parts.port > 0)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise SettingsError("not an http:// or https:// address of a proxy", setting)
    return value


def _timeout(given: Mapping[str, object]) -> float:
    value = given.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError("not a number of seconds", "timeout_seconds")
    if not 0 < value <= LONGEST_TIMEOUT_SECONDS:
        raise SettingsError(
            f"must be more than 0 and at most 3600 seconds, got {value}",
            "timeout_seconds",
        )
    return float(value)


def _flag(value: object, setting: str) -> bool:
    if isinstance(value, bool):
        return value
    raise SettingsError(f"must be True or False, got {type(value).__name__}", setting)
