"""Parts of a TrackerApi, made from settings; the one place that joins them.

`trackerapi.testing` puts parts in their place that keep everything in memory.
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


class Connector:
    """Opens the connections of one tracker when the first of them is needed.

    Knows nothing of the tracker: the courier's thread has it, and must not keep a
    tracker alive that nobody else does.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connected: dict[str, Connection] = {}

    def connection(self) -> "Connection":
        """Return the connections, which load the HTTP client.

        Raises:
            SettingsError: If certificates, proxy or address cannot be used.
            BackendUnavailable: If the HTTP client cannot be loaded now.
        """
        connected = self._connected.get(_ONE)
        if connected is None:
            with short_switch_interval(), _loading():
                from trackerapi.wire.connection import Connection

            python = "{}.{}.{}".format(*sys.version_info)
            agent = f"trackerapi/{__version__} python/{python}"
            # Without a lock, which a fork could leave locked: one connection too many
            # has opened nothing. The first stays, since it may be in use already, and
            # what nobody holds any more is closed.
            made = Connection(self._settings, agent)
            connected = self._connected.setdefault(_ONE, made)
        return connected

    def sender(self) -> "Sender":
        """Return what delivery sends through."""
        return self.connection().sender

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        connected = self._connected.get(_ONE)
        if connected is not None:
            connected.close()


@contextmanager
def _loading() -> Generator[None]:
    """Turn what keeps modules from being loaded into an error of the backend.

    No descriptor may be left, or the installation may have been replaced.
    """
    try:
        yield
    except Exception as error:
        reason = one_line(f"the HTTP client cannot be loaded ({error})")
        raise BackendUnavailable(reason) from error


def delivery_for(
    settings: Settings, sender: "Callable[[], Sender]", problems: Problems
) -> "Delivery":
    """Return delivery for a tracker with these settings; opens nothing yet."""
    # Here, since a tracker that is off loads neither delivery nor outbox.
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
    """Return where records of these settings may go."""
    from trackerapi.outbox.header import Binding

    key_id = settings.key_id
    if key_id is None and settings.api_key:
        key_id = _fingerprint(settings.api_key, settings.base_url)
    return Binding(base_url=settings.base_url, key_id=key_id)


def _fingerprint(api_key: str, base_url: str) -> str:
    """Return by what a key without a public part is known again, and not found out."""
    salt = base_url.encode()
    digest = hashlib.pbkdf2_hmac("sha256", api_key.encode(), salt, _ITERATIONS)
    return f"fingerprint:{digest[:4].hex()}"


def outbox_folder(settings: Settings) -> "Path | None":
    """Return the folder of the outbox; None where there is no place for one."""
    if settings.outbox is not None:
        return settings.outbox
    from trackerapi.outbox.folder import default_folder

    try:
        return default_folder()
    except OSError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerParts:
    """The parts of one TrackerApi.

    Attributes:
        settings: Where the backend is, and who asks.
        reporter: Takes the events of its jobs.
        delivery: Where records go; None where tracking is off.
        connector: Opens connections; None where tracking is off.
    """

    settings: Settings
    reporter: Reporter
    delivery: "Delivery | None"
    connector: Connector | None


MakeParts = Callable[
    [Mapping[str, object], Problems, "BeforeSend | None"], TrackerParts
]
"""Makes parts from arguments by the names of the settings, problems and filter."""


def make_parts(
    arguments: Mapping[str, object],
    problems: Problems,
    before_send: "BeforeSend | None",
) -> TrackerParts:
    """Make the parts that work.

    Args:
        arguments: Values by the names of the settings; None stands for "not given".
        problems: Told of what goes wrong.
        before_send: The author's filter.

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
        delivery, problems, strict=settings.strict, before_send=before_send
    )
    if delivery is not None and settings.progress != "off":
        from trackerapi.view.watcher import watch_over

        watch_over(reporter, delivery.report, settings)
    return TrackerParts(
        settings=settings, reporter=reporter, delivery=delivery, connector=connector
    )


class Seam:
    """Where the parts of a TrackerApi come from.

    Attributes:
        make: Makes them; `make_parts` but in tests of job scripts.
    """

    def __init__(self) -> None:
        self.make: MakeParts = make_parts


SEAM: Final = Seam()
"""The one of this process."""
