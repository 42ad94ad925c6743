"""Parts of a TrackerApi: settings, connections, delivery, reporter.

Only this module connects these parts. `trackerapi.testing` replaces
`PARTS_FACTORY.make` by a function whose parts keep all data in memory.
"""

import hashlib
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from trackerapi.errors import BackendUnavailable, one_line
from trackerapi.jobs.reporter import Reporter
from trackerapi.jobs.state import JobStates
from trackerapi.problems import Problems
from trackerapi.process.event_loops import short_switch_interval
from trackerapi.settings.settings import Settings
from trackerapi.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from trackerapi.delivery.delivery import Delivery
    from trackerapi.delivery.sender import Sender
    from trackerapi.jobs.reporter import BeforeSend
    from trackerapi.outbox.header import Binding
    from trackerapi.wire.connection import Connection

_ITERATIONS: Final = 20_000
_ONE: Final = "one"

_JOB_STATES: Final[dict[tuple[str, str, str], JobStates]] = {}
"""States of the jobs by address, key and outbox: all trackers of a process with the
same settings share a job. A hash stands for a key without an id: no dump of this module
shows a key."""


class Connector:
    """Opens the connections of one tracker on first use.

    A connector has no reference to its tracker. The delivery thread refers to the
    connector: with a reference to the tracker, the thread would keep a dropped tracker
    alive.

    Args:
        settings: Address, key, proxy and certificates.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connected: dict[str, Connection] = {}

    def connection(self) -> "Connection":
        """Return the connections; the first call loads the HTTP client.

        Raises:
            SettingsError: If certificates, proxy or address are unusable.
            BackendUnavailable: If the HTTP client cannot be loaded at this time.
        """
        connected = self._connected.get(_ONE)
        if connected is None:
            with short_switch_interval(), _loading():
                from trackerapi.wire.connection import Connection

            python = "{}.{}.{}".format(*sys.version_info)
            agent = f"trackerapi/{__version__} python/{python}"
            # No lock guards this code: at a fork, another thread could have the lock,
            # and the child would wait for ever. If two threads make connections at the
            # same time, `setdefault()` keeps the first object, which may be in use. The
            # second object has opened no socket, and is freed.
            made = Connection(self._settings, agent)
            connected = self._connected.setdefault(_ONE, made)
        return connected

    def sender(self) -> "Sender":
        """Return the sender of the delivery thread."""
        return self.connection().sender

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        connected = self._connected.get(_ONE)
        if connected is not None:
            connected.close()


@contextmanager
def _loading() -> Generator[None]:
    """Turn any error of an import into BackendUnavailable.

    An import fails when the process has no free descriptor, or when the installation
    was replaced. Delivery then tries again later.
    """
    try:
        yield
    except Exception as error:
        reason = one_line(f"the HTTP client cannot be loaded ({error})")
        raise BackendUnavailable(reason) from error


def delivery_for(
    settings: Settings, sender: "Callable[[], Sender]", problems: Problems
) -> "Delivery":
    """Return the delivery of a tracker; open no file and no connection."""
    # Imported here: a tracker with mode "off" loads neither delivery nor outbox.
    from trackerapi.delivery.delivery import Delivery, DeliveryOptions
    from trackerapi.outbox.outbox import OutboxOptions

    options = DeliveryOptions(
        outbox=OutboxOptions(
            folder=outbox_folder(settings),
            limit_bytes=settings.outbox_limit_bytes,
            fsync=settings.fsync,
            strict=settings.strict,
        ),
        is_online=settings.mode == "online",
        shutdown_timeout_seconds=settings.shutdown_timeout_seconds,
    )
    return Delivery(options, partial(binding_for, settings), sender, problems)


def binding_for(settings: Settings) -> "Binding":
    """Return the backend address and the key id for the headers of outbox files."""
    from trackerapi.outbox.header import Binding

    key_id = settings.key_id
    if key_id is None and settings.api_key:
        key_id = _fingerprint(settings.api_key, settings.base_url)
    return Binding(base_url=settings.base_url, key_id=key_id)


def _fingerprint(api_key: str, base_url: str) -> str:
    """Return a salted fingerprint that identifies the key without revealing it."""
    salt = base_url.encode()
    digest = hashlib.pbkdf2_hmac("sha256", api_key.encode(), salt, _ITERATIONS)
    return f"fingerprint:{digest[:4].hex()}"


def outbox_folder(settings: Settings) -> "Path | None":
    """Return the folder of the outbox; None if the user has no home folder."""
    if settings.outbox is not None:
        return settings.outbox
    from trackerapi.outbox.folder import default_folder

    try:
        return default_folder()
    except OSError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerParts:
    """Parts of one TrackerApi.

    Attributes:
        settings: Settings of the tracker.
        reporter: Receiver of all events of the tracker's jobs.
        delivery: Outbox and delivery thread; None with mode "off".
        connector: Connections to the backend; None with mode "off".
    """

    settings: Settings
    reporter: Reporter
    delivery: "Delivery | None"
    connector: Connector | None


MakeParts = Callable[
    [Mapping[str, object], Problems, "BeforeSend | None"], TrackerParts
]
"""Function that makes the parts from arguments, problems and `before_send`."""


def make_parts(
    arguments: Mapping[str, object],
    problems: Problems,
    before_send: "BeforeSend | None",
) -> TrackerParts:
    """Make the parts of a tracker that reports to a backend.

    Args:
        arguments: Values by the names of the settings; None for an argument that the
            script did not pass.
        problems: Object that reports problems to the log and to the script.
        before_send: The script's filter of events; None without a filter.

    Raises:
        SettingsError: If a setting is missing or invalid.
    """
    settings = Settings.resolve(arguments)
    delivery: Delivery | None = None
    connector: Connector | None = None
    if settings.mode != "off":
        connector = Connector(settings)
        delivery = delivery_for(settings, connector.sender, problems)
    reporter = Reporter(
        delivery,
        problems,
        strict=settings.strict,
        before_send=before_send,
        # One atomic call, so that two threads get the same states.
        job_states=_JOB_STATES.setdefault(_owner(settings), JobStates()),
    )
    if delivery is not None and settings.progress != "off":
        from trackerapi.view.watcher import watch_over

        watch_over(reporter, delivery.report, settings)
    return TrackerParts(
        settings=settings, reporter=reporter, delivery=delivery, connector=connector
    )


def _owner(settings: Settings) -> tuple[str, str, str]:
    """Return the key of the tracker's jobs in `_JOB_STATES`."""
    key = settings.key_id or str(hash(settings.api_key))
    return settings.base_url, key, str(settings.outbox)


class PartsFactory:
    """Replaceable function that makes the parts of each TrackerApi.

    Attributes:
        make: `make_parts`, except in tests of job scripts.
    """

    def __init__(self) -> None:
        self.make: MakeParts = make_parts


PARTS_FACTORY: Final = PartsFactory()
"""The factory of this process."""
