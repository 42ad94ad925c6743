"""The clients of one TrackerApi, each with the patience of its purpose."""

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

REPORT_SECONDS: Final = 3.0
"""Longest that the one attempt to create a job may block it."""

_ATTEMPTS_WORTH: Final = 3
_WARNED: Final[set[tuple[str, ...]]] = set()


class Connection:
    """Opens nothing until the first request; safe to share between threads.

    Attributes:
        client: The generated client for questions: retries, and waits long.
        read_calls: The operations over `client`.
        reporting_calls: The operations for reports: one attempt of at most 3 s.
        sender: What delivery sends through: one attempt, which blocks no job.
    """

    def __init__(self, settings: Settings, user_agent: str) -> None:
        _check_address(settings.base_url)
        _warn_of(settings.route.unreadable_no_proxy)
        self._settings, self._user_agent = settings, user_agent
        self._verify = _verification(settings.route)
        self._route = _route_arguments(settings.route)
        time_limits = settings.timeout_seconds
        self.client = self._open(
            TimeLimits(
                attempt_seconds=time_limits,
                deadline_seconds=time_limits * _ATTEMPTS_WORTH,
            )
        )
        self._reporting = self._open(
            TimeLimits(
                attempt_seconds=min(time_limits, REPORT_SECONDS), deadline_seconds=0.0
            )
        )
        self._delivering = self._open(
            TimeLimits(attempt_seconds=time_limits, deadline_seconds=0.0)
        )
        self.read_calls = Calls(self.client)
        self.reporting_calls = Calls(self._reporting)
        self.sender = HttpSender(
            self._delivering, settings.read_key_again, self._take_key
        )
        # Scripts that never call close() leave no open socket behind either.
        weakref.finalize(self, _close, *self._clients)

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        _close(*self._clients)

    @property
    def _clients(self) -> tuple[BackendClient, ...]:
        return self.client, self._reporting, self._delivering

    def _take_key(self, key: str) -> None:
        for client in self._clients:
            client.change_key(key)

    def _open(self, time_limits: TimeLimits) -> BackendClient:
        return BackendClient(
            base_url=self._settings.base_url,
            token=self._settings.api_key,
            prefix="",
            auth_header_name=bodies.KEY_HEADER,
            headers={"User-Agent": self._user_agent},
            timeout=httpx.Timeout(time_limits.attempt_seconds),
            verify_ssl=self._verify,
            httpx_args=self._route,
            time_limits=time_limits,
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
        # Loads no certificates, and so trusts nobody.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not route.verify:
        return False
    # Making a context takes longer than a request, so the clients share one.
    return route.trust or _usual_trust()


def _route_arguments(route: Route) -> dict[str, Any]:
    """Return what httpx is told about the proxy; it reads no variables itself."""
    proxy: httpx.Proxy | str | None = route.proxy
    if route.proxy is not None and route.has_secure_proxy:
        proxy = httpx.Proxy(
            route.proxy, ssl_context=route.proxy_trust or _usual_trust()
        )
    return {"proxy": proxy, "trust_env": False}


def _usual_trust() -> ssl.SSLContext:
    folder = os.environ.get("SSL_CERT_DIR", "").strip()
    try:
        if folder:
            return ssl.create_default_context(capath=folder)
        return httpx.create_ssl_context(trust_env=False)
    except OSError as error:
        raise SettingsError(
            f"cannot be written ({one_line(str(error), 200)})", SSL_KEY_LOG
        ) from None


def _warn_of(entries: tuple[str, ...]) -> None:
    """Warn once a process of entries of NO_PROXY that were ignored."""
    if entries and entries not in _WARNED:
        _WARNED.add(entries)
        log(logging.WARNING, no_proxy_ignored(entries))
