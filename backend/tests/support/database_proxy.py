"""TCP proxy before a PostgreSQL server: cuts connections, swallows bytes."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import closing, contextmanager, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import conninfo_to_dict

from backend.tests.support.postgres import changed_url

if TYPE_CHECKING:
    from collections.abc import Iterator

CUT_CHANCE = 0.02
"""Chance that `Fault.RANDOM_CUT` cuts a connection, for each chunk of bytes."""

_CHUNK_BYTES = 1 << 16


class Fault(Enum):
    """Fault of the proxy.

    Attributes:
        SILENCE: Swallow all bytes. A connection that has lost bytes stays silent until
            one side closes it.
        RANDOM_CUT: Cut connections at random.
        CUT_BEFORE_COMMIT: Cut a connection instead of forwarding a COMMIT.
        CUT_AFTER_COMMIT: Forward a COMMIT, and cut the connection instead of
            forwarding the answer.
    """

    NONE = auto()
    SILENCE = auto()
    RANDOM_CUT = auto()
    CUT_BEFORE_COMMIT = auto()
    CUT_AFTER_COMMIT = auto()


class DatabaseProxy:
    """Proxy on a free port of loopback.

    Args:
        url: Address of a database.

    Attributes:
        url: Address of the same database by the proxy.
        fault: Current fault.
        cuts: Number of connections that a fault has cut.
    """

    def __init__(self, url: str) -> None:
        self._target = conninfo_to_dict(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = changed_url(url, host="127.0.0.1", port=port)
        self.fault, self.cuts = Fault.NONE, 0
        self._random = random.Random(1)  # noqa: S311 -- when to cut, no secret
        self._threads: list[threading.Thread] = []
        self._pairs: list[_Pair] = []
        self._start(self._accept)

    def close(self) -> None:
        """Close all connections; wait for all threads."""
        # `close()` alone would not wake the thread that waits for a connection.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for pair in self._pairs:
            pair.cut()
        for thread in self._threads:
            thread.join()

    def _start(self, run: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=run, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, self._connect() as server:
            pair = _Pair(client, server)
            self._pairs.append(pair)
            answers = threading.Thread(target=self._forward_answers, args=[pair])
            answers.start()
            self._forward_queries(pair)
            answers.join()

    def _connect(self) -> socket.socket:
        host, port = str(self._target["host"]), self._target.get("port") or 5432
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _forward_queries(self, pair: _Pair) -> None:
        for chunk in pair.chunks(pair.client):
            if b"COMMIT" in chunk and self.fault is Fault.CUT_BEFORE_COMMIT:
                self._cut(pair)
            pair.is_committing = b"COMMIT" in chunk
            self._forward(pair, chunk, pair.server)

    def _forward_answers(self, pair: _Pair) -> None:
        for chunk in pair.chunks(pair.server):
            if pair.is_committing and self.fault is Fault.CUT_AFTER_COMMIT:
                self._cut(pair)
            self._forward(pair, chunk, pair.client)

    def _forward(self, pair: _Pair, chunk: bytes, to: socket.socket) -> None:
        if self.fault is Fault.SILENCE:
            pair.is_silent = True
        if self.fault is Fault.RANDOM_CUT and self._random.random() < CUT_CHANCE:
            self._cut(pair)
        if not pair.is_silent:
            with suppress(OSError):
                to.sendall(chunk)

    def _cut(self, pair: _Pair) -> None:
        self.cuts += 1
        pair.cut()


class _Pair:
    """Connection of a client with the connection to the server that belongs to it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.is_silent = self.is_committing = False

    def chunks(self, source: socket.socket) -> Iterator[bytes]:
        """Yield bytes until one side ends; then cut both sides."""
        with suppress(OSError):
            while chunk := source.recv(_CHUNK_BYTES):
                yield chunk
        self.cut()

    def cut(self) -> None:
        """End the connections of both sides."""
        for side in (self.client, self.server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@contextmanager
def database_proxy(url: str) -> Iterator[DatabaseProxy]:
    """Run a proxy before the server of an address during the block."""
    with closing(DatabaseProxy(url)) as proxy:
        yield proxy
