"""Real proxy on loopback that tunnels connections by CONNECT."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Tunnel:
    """Running proxy.

    Attributes:
        url: Address of the proxy.
        targets: Requested hosts and ports, in order.
    """

    url: str
    targets: list[str] = field(default_factory=list)


@contextmanager
def tunnel() -> Iterator[Tunnel]:
    """Run a proxy that connects to each host that CONNECT names."""

    class Connect(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                target = self.rfile.readline().split()[1].decode()
                while self.rfile.readline().strip():
                    pass
                running.targets.append(target)
                host, _, port = target.rpartition(":")
                with socket.create_connection((host, int(port))) as onward:
                    self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                    back = threading.Thread(
                        target=_relay, args=(onward, self.connection)
                    )
                    back.start()
                    _relay(self.connection, onward)
                    back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connect) as server:
        running = Tunnel(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield running
        finally:
            server.shutdown()


def _relay(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes until either side closes."""
    with suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    for side in (source, target):
        with suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)
