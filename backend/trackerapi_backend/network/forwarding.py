"""Client and scheme of a request, taken from the headers of trusted proxies."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Network

    from starlette.types import ASGIApp, Receive, Scope, Send

MAX_KNOWN_CLIENTS = 4096
"""Maximum number of addresses in the cache of trusted and untrusted addresses."""


class ForwardedRequests:
    """Application that replaces client and scheme of requests from trusted proxies.

    The peer of a UNIX socket counts as a trusted proxy too: the permissions of the
    socket file restrict the users who can connect.

    Args:
        app: Application that answers the requests.
        proxies: Networks of the trusted proxies.
    """

    def __init__(
        self, app: ASGIApp, proxies: Sequence[IPv4Network | IPv6Network]
    ) -> None:
        self._app, self._proxies = app, proxies
        self._is_trusted = lru_cache(MAX_KNOWN_CLIENTS)(self._compute_trust)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for a request."""
        if scope["type"] == "http":
            client = scope["client"]
            if client is None or self._is_trusted(client[0]):
                self._replace(scope)
        await self._app(scope, receive, send)

    def _compute_trust(self, host: str) -> bool:
        address = _parse_address(host)
        return address is not None and any(address in each for each in self._proxies)

    def _replace(self, scope: Scope) -> None:
        chain = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                chain += value.decode("latin-1").split(",")
            elif name == b"x-forwarded-proto" and value in (b"http", b"https"):
                scope["scheme"] = value.decode()
        client = self._first_foreign(chain)
        if client is not None:
            scope["client"] = (client, 0)

    def _first_foreign(self, chain: Sequence[str]) -> str | None:
        """Return the last address of a chain that is not a trusted proxy.

        Each proxy appends the address of its client. A client may send false items at
        the beginning of the chain, so the search begins at the end. If all addresses
        are trusted, return the first address. An invalid item ends the search.

        Returns:
            Address of the client; None if the last item is missing or invalid.
        """
        client = None
        for item in reversed(chain):
            address = _parse_address(item)
            if address is None:
                break
            client = str(address)
            if not self._is_trusted(client):
                break
        return client


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a text such as `192.0.2.1:80`; None without an address."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    # A socket for both versions of IP gives an IPv4 client an IPv6 address.
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
