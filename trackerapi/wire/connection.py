"""The clients of one TrackerApi, each with the patience of its purpose."""

import os
import ssl
import weakref
from typing import Final

import httpx

from trackerapi.errors import SettingsError, one_line
from trackerapi.settings import BASE_URL, CA_FILE, Settings
from trackerapi.wire.attempts import Patience
from trackerapi.wire.calls import Calls
from trackerapi.wire.client import BackendClient
from trackerapi.wire.sender import HttpSender

REPORT_SECONDS: Final = 3.0
"""Longest that the one attempt to create a job may block it."""

_ATTEMPTS_WORTH: Final = 3


class Connection:
    """Opens nothing until the first request; safe to share between threads.

    Attributes:
        client: The generated client for questions: retries, and waits long.
        questions: The operations over `client`.
        reports: The operations for reports: one attempt of at most 3 s.
        sender: What delivery sends through: one attempt, which blocks no job.
    """

    def __init__(self, settings: Settings, user_agent: str) -> None:
        _check_address(settings.base_url)
        self._settings, self._user_agent = settings, user_agent
        self._verify = _verification(settings)
        patience = settings.timeout_seconds
        self.client = self._open(
            Patience(
                attempt_seconds=patience, deadline_seconds=patience * _ATTEMPTS_WORTH
            )
        )
        self._reporting = self._open(
            Patience(
                attempt_seconds=min(patience, REPORT_SECONDS), deadline_seconds=0.0
            )
        )
        self._delivering = self._open(
            Patience(attempt_seconds=patience, deadline_seconds=0.0)
        )
        self.questions = Calls(self.client)
        self.reports = Calls(self._reporting)
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

    def _open(self, patience: Patience) -> BackendClient:
        proxy = self._settings.proxy
        return BackendClient(
            base_url=self._settings.base_url,
            token=self._settings.api_key,
            prefix="",
            auth_header_name="X-API-Key",
            headers={"User-Agent": self._user_agent},
            timeout=httpx.Timeout(patience.attempt_seconds),
            verify_ssl=self._verify,
            httpx_args={"proxy": proxy} if proxy else {},
            patience=patience,
        )


def _close(*clients: BackendClient) -> None:
    for client in clients:
        client.close()


def _check_address(base_url: str) -> None:
    try:
        httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise SettingsError(f"not an address ({error})", BASE_URL) from None


def _verification(settings: Settings) -> ssl.SSLContext | bool:
    if not settings.verify:
        return False
    try:
        if settings.ca_file is not None:
            return ssl.create_default_context(cafile=settings.ca_file)
        # Making a context takes longer than a request, so the clients share one.
        return httpx.create_ssl_context()
    except OSError as error:  # such as ssl.SSLError
        setting = CA_FILE if settings.ca_file else "SSL_CERT_FILE"
        file = settings.ca_file or os.environ.get(setting)
        reason = f"{file} holds no usable certificates ({one_line(str(error), 200)})"
        raise SettingsError(reason, setting) from None
