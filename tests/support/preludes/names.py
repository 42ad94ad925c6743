"""Name server for the processes of a test, and the prelude that queries the server.

A process imports this module first to look up `tracker.test` at the server of the test.
The system looks up all other names as usual.
"""

import os
import socket
import threading
from types import TracebackType
from typing import Any, Final, Self

NAME: Final = "tracker.test"
PORT_VARIABLE: Final = "NAME_SERVER_PORT"
"""Environment variable with the port of the server."""

PATIENCE_SECONDS: Final = 30.0


class NameServer:
    """Name server for `tracker.test` that counts its queries.

    Attributes:
        resolves: Whether the server knows `tracker.test`; may change at any time.
        port: UDP port of the server on loopback.
    """

    def __init__(self, *, resolves: bool) -> None:
        self.resolves = resolves
        self.port = 0
        self._asked = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.sendto(b"end", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def await_queries(self, count: int) -> None:
        """Wait until the server has received `count` queries in all."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: self._asked >= count, PATIENCE_SECONDS
            )
        assert came, f"received {self._asked} queries, not {count}"

    def _serve(self) -> None:
        while True:
            question, asker = self._socket.recvfrom(100)
            if question == b"end":
                return
            self._socket.sendto(b"known" if self.resolves else b"unknown", asker)
            with self._changed:
                self._asked += 1
                self._changed.notify_all()


def _is_known() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(b"?", ("127.0.0.1", int(os.environ[PORT_VARIABLE])))
        return asking.recv(100) == b"known"


def _patch_getaddrinfo() -> None:
    """Make `socket.getaddrinfo` query the server of the test for `tracker.test`."""
    ask_the_system = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **named: Any) -> Any:
        if host in (NAME, NAME.encode()):
            if not _is_known():
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            host = "127.0.0.1"
        return ask_the_system(host, *arguments, **named)

    socket.getaddrinfo = look_up


if PORT_VARIABLE in os.environ:
    _patch_getaddrinfo()
