"""One server process: opens everything in order, serves, closes in reverse."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import uvicorn

from trackerapi_backend.app import create_app
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.settings import SettingsError, read_pepper
from trackerapi_backend.store.readiness import Readiness
from trackerapi_backend.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from trackerapi_backend.settings import Settings
    from trackerapi_backend.store import Store

SHUTDOWN_SECONDS = 1
"""How long requests may take to end after SIGTERM."""
PATIENCE_SECONDS = 0.5
"""How long a command that has begun may take to end after that."""

_REASONS = {
    errno.EADDRINUSE: "in use",
    errno.EACCES: "not allowed for this user",
}


def serve_store(
    settings: Settings, store: Store, *, announce: Callable[[str], None]
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; a SIGHUP that is ignored stays so.

    Args:
        settings: How to serve.
        store: Opened by the caller, who closes it.
        announce: Called with the address once requests are taken.

    Raises:
        SettingsError: If the address cannot be listened on or a file not be used.
    """
    _allow_many_connections()
    # uvicorn raises the signal again after its own end: this keeps that orderly too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        # The handler of SIGTERM at that time: ours, or later that of uvicorn.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    pepper = read_pepper(settings.pepper_file)
    with listening(settings.host, settings.port) as listener:
        address = _address(listener)
        writer = Writer(store)
        try:
            services = Services(
                store=store,
                writer=writer,
                authenticator=Authenticator(store, writer, pepper),
                readiness=Readiness(store, writer),
                pepper=pepper,
                public_base_url=settings.public_base_url,
            )
            announce(address)
            _run(services, listener)
        finally:
            writer.close(PATIENCE_SECONDS)


def _allow_many_connections() -> None:
    """Raise the limit of open files as far as this user may."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems refuse their own "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def leave_busy_threads(status: int) -> None:
    """End the process at once if a command or a query still runs in a thread.

    Nothing of a command that has not ended is stored or acknowledged, and Python
    would wait for it.
    """
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class _Server(uvicorn.Server):
    """A server that ends in order, however often it is asked to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end at the first signal: it takes a second, no need to force it."""
        if not self.should_exit:
            super().handle_exit(sig, frame)


def _run(services: Services, listener: socket.socket) -> None:
    config = uvicorn.Config(
        create_app(services),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    try:
        _Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        # Raised again by uvicorn after its own orderly end.
        return


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Hold a socket that takes connections, so that callers can wait on it.

    Raises:
        SettingsError: If the address is in use or not one of this machine.
    """
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        reason = _REASONS.get(number, "not an address of this machine")
        raise SettingsError(
            f"cannot listen on {host[:200]}:{port} ({reason}): choose another with"
            " --host and --port; port 0 takes a free one"
        ) from None
    with listener:
        # asyncio does this only for sockets that name their protocol; without it an
        # answer in two parts waits for the reader's delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
