"""Endpoint of the metrics, with its own listening socket and connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.server import ServerState

from trackerapi_backend.metrics.app import MetricsApp
from trackerapi_backend.network.acceptor import Acceptor
from trackerapi_backend.network.connections import Connections
from trackerapi_backend.network.http_protocol import HttpProtocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from trackerapi_backend.requests.call import Services

MAX_CONNECTIONS = 20
"""Maximum number of open connections to the metrics."""


class MetricsEndpoint:
    """HTTP server of the metrics on the running event loop.

    Args:
        listener: Listening socket; `close()` closes it.
        services: Services of the server.
        count_connections: Function that returns the number of connections of clients.
    """

    def __init__(
        self,
        listener: socket.socket,
        services: Services,
        count_connections: Callable[[], int],
    ) -> None:
        app = MetricsApp(services, count_connections)
        self._config = uvicorn.Config(
            app,
            http=HttpProtocol,
            log_config=None,
            server_header=False,
            proxy_headers=False,
        )
        self._config.load()
        self._state = ServerState()
        protocols = cast("set[HttpProtocol]", self._state.connections)
        self._connections = Connections(protocols, MAX_CONNECTIONS)
        self._acceptor = Acceptor(listener, self._new_protocol, self._connections)

    def _new_protocol(self) -> HttpProtocol:
        return HttpProtocol(self._config, self._state, {})

    def sweep(self) -> None:
        """End the connections that exceed a time limit."""
        self._connections.sweep()

    def close(self) -> None:
        """Accept no more connections, and end the open connections."""
        self._acceptor.close()
        for connection in [*self._state.connections]:
            connection.shutdown()
