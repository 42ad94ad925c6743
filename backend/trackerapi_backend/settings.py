"""Settings of a server: arguments first, then the environment, then defaults."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TRACKERAPI_BACKEND_"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
MAX_PORT = 65535

_MIN_PEPPER_BYTES = 32
_SQLITE = "sqlite:///"


class SettingsError(Exception):
    """A setting is missing or bad; the message names it and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server runs.

    Attributes:
        database: The SQLite file.
        pepper_file: File with the secret under which keys are kept.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        public_base_url: Where readers reach the server; None takes the address that
            a request came to.
    """

    database: Path
    pepper_file: Path
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    public_base_url: str | None = None


def settings_from(
    arguments: Mapping[str, str | int | None],
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings of a server.

    Args:
        arguments: From the command line; None where one was not given.
        environment: Where `TRACKERAPI_BACKEND_<NAME>` stands in for an argument.

    Raises:
        SettingsError: If one is missing or bad.
    """

    def setting(name: str) -> str | None:
        given = arguments.get(name)
        return environment.get(PREFIX + name.upper()) if given is None else str(given)

    database = _database(setting("database"))
    pepper_file = setting("pepper_file")
    return Settings(
        database=database,
        pepper_file=Path(pepper_file) if pepper_file else database.with_name("pepper"),
        host=setting("host") or DEFAULT_HOST,
        port=_port(setting("port")),
        public_base_url=_public_base_url(setting("public_base_url")),
    )


def _database(text: str | None) -> Path:
    if not text:
        raise SettingsError(
            f"no database: set {PREFIX}DATABASE to a file, or give --database"
        )
    if "://" in text and not text.startswith(_SQLITE):
        raise SettingsError(
            f"{PREFIX}DATABASE names an engine that this release does not have:"
            f" use {_SQLITE}<file>"
        )
    return Path(text.removeprefix(_SQLITE))


def _public_base_url(text: str | None) -> str | None:
    if text is None:
        return None
    parts = urlsplit(text)
    is_plain = not (parts.path.strip("/") or parts.query or parts.fragment)
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_plain:
        raise SettingsError(
            f"{PREFIX}PUBLIC_BASE_URL must be http:// or https:// and a host, as in"
            " https://tracker.example.org"
        )
    return text


def _port(text: str | None) -> int:
    if text is None:
        return DEFAULT_PORT
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise SettingsError(f"{PREFIX}PORT must be 0 to {MAX_PORT}, got {text!r}")
    return int(text)


def read_pepper(path: Path) -> bytes:
    """Return the secret of this installation, made on first use.

    Raises:
        SettingsError: If the file cannot be used.
    """
    try:
        if not path.exists():
            write_secret(path, secrets.token_hex(_MIN_PEPPER_BYTES))
        pepper = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(
            f"the pepper file {path} cannot be used ({error.strerror}): name another"
            f" with {PREFIX}PEPPER_FILE"
        ) from None
    if len(pepper) < _MIN_PEPPER_BYTES:
        raise SettingsError(
            f"the pepper file {path} holds less than {_MIN_PEPPER_BYTES} bytes:"
            " put its backup back, or delete it together with all keys"
        )
    return pepper


def write_secret(path: Path, text: str) -> None:
    """Replace a file that only its owner may read, in one step."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
