"""Settings of a server: from arguments, else variables, else defaults.

As in the library `trackerapi`, a blank variable counts as unset, and a path becomes
absolute when it is read. The command line rejects blank arguments.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import platformdirs

from trackerapi_backend.files import open_regular_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "TRACKERAPI_BACKEND_"
DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
LOG_LEVELS = ("debug", "info", "warning", "error")
DEFAULT_LOG_LEVEL = "info"
MAX_PORT = 65535
MAX_MAX_CONNECTIONS = 1_000_000
DEFAULT_TRUSTED_PROXIES = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
MAX_LIMIT = 1_000_000

_BASE_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*")
"""Path of a public address, in characters that browsers and proxies never escape."""
_SQLITE = "sqlite:///"
_SQLITE_ENDINGS = ("", "-wal", "-shm", "-journal", ".socket", ".lock", ".backups")
"""Endings of the files that SQLite and the backend keep beside a database."""
_POSTGRES = ("postgresql://", "postgres://")
_ADDRESS = re.compile(r"(?:(?P<host>[^][:]+)|\[(?P<ipv6>[^][]+)\]):(?P<port>\d+)")
_KUBERNETES_PORT = re.compile(r"(?:tcp|udp|sctp)://")
"""Beginning of the value that Kubernetes gives to TRACKERAPI_BACKEND_PORT.

Kubernetes sets the variable in each pod of a namespace with a service named
trackerapi-backend. Such a value is ignored, because the operator has not set it.
"""


class SettingsError(Exception):
    """Missing or invalid setting; the message names the setting and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Database and secret of a backend.

    Attributes:
        database: Absolute path of the SQLite file; None with PostgreSQL.
        database_url: Address of the PostgreSQL database; None with SQLite. May contain
            a password.
        pepper_file: Absolute path of the file with the secret of this installation.
        erasures_file: Absolute path of the file that lists all erasures. None is
            possible with PostgreSQL only: nothing can then be erased.
    """

    database: Path | None = None
    database_url: str | None = field(default=None, repr=False)
    pepper_file: Path
    erasures_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Level and destination of the log.

    Attributes:
        level: One of `LOG_LEVELS`.
        file: Absolute path of the log file; None for stderr.
    """

    level: str = DEFAULT_LOG_LEVEL
    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """Limits of requests in one process, 0 to `MAX_LIMIT` each; 0 stands for no limit.

    Attributes:
        key_requests_per_second: Requests of one key or job token in a second.
        provider_requests_per_second: Requests of all keys of a provider in a second.
        key_requests_at_once: Running requests of one key or job token.
        provider_requests_at_once: Running requests of all keys of a provider.
        unknown_keys_per_minute: Different unknown keys from one client address in a
            minute; further keys of the address are looked up one after another.
    """

    key_requests_per_second: int = 0
    provider_requests_per_second: int = 0
    key_requests_at_once: int = 250
    provider_requests_at_once: int = 500
    unknown_keys_per_minute: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Storage):
    """Settings of a server.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for a free port.
        public_base_url: Address of the server in share links, with the path that a
            proxy adds, without a slash at its end; with None, share links have the
            address of the request.
        log: Level and destination of the log.
        metrics_address: Host and port of the metrics, with port 0 for a free port; None
            for no metrics.
        trusted_proxies: Networks of trusted proxies: the headers of such a proxy name
            client and scheme of a request.
        max_connections: Maximum number of open connections, 1 to 1,000,000; None for
            a number that the limit of open files allows.
        limits: Limits of requests.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    public_base_url: str | None = None
    log: LogSettings = LogSettings()
    metrics_address: tuple[str, int] | None = None
    trusted_proxies: Sequence[IPv4Network | IPv6Network] = DEFAULT_TRUSTED_PROXIES
    max_connections: int | None = None
    limits: RequestLimits = RequestLimits()


@dataclass(frozen=True, slots=True)
class _Sources:
    """Sources of settings: arguments, else variables; blank variables are unset."""

    arguments: Mapping[str, str | int | None]
    environment: Mapping[str, str]

    def text(self, name: str) -> tuple[str | None, str]:
        """Return the text of a setting and the name of its argument or variable."""
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
    """Return the database and the secret of a backend; read no other settings.

    Args:
        arguments: Arguments of the command line; None for a missing argument.
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
    log = _log_settings(sources, DEFAULT_LOG_LEVEL, storage)
    return Settings(
        **asdict(storage),
        host=sources.text("host")[0] or DEFAULT_HOST,
        port=_port(*sources.text("port")),
        public_base_url=_public_base_url(*sources.text("public_base_url")),
        log=log,
        metrics_address=_metrics_address(*sources.text("metrics_address")),
        trusted_proxies=_trusted_proxies(*sources.text("trusted_proxies")),
        max_connections=_max_connections(*sources.text("max_connections")),
        limits=_limits(sources),
    )


def log_settings_from(
    arguments: Mapping[str, str | int | None],
    environment: Mapping[str, str] = os.environ,
    *,
    default_level: str,
    storage: Storage,
    other_files: Mapping[Path, str],
) -> LogSettings:
    """Return level and destination of the log; see `storage_from()`.

    Args:
        arguments: Arguments of the command line; None for a missing argument.
        environment: Variables.
        default_level: Level without a setting.
        storage: Database and secret; the log file must be another file.
        other_files: Purposes of further files that cannot be the log, by path.

    Raises:
        SettingsError: If a setting is invalid.
    """
    sources = _Sources(arguments, environment)
    log = _log_settings(sources, default_level, storage)
    if log.file is not None:
        purposes = {os.path.realpath(path): each for path, each in other_files.items()}
        _require_other_file(log.file, sources.text("log_file")[1], purposes)
    return log


def user_data_dir() -> Path | None:
    """Return the default folder of the command `dev`; None without a home directory."""
    try:
        folder = platformdirs.user_data_path("trackerapi-backend")
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def absolute_path(text: str, setting: str) -> Path:
    """Return the absolute path for a text; a leading `~` is the home directory.

    Args:
        text: Path, relative to the current directory.
        setting: Name of the setting, for the error.

    Raises:
        SettingsError: If the text is not a valid path, or needs a home or current
            directory that does not exist.
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
            f"{setting}: {text[:200]} cannot be used ({reason}): name another path"
        ) from None
    return path


def other_file_path(text: str, setting: str, storage: Storage) -> Path:
    """Return the absolute path of a file that has no other purpose.

    Args:
        text: Path, relative to the current directory.
        setting: Name of the setting, for the error.
        storage: Database and secret of the backend.

    Raises:
        SettingsError: If the path is not valid, or the backend uses the file already.
    """
    path = absolute_path(text, setting)
    purposes = _purposes(storage.database, storage.pepper_file, storage.erasures_file)
    _require_other_file(path, setting, purposes)
    return path


def _purposes(
    database: Path | None,
    pepper_file: Path | None = None,
    erasures_file: Path | None = None,
) -> Mapping[str, str]:
    """Return the purpose of each file of a backend, by its path without links."""
    purposes = {}
    if erasures_file is not None:
        purposes[os.path.realpath(erasures_file)] = "the file of erasures"
    if pepper_file is not None:
        purposes[os.path.realpath(pepper_file)] = "the pepper file"
    if database is not None:
        file = os.path.realpath(database)
        purposes |= {
            f"{file}{each}": "a file of the database" for each in _SQLITE_ENDINGS
        }
    return purposes


def _require_other_file(path: Path, setting: str, purposes: Mapping[str, str]) -> None:
    """Raise SettingsError if a path, or the target of its link, has a purpose."""
    purpose = purposes.get(os.path.realpath(path))
    if purpose is not None:
        raise SettingsError(f"{setting}: {path} is {purpose}: name another file")


def _metrics_address(text: str | None, setting: str) -> tuple[str, int] | None:
    if text is None:
        return None
    parts = _ADDRESS.fullmatch(text)
    if parts is None:
        raise SettingsError(
            f"{setting} must be a host and a port, as in 127.0.0.1:9100 or [::1]:9100,"
            f" got {text[:40]!r}"
        )
    return parts["host"] or parts["ipv6"], _port(parts["port"], setting)


def _log_settings(
    sources: _Sources, default_level: str, storage: Storage
) -> LogSettings:
    text, setting = sources.text("log_level")
    level = (text or default_level).lower()
    if level not in LOG_LEVELS:
        raise SettingsError(
            f"{setting} must be one of {', '.join(LOG_LEVELS)}, got {level[:40]!r}"
        )
    text, setting = sources.text("log_file")
    file = None if text is None else other_file_path(text, setting, storage)
    return LogSettings(level=level, file=file)


def _storage(sources: _Sources) -> Storage:
    database, setting = sources.text("database")
    # No argument: all users of a machine see the arguments of a process.
    url, url_setting = sources.text("database_url")
    pepper, pepper_setting = sources.text("pepper_file")
    pepper_file = absolute_path(pepper, pepper_setting) if pepper else None
    erasures, erasures_setting = sources.text("erasures_file")
    erasures_file = absolute_path(erasures, erasures_setting) if erasures else None
    if url is None or setting.startswith("--"):
        file, url = _database_file(database, setting), None
        pepper_file = pepper_file or default_pepper_file(file)
        erasures_file = erasures_file or default_erasures_file(file)
    elif database is not None:
        raise SettingsError(
            f"{setting} and {url_setting} name two databases: set one of them"
        )
    elif not url.startswith(_POSTGRES):
        raise SettingsError(
            f"{url_setting} must begin with postgresql://; set {setting} for a file"
        )
    else:
        file = None
    if pepper_file is None:
        raise SettingsError(
            f"{pepper_setting} is not set: name the file with the secret of this"
            " installation, the same content for all servers of one database"
        )
    purposes = _purposes(file)
    _require_other_file(pepper_file, pepper_setting, purposes)
    if erasures_file is not None:
        purposes = _purposes(file, pepper_file)
        _require_other_file(erasures_file, erasures_setting, purposes)
    return Storage(
        database=file,
        database_url=url,
        pepper_file=pepper_file,
        erasures_file=erasures_file,
    )


def default_pepper_file(database: Path) -> Path:
    """Return the pepper file beside a SQLite file."""
    return database.with_name("pepper")


def default_erasures_file(database: Path) -> Path:
    """Return the file of erasures beside a SQLite file, with symbolic links resolved.

    One database has one default file, even if several links lead to the database.
    """
    return Path(f"{os.path.realpath(database)}.erasures")


def _database_file(text: str | None, setting: str) -> Path:
    if text is None:
        raise SettingsError(
            f"no database: set {setting} to a file, or give --database, or set"
            f" {PREFIX}DATABASE_URL to an address of PostgreSQL"
        )
    if text.startswith(_POSTGRES):
        raise SettingsError(
            f"{setting} is for a file: set {PREFIX}DATABASE_URL to an address of"
            " PostgreSQL"
        )
    if "://" in text and not text.startswith(_SQLITE):
        raise SettingsError(
            f"{setting} names a database engine that this release does not support:"
            f" use {_SQLITE}<file>, or set {PREFIX}DATABASE_URL to an address of"
            " PostgreSQL"
        )
    return absolute_path(text.removeprefix(_SQLITE), setting)


def _public_base_url(text: str | None, setting: str) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        is_plain = not (parts.query or parts.fragment)
        is_plain = is_plain and _BASE_PATH.fullmatch(parts.path.rstrip("/")) is not None
        is_plain = is_plain and "@" not in parts.netloc and parts.port != 0
        is_plain = is_plain and text.isprintable() and " " not in text
    except ValueError:
        is_plain = False
    if not is_plain or parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            f"{setting} must be http:// or https://, a host, and at most a path of"
            " letters, digits and -._~, as in https://tracker.example.org or"
            " https://example.org/tracker"
        )
    # The scheme in lower case, as `urlsplit()` returns it: `pages/customer.py` compares
    # the beginning of the address with "https:".
    return f"{parts.scheme}:{text.partition(':')[2]}".rstrip("/")


def _trusted_proxies(
    text: str | None, setting: str
) -> Sequence[IPv4Network | IPv6Network]:
    if text is None:
        return DEFAULT_TRUSTED_PROXIES
    try:
        return [ip_network(each.strip()) for each in text.split(",")]
    except ValueError as error:
        raise SettingsError(
            f"{setting} must be addresses or networks with commas between them, as in"
            f" 10.0.0.5,10.1.0.0/16 ({str(error)[:100]})"
        ) from None


def _port(text: str | None, setting: str) -> int:
    if text is None or _KUBERNETES_PORT.match(text):
        return DEFAULT_PORT
    return _whole_number(text, setting, 0, MAX_PORT)


def _max_connections(text: str | None, setting: str) -> int | None:
    if text is None:
        return None
    return _whole_number(text, setting, 1, MAX_MAX_CONNECTIONS)


def _whole_number(text: str, setting: str, minimum: int, maximum: int) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(maximum))
    if not is_number or not minimum <= int(text) <= maximum:
        raise SettingsError(
            f"{setting} must be {minimum} to {maximum}, got {text[:40]!r}"
        )
    return int(text)


def _limits(sources: _Sources) -> RequestLimits:
    given = {}
    for each in fields(RequestLimits):
        text, setting = sources.text(each.name)
        if text is not None:
            given[each.name] = _whole_number(text, setting, 0, MAX_LIMIT)
    return RequestLimits(**given)


def read_secret(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: If the file cannot be read or is not a regular file.
    """
    with open_regular_file(path) as file:
        return file.read()


def write_secret(path: Path, content: bytes) -> None:
    """Replace a file with a new file that only its owner may read.

    The replacement is atomic: after a crash the file has its old or its new content.
    """
    fresh = path.with_name(f"{path.name}.new")
    # A crash during an earlier call may have left this file behind.
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
