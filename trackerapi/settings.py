"""Settings of one TrackerApi: argument, else environment, else default.

Read when a TrackerApi is made, never at import. Nothing here uses the network.
The key never shows in a repr or an error.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, cast
from urllib.parse import urlsplit

from trackerapi.errors import SettingsError

BASE_URL = "TRACKERAPI_BASE_URL"
API_KEY = "TRACKERAPI_API_KEY"
API_KEY_FILE = "TRACKERAPI_API_KEY_FILE"
STRICT = "TRACKERAPI_STRICT"
CA_FILE = "TRACKERAPI_CA_FILE"

DEFAULT_TIMEOUT_SECONDS = 10.0
MAX_KEY_FILE_BYTES = 4096

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the backend is, who asks, and how patiently.

    Attributes:
        base_url: Address of the backend without a trailing slash, http or https.
        api_key: The provider's key; hidden in the repr.
        strict: Raise what is otherwise logged once the work has begun.
        ca_file: Certificates to trust instead of the usual ones; None for those.
        verify: Whether certificates are checked at all.
        proxy: Address of a proxy, hidden in the repr; None takes it from
            `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
        timeout_seconds: Longest wait for one answer, more than 0.
    """

    base_url: str
    api_key: str = field(repr=False)
    strict: bool = False
    ca_file: Path | None = None
    verify: bool = True
    proxy: str | None = field(default=None, repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS

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
        return cls(
            base_url=_base_url(given, environment),
            api_key=_api_key(given, environment),
            strict=_strict(given, environment),
            ca_file=_ca_file(given, environment),
            verify=_flag(given.get("verify", True), "verify"),
            proxy=_proxy(given),
            timeout_seconds=_timeout(given),
        )

    @property
    def key_id(self) -> str | None:
        """Public part of the key; None for a key of another form."""
        parts = self.api_key.split("_")
        return parts[1] if len(parts) == 4 and parts[0] == "trk" else None


def _base_url(given: Mapping[str, object], environment: Mapping[str, str]) -> str:
    value, setting = _text("base_url", BASE_URL, given, environment)
    if value is None:
        raise SettingsError(
            "no address of the backend; pass base_url= or set this variable, "
            "for example to http://127.0.0.1:8000",
            BASE_URL,
        )
    _refuse_placeholder(value, setting, "the address of the backend")
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
    return value.rstrip("/")


def _api_key(given: Mapping[str, object], environment: Mapping[str, str]) -> str:
    named = {"api_key", "api_key_file"} & given.keys()
    if len(named) == 2:
        raise SettingsError("given together with api_key_file; give one", "api_key")
    if not named and API_KEY in environment and API_KEY_FILE in environment:
        raise SettingsError(f"set together with {API_KEY_FILE}; unset one", API_KEY)
    if "api_key" in named or (not named and API_KEY in environment):
        key, setting = _text("api_key", API_KEY, given, environment)
    elif named or API_KEY_FILE in environment:
        file, setting = _text("api_key_file", API_KEY_FILE, given, environment)
        key = _read_key_file(Path(file or ""), setting)
    else:
        raise SettingsError(
            f"no API key; pass api_key=, or set this variable or {API_KEY_FILE}",
            API_KEY,
        )
    return _usable_key(key or "", setting)


def _usable_key(key: str, setting: str) -> str:
    key = key.strip()
    if not key:
        raise SettingsError("the API key is blank", setting)
    _refuse_placeholder(key, setting, "an API key")
    # A header cannot carry anything else; httpx would raise with the key in its text.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(
            "the API key holds a character that no key has; copy it again", setting
        )
    return key


def _read_key_file(path: Path, setting: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        reason = f"cannot read the key file {path}: {error.strerror or error}"
        raise SettingsError(reason, setting) from None
    if len(content) > MAX_KEY_FILE_BYTES:
        raise SettingsError(f"{path} is too large to be a key file", setting)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"the key file {path} is not text", setting) from None


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
    value, setting = _text("ca_file", CA_FILE, given, environment)
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
    value, setting = _text("proxy", "", given, {})
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
    if not 0 < value <= 3600:
        raise SettingsError(
            f"must be more than 0 and at most 3600 seconds, got {value}",
            "timeout_seconds",
        )
    return float(value)


def _flag(value: object, setting: str) -> bool:
    if isinstance(value, bool):
        return value
    raise SettingsError(f"must be True or False, got {type(value).__name__}", setting)


def _text(
    argument: str,
    variable: str,
    given: Mapping[str, object],
    environment: Mapping[str, str],
) -> tuple[str | None, str]:
    """Return the value and the name of the place it came from."""
    if argument not in given:
        return environment.get(variable), variable
    value = given[argument]
    if isinstance(value, str | os.PathLike):
        text = str(os.fspath(cast("str | os.PathLike[str]", value)))
        if "\0" in text:
            raise SettingsError("must not hold NUL", argument)
        return text, argument
    raise SettingsError(f"must be text, got {type(value).__name__}", argument)


def _refuse_placeholder(value: str, setting: str, wanted: str) -> None:
    if value.strip().startswith("<") and value.strip().endswith(">"):
        raise SettingsError(f"still the placeholder; put {wanted} here", setting)
