"""HTTP clients of one TrackerApi, each with the time limits of its purpose."""

import logging
import os
import ssl
import weakref
from typing import Any, Final

import httpx

from trackerapi.errors import SettingsError, one_line
from trackerapi.problems import log, no_proxy_ignored
from trackerapi.settings.certificates import SSL_KEY_LOG
from trackerapi.settings.route import BASE_URL, Route
from trackerapi.settings.settings import Settings
from trackerapi.wire import bodies
from trackerapi.wire.attempts import TimeLimits
from trackerapi.wire.calls import Calls
from trackerapi.wire.client import BackendClient
from trackerapi.wire.sender import HttpSender
from trackerapi.wire.watch_calls import WatchCalls

REPORT_SECONDS: Final = 3.0
"""Maximum time that creating a job may block the script, in seconds; one attempt."""

_DEADLINE_ATTEMPTS: Final = 3
"""Deadline of a read call, as a multiple of the time limit of one attempt."""

_WARNED: Final[set[tuple[str, ...]]] = set()


class Connection:
    """HTTP clients of one TrackerApi; safe to share between threads.

    The first request opens the first connection.

    Args:
        settings: Address, key, timeout, proxy and certificates.
        user_agent: Value of the header `User-Agent`.

    Attributes:
        client: The generated client for read calls, which retries.
        read_calls: Operations over `client`.
        reporting_calls: Operations that block a script: one attempt of at most 3 s.
        watch_calls: Requests of watches: one attempt each, over connections of their
            own, so that streams leave the other connections free.
        sender: Client for delivery: one attempt, in the delivery thread.

    Raises:
        SettingsError: If address, proxy or certificates cannot be used.
    """

    def __init__(self, settings: Settings, user_agent: str) -> None:
        _check_address(settings.base_url)
        _log_ignored(settings.route.unreadable_no_proxy)
        self._settings, self._user_agent = settings, user_agent
        self._verify = _verification(settings.route)
        self._route = _route_arguments(settings.route)
        timeout = settings.timeout_seconds
        self.client = self._new_client(timeout, timeout * _DEADLINE_ATTEMPTS)
        self._reporting_client = self._new_client(min(timeout, REPORT_SECONDS))
        self._delivery_client = self._new_client(timeout)
        self._watch_client = self._new_client(timeout)
        self.read_calls = Calls(self.client)
        self.reporting_calls = Calls(self._reporting_client)
        self.watch_calls = WatchCalls(self._watch_client)
        self.sender = HttpSender(
            self._delivery_client, settings.read_key_again, self._change_key
        )
        # For scripts that never call `close()`: Python warns of each open socket.
        weakref.finalize(self, _close, *self._clients)

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        _close(*self._clients)

    @property
    def _clients(self) -> tuple[BackendClient, ...]:
        return (
            self.client,
            self._reporting_client,
            self._delivery_client,
            self._watch_client,
        )

    def _change_key(self, key: str) -> None:
        for client in self._clients:
            client.change_key(key)

    def _new_client(
        self, attempt_seconds: float, deadline_seconds: float = 0.0
    ) -> BackendClient:
        return BackendClient(
            base_url=self._settings.base_url,
            token=self._settings.api_key,
            prefix="",
            auth_header_name=bodies.KEY_HEADER,
            headers={"User-Agent": self._user_agent},
            timeout=httpx.Timeout(attempt_seconds),
            verify_ssl=self._verify,
            httpx_args=self._route,
            time_limits=TimeLimits(
                attempt_seconds=attempt_seconds, deadline_seconds=deadline_seconds
            ),
            proxy_text=self._settings.route.proxy_text,
        )


def _close(*clients: BackendClient) -> None:
    for client in clients:
        client.close()


def _check_address(base_url: str) -> None:
    try:
        httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise SettingsError(f"not an address ({error})", BASE_URL) from None


def _verification(route: Route) -> ssl.SSLContext | bool:
    if not route.is_secure:
        # httpx wants a context. This one is fast to make: it loads no certificates.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not route.verify:
        return False
    # The clients share one context: making a context takes longer than a request.
    return route.trust or _default_trust()


def _route_arguments(route: Route) -> dict[str, Any]:
    """Return httpx's arguments for the proxy; httpx then ignores proxy variables."""
    proxy: httpx.Proxy | str | None = route.proxy
    if route.proxy is not None and route.has_secure_proxy:
        proxy = httpx.Proxy(
            route.proxy, ssl_context=route.proxy_trust or _default_trust()
        )
    return {"proxy": proxy, "trust_env": False}


def _default_trust() -> ssl.SSLContext:
    """Return a context with the certificates of `SSL_CERT_DIR` or of certifi."""
    folder = os.environ.get("SSL_CERT_DIR", "").strip()
    try:
        if folder:
            return ssl.create_default_context(capath=folder)
        return httpx.create_ssl_context(trust_env=False)
    except OSError as error:
        raise SettingsError(
            f"cannot be written ({one_line(str(error), 200)})", SSL_KEY_LOG
        ) from None


def _log_ignored(entries: tuple[str, ...]) -> None:
    """Log ignored entries of `NO_PROXY`, once a process."""
    if entries and entries not in _WARNED:
        _WARNED.add(entries)
        log(logging.WARNING, no_proxy_ignored(entries))
