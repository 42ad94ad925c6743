"""HTTP proxy that serves a backend below a path, as a proxy of a larger site does."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from backend.tests.support.service import MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

# The proxy closes the connections of both sides after each response.
_OWN_HEADERS = ("connection", "transfer-encoding", "host")


class PrefixProxy(ThreadingHTTPServer):
    """Proxy on a free port of loopback.

    Attributes:
        prefix: Path of the backend; other paths get 404.
        is_removed: Whether the proxy removes the prefix from the path.
        port: Port of the backend.
    """

    daemon_threads = True
    prefix, is_removed, port = "/tracker", True, 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def base_url(self) -> str:
        """Address of the backend behind the proxy."""
        return f"http://127.0.0.1:{self.server_port}{self.prefix}"


class _Handler(BaseHTTPRequestHandler):
    server: PrefixProxy

    def do_GET(self) -> None:
        """Pass a request on, and the response back while it comes."""
        proxy, path = self.server, self.path
        if not path.startswith(f"{proxy.prefix}/"):
            self.send_error(404)
            return
        if proxy.is_removed:
            path = path.removeprefix(proxy.prefix)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in _OWN_HEADERS
        }
        headers |= {"Host": self.headers["Host"], "X-Forwarded-For": "192.0.2.1"}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        backend = HTTPConnection("127.0.0.1", proxy.port, MAX_WAIT_SECONDS)
        # The client or the backend may leave at any time.
        with closing(backend), suppress(ConnectionError, HTTPException):
            backend.request(self.command, path, body or None, headers)
            self._answer(backend.getresponse())

    do_POST = do_GET  # noqa: N815 -- name of the base class

    def _answer(self, response: HTTPResponse) -> None:
        self.send_response_only(response.status)
        for name, value in response.getheaders():
            if name.lower() not in _OWN_HEADERS:
                self.send_header(name, value)
        self.end_headers()
        while chunk := response.read1(65536):
            self.wfile.write(chunk)
            self.wfile.flush()


@contextmanager
def prefix_proxy() -> Iterator[PrefixProxy]:
    """Run a proxy during the block; the block sets `port`."""
    with PrefixProxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=[0.05])
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
