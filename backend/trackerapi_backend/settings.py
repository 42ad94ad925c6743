"""Settings of a server: arguments first, then the environment, then defaults.

A blank variable is not set, and paths become absolute when they are read: the same
rule as that of the library. The command line refuses blank arguments.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TRACKERAPI_BACKEND_"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
MAX_PORT = 65535

_MIN_PEPPER_BYTES = 32
_SQLITE = "sqlite:///"
_KUBERNETES_PORT = re.compile(r"(?:tcp|udp|sctp)://")
"""Begin of a TRACKERAPI_BACKEND_PORT that Kubernetes has set: it does so in every pod
beside a service named trackerapi-backend. Such a value is not a setting."""


class SettingsError(Exception):
    """A setting is missing or invalid; the message names the setting and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Files in which a backend stores its data.

    Attributes:
        database: The SQLite file; absolute.
        pepper_file: File with the secret under which keys are kept; absolute.
    """

    database: Path
    pepper_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Storage):
    """Settings of a server.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        public_base_url: Address under which readers reach the server; None for the
            address that a request was sent to.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    public_base_url: str | None = None


@dataclass(frozen=True, slots=True)
class _Sources:
    """Arguments, else variables; a blank variable is not set."""

    arguments: Mapping[str, str | int | None]
    environment: Mapping[str, str]

    def text(self, name: str) -> tuple[str | None, str]:
        """Return the value, and the name of the argument or variable it came from."""
        given = self.arguments.get(name)
        if given is not None:
            option = f"--{name.replace('_', '-')}"
            return str(given), option
        variable = PREFIX + name.upper()
        return self.environment.get(variable, "").strip() or None, variable


def storage_from(
    arguments: Mapping[str, str | int | None],
    environment: Mapping[str, str] = os.environ,
) -> Storage:
    """Return the files of a backend; reads no other settings.

    Args:
        arguments: Arguments of the command line; None for one that was not given.
        environment: Variables; `TRACKERAPI_BACKEND_<NAME>` replaces a missing argument.

    Raises:
        SettingsError: If a setting is missing or invalid.
    """
    return _storage(_Sources(arguments, environment))


def settings_from(
    arguments: Mapping[str, str | int | None],
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the settings of a server; see `storage_from()`.

    Raises:
        SettingsError: If a setting is missing or invalid.
    """
    sources = _Sources(arguments, environment)
    storage = _storage(sources)
    return Settings(
        database=storage.database,
        pepper_file=storage.pepper_file,
        host=sources.text("host")[0] or DEFAULT_HOST,
        port=_port(*sources.text("port")),
        public_base_url=_public_base_url(*sources.text("public_base_url")),
    )


def user_data_dir() -> Path | None:
    """Return the folder of this user's backend; None without a home directory."""
    try:
        usual = platformdirs.user_data_path("trackerapi-backend")
    except RuntimeError:
        return None
    return usual if usual.is_absolute() else None


def absolute_path(text: str, setting: str) -> Path:
    """Return the path that a text names, `~` expanded.

    Raises:
        SettingsError: If no file can have such a name, or the home or current
            directory that it starts from does not exist.
    """
    try:
        path = Path(text).expanduser().absolute()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except RuntimeError:
        raise SettingsError(
            f"{setting}: there is no home directory for {text[:200]}: give an absolute"
            " path"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"{setting}: {text[:200]} cannot be used ({reason})"
        ) from None
    return path


def _storage(sources: _Sources) -> Storage:
    database = _database(*sources.text("database"))
    pepper_file, setting = sources.text("pepper_file")
    return Storage(
        database=database,
        pepper_file=(
            absolute_path(pepper_file, setting)
            if pepper_file
            else database.with_name("pepper")
        ),
    )


def _database(text: str | None, setting: str) -> Path:
    if text is None:
        raise SettingsError(f"no database: set {setting} to a file, or give --database")
    if "://" in text and not text.startswith(_SQLITE):
        raise SettingsError(
            f"{setting} names an engine that this release does not have:"
            f" use {_SQLITE}<file>"
        )
    return absolute_path(text.removeprefix(_SQLITE), setting)


def _public_base_url(text: str | None, setting: str) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        is_plain = not (parts.path.strip("/") or parts.query or parts.fragment)
        is_plain = is_plain and "@" not in parts.netloc and parts.port != 0
        is_plain = is_plain and text.isprintable() and " " not in text
    except ValueError:
        is_plain = False
    if not is_plain or parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"{setting} must be http:// or https:// and a host, as in"
            " https://tracker.example.org"
        )
    # Schemes are written in any case; what reads the address later knows one.
    return f"{parts.scheme}:{text.partition(':')[2]}"


def _port(text: str | None, setting: str) -> int:
    if text is None or _KUBERNETES_PORT.match(text):
        return DEFAULT_PORT
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_PORT))
    if not is_number or int(text) > MAX_PORT:
        raise SettingsError(f"{setting} must be 0 to {MAX_PORT}, got {text[:40]!r}")
    return int(text)


def read_pepper(path: Path) -> bytes:
    """Read the secret of this installation; make it on first use.

    Raises:
        SettingsError: If the file cannot be used.
    """
    try:
        if not path.exists():
            write_secret(path, secrets.token_hex(_MIN_PEPPER_BYTES))
        pepper = read_secret(path).strip()
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


def read_secret(path: Path) -> bytes:
    """Return the content of a file, without waiting for a pipe or device.

    Raises:
        OSError: If it cannot be read or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
            raise OSError(number, "not a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def write_secret(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read the new one."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
