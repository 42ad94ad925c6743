"""Server process: opens listener and writer, serves, closes both in reverse order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import ExitStack
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
from trackerapi_backend.network.acceptor import Acceptor
from trackerapi_backend.network.connections import Connections, connection_limit
from trackerapi_backend.network.forwarding import ForwardedRequests
from trackerapi_backend.network.http_protocol import HttpProtocol
from trackerapi_backend.network.listeners import (
    address_of,
    notify_ready,
    open_listener,
)
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.requests.limits import CallLimits
from trackerapi_backend.store.erasures_file import ErasuresFile
from trackerapi_backend.store.readiness import Readiness
from trackerapi_backend.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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

With the default thresholds, the collector would search the objects of each batch
several times."""

_log = logging.getLogger(__name__)


def serve_store(
    settings: Settings,
    store: Store,
    pepper: PepperFile,
    *,
    listeners: Sequence[socket.socket],
    announce: Callable[[str], None],
    run_command: Callable[[Services, Sequence[str], Execution], str | None],
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP. An ignored SIGHUP stays ignored.

    Args:
        settings: Settings of the server.
        store: Open store; the caller closes it.
        pepper: Secrets of this installation.
        listeners: Listening sockets; the server closes them.
        announce: Function called with all addresses once connections are accepted.
        run_command: Function that runs the command line of another process and returns
            its error. With PostgreSQL, commands open the database themselves.

    Raises:
        SettingsError: If the server cannot listen on the address of the metrics, or
            the path of the public address is one of the server's own paths.
    """
    max_connections = connection_limit(settings.max_connections)
    sys.setswitchinterval(SWITCH_SECONDS)
    # uvicorn raises the signal again after its own shutdown. The default handler of
    # SIGTERM would end the process before the writer is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # `nohup` starts a server with SIGHUP ignored, so that it outlives the terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # Raise SIGTERM instead of calling its handler: uvicorn replaces the handler
        # while the server runs.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with ExitStack() as stack:
        metrics = None
        if settings.metrics_address is not None:
            metrics = stack.enter_context(
                open_listener(*settings.metrics_address, "--metrics-address")
            )
            _log.info("metrics are at %s%s", address_of(metrics), METRICS_PATH)
        addresses = " and ".join(address_of(each) for each in listeners)
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
            config = _configuration(services, settings)
            _tune_garbage_collector()
            run = partial(run_command, services)
            with hub.connected(), listening(settings.database) as control:
                announce(addresses)
                sockets = _Listeners(listeners, metrics, control)
                server = _Server(config, services, sockets, run, max_connections)
                _run(server)
        finally:
            writer.close(WRITER_CLOSE_SECONDS)


def _tune_garbage_collector() -> None:
    """Search for cycles less often, and never in objects that exist at the start."""
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
    """Listening sockets of a server; None for an unused socket.

    Attributes:
        requests: Sockets of the API and the pages.
        metrics: Socket of the metrics.
        commands: UNIX socket of the commands of other processes.
    """

    requests: Sequence[socket.socket]
    metrics: socket.socket | None
    commands: socket.socket | None


class _Server(uvicorn.Server):
    """uvicorn server with its own acceptor; it ignores signals during its shutdown.

    Args:
        config: Configuration of uvicorn.
        services: Services of the server; the shutdown ends the streams of the hub.
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
        self._acceptors: Sequence[Acceptor] = ()
        self._metrics: MetricsEndpoint | None = None
        self._commands: Commands | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections."""
        await super().startup(sockets)
        services, listeners = self._services, self._listeners
        services.writer.follow(asyncio.get_running_loop(), services.apply)
        self._acceptors = [
            Acceptor(each, self._new_protocol, self._connections)
            for each in listeners.requests
        ]
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
        notify_ready()

    async def on_tick(self, counter: int) -> bool:
        """Check the time limits of connections; uvicorn calls this each 0.1 s."""
        self._connections.sweep()
        if self._metrics is not None:
            self._metrics.sweep()
        return await super().on_tick(counter)

    def _new_protocol(self) -> HttpProtocol:
        return HttpProtocol(self.config, self.server_state, self.lifespan.state)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, then end the open connections."""
        for acceptor in self._acceptors:
            acceptor.close()
        if self._metrics is not None:
            self._metrics.close()
        # End the streams now: a stream would last for minutes.
        self._services.hub.close()
        stopping = [super().shutdown(sockets)]
        if self._commands is not None:
            stopping.append(self._commands.close(SHUTDOWN_SECONDS))
        await asyncio.gather(*stopping)
        # Abort the connections of clients that do not read: cancelled requests would
        # wait until these clients read, also with an answer 503.
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


def _configuration(services: Services, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        ForwardedRequests(create_app(services), settings.trusted_proxies),
        http=HttpProtocol,
        root_path=services.base_path,
        loop="uvloop",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # uvicorn would read the trusted proxies from another variable.
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _run(server: _Server) -> None:
    try:
        # Without a socket of its own, uvicorn leaves connections to the acceptor.
        server.run(sockets=[])
    except KeyboardInterrupt:
        # uvicorn has shut down in order and then raised the signal again.
        return
