"""Server process: opens listener and writer, serves, closes them in reverse."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import uvicorn

from trackerapi_backend.app import create_app
from trackerapi_backend.control.commands import Commands
from trackerapi_backend.control.socket_file import listening
from trackerapi_backend.live.hub import Hub
from trackerapi_backend.metrics.app import PATH as METRICS_PATH
from trackerapi_backend.metrics.endpoint import MetricsEndpoint
from trackerapi_backend.network.acceptor import BACKLOG, Acceptor
from trackerapi_backend.network.connections import Connections, connection_limit
from trackerapi_backend.network.http_protocol import HttpProtocol
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.requests.limits import CallLimits
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store.erasures_file import ErasuresFile
from trackerapi_backend.store.readiness import Readiness
from trackerapi_backend.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from trackerapi_backend.control.commands import RunCommand
    from trackerapi_backend.control.execution import Execution
    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.settings import Settings
    from trackerapi_backend.store import Store

SHUTDOWN_SECONDS = 1
"""Time limit for running requests after SIGTERM, in seconds."""
CANCEL_SECONDS = 0.2
"""Time limit for the end of cancelled requests, in seconds."""
WRITER_CLOSE_SECONDS = 0.5
"""Time limit for queued commands of the writer after the last request, in seconds."""
SWITCH_SECONDS = 0.0005
"""Time after which a thread that computes lets other threads run, in seconds.

After each statement, the writer waits this long for a thread that examines a body."""
GC_THRESHOLDS = (50_000, 20, 20)
"""Thresholds of the garbage collector: parsed batches are many objects without cycles.

The default thresholds let it search them several times for each batch."""

_log = logging.getLogger(__name__)

_REASONS = {
    errno.EADDRINUSE: "in use",
    errno.EACCES: "not allowed for this user",
}


def serve_store(
    settings: Settings,
    store: Store,
    pepper: PepperFile,
    *,
    announce: Callable[[str], None],
    run_command: Callable[[Services, Sequence[str], Execution], str | None],
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP. An ignored SIGHUP stays ignored.

    Args:
        settings: Settings of the server.
        store: Open store; the caller closes it.
        pepper: Secrets of this installation.
        announce: Function called with the address once connections are accepted.
        run_command: Function that runs the command line of another process and returns
            its error; with PostgreSQL no other process needs it.

    Raises:
        SettingsError: If the server cannot listen on the address.
    """
    max_connections = connection_limit(settings.max_connections)
    sys.setswitchinterval(SWITCH_SECONDS)
    # uvicorn raises the signal again after its own shutdown. The default handler of
    # SIGTERM would end the process there, before the writer is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # `nohup` starts a server with SIGHUP ignored, so that it outlives the terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # Raise SIGTERM instead of calling its handler: uvicorn replaces the handler
        # while the server runs.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with ExitStack() as stack:
        listener = stack.enter_context(
            open_listener(settings.host, settings.port, "--host and --port")
        )
        metrics = None
        if settings.metrics_address is not None:
            metrics = stack.enter_context(
                open_listener(*settings.metrics_address, "--metrics-address")
            )
            _log.info("metrics are at %s%s", _address(metrics), METRICS_PATH)
        address = _address(listener)
        writer, hub = Writer(store), Hub(store)
        try:
            limits = CallLimits(settings.limits)
            services = Services(
                store=store,
                writer=writer,
                hub=hub,
                authenticator=Authenticator(store, writer, pepper, limits),
                readiness=Readiness(store, writer),
                pepper=pepper,
                limits=limits,
                public_base_url=settings.public_base_url,
                erasures=ErasuresFile(settings.erasures_file),
            )
            _tune_garbage_collector()
            run = partial(run_command, services)
            with hub.connected(), listening(settings.database) as control:
                announce(address)
                listeners = _Listeners(listener, metrics, control)
                _run(services, listeners, run, max_connections)
        finally:
            writer.close(WRITER_CLOSE_SECONDS)


def _tune_garbage_collector() -> None:
    """Search for cycles less often, and never in the objects of the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def exit_despite_busy_threads(status: int) -> None:
    """End the process at once if a command or query still runs in a thread.

    Otherwise return. Python would wait for the thread, possibly for ever. No
    acknowledged change is lost: an unfinished command is neither stored nor
    acknowledged.
    """
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


@dataclass(frozen=True, slots=True)
class _Listeners:
    """Listening sockets of a server; None for a socket that the server does without.

    Attributes:
        requests: Socket of the API and the pages.
        metrics: Socket of the metrics.
        commands: UNIX socket of the commands of other processes.
    """

    requests: socket.socket
    metrics: socket.socket | None
    commands: socket.socket | None


class _Server(uvicorn.Server):
    """uvicorn server with its own acceptor; it ignores signals during its shutdown.

    Args:
        config: Configuration of uvicorn.
        services: Services; the viewers of the hub end at the begin of the shutdown.
        listeners: Listening sockets, which the shutdown closes.
        run_command: Function that runs a command of another process.
        max_connections: Maximum number of open connections.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        services: Services,
        listeners: _Listeners,
        run_command: RunCommand,
        max_connections: int,
    ) -> None:
        super().__init__(config)
        protocols = cast("set[HttpProtocol]", self.server_state.connections)
        self._connections = Connections(protocols, max_connections)
        self._services, self._listeners = services, listeners
        self._run_command = run_command
        self._acceptor: Acceptor | None = None
        self._metrics: MetricsEndpoint | None = None
        self._commands: Commands | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await super().startup(sockets)
        services, listeners = self._services, self._listeners
        services.writer.follow(asyncio.get_running_loop(), services.apply)
        self._acceptor = Acceptor(
            listeners.requests, self._new_protocol, self._connections
        )
        if listeners.commands is not None:
            self._commands = Commands(
                listeners.commands, self._run_command, services.writer
            )
        if listeners.metrics is not None:
            self._metrics = MetricsEndpoint(
                listeners.metrics,
                services,
                lambda: len(self.server_state.connections),
            )

    async def on_tick(self, counter: int) -> bool:
        """Check the connections; uvicorn calls this ten times a second."""
        self._connections.sweep()
        if self._metrics is not None:
            self._metrics.sweep()
        return await super().on_tick(counter)

    def _new_protocol(self) -> HttpProtocol:
        return HttpProtocol(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, then end those that are open."""
        if self._acceptor is not None:
            self._acceptor.close()
        if self._metrics is not None:
            self._metrics.close()
        # A stream would last for minutes.
        self._services.hub.close()
        stopping = [super().shutdown(sockets)]
        if self._commands is not None:
            stopping.append(self._commands.close(SHUTDOWN_SECONDS))
        await asyncio.gather(*stopping)
        # A cancelled request would wait for its client to read, also for an answer 503.
        self._connections.abort_stalled()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=CANCEL_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown at the first signal; ignore all later signals.

        uvicorn would cut off all requests at a second SIGINT, without need: an
        orderly shutdown takes about `SHUTDOWN_SECONDS`.
        """
        if not self.should_exit:
            super().handle_exit(sig, frame)


def _run(
    services: Services,
    listeners: _Listeners,
    run_command: RunCommand,
    max_connections: int,
) -> None:
    config = uvicorn.Config(
        create_app(services),
        http=HttpProtocol,
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    try:
        # Without a socket of its own, uvicorn leaves connections to the acceptor.
        server = _Server(config, services, listeners, run_command, max_connections)
        server.run(sockets=[])
    except KeyboardInterrupt:
        # uvicorn has shut down in order and then raised the signal again.
        return


@contextmanager
def open_listener(
    host: str, port: int, options: str = "--host and --port"
) -> Iterator[socket.socket]:
    """Listen on an address during the block; yield the socket.

    The system accepts connections before the server runs, so an early caller waits
    instead of failing.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 for a free port.
        options: Options with another address, for the error.

    Raises:
        SettingsError: If the address is in use or does not belong to this machine.
    """
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        reason = _REASONS.get(number, "not an address of this machine")
        raise SettingsError(
            f"cannot listen on {host[:200]}:{port} ({reason}): choose another address"
            f" with {options}; port 0 selects a free port"
        ) from None
    with listener:
        yield listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
