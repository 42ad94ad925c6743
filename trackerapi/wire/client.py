"""The generated client, ready to be used: with key, timeouts, retries and guard."""

import asyncio
import encodings.idna  # noqa: F401 - else loaded by the first look-up, fork or not
import gc
import os
import threading
import warnings
from typing import Any
from weakref import WeakKeyDictionary

import httpcore  # noqa: F401 - else httpx loads it with the first client, fork or not
import httpx
from attrs import define, field
from trackerapi_client import AuthenticatedClient

from trackerapi.wire.attempts import Patience
from trackerapi.wire.failures import proxy_translated
from trackerapi.wire.guarded_http import GuardedAsyncHttp, GuardedHttp


@define(repr=False, eq=False)
class BackendClient(AuthenticatedClient):
    """The generated client, ready with key, timeouts, retries and guard.

    Pass it to any generated call: `list_jobs.sync(client=tracker.client)`. Such a
    call returns the operation's model or raises a `BackendError`. Safe to share
    between threads and across a fork; the key does not show in the repr.
    """

    patience: Patience = field(
        default=Patience(attempt_seconds=10.0, deadline_seconds=30.0), kw_only=True
    )
    _pid: int = field(init=False, factory=os.getpid)
    _lock: threading.Lock = field(init=False, factory=threading.Lock)
    _async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
        field(init=False, factory=WeakKeyDictionary)
    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    @property
    def base_url(self) -> str:
        """Address of the backend."""
        return self._base_url

    def change_key(self, key: str) -> None:
        """Use another key from the next request on."""
        self.close()
        self.token = key

    def get_httpx_client(self) -> httpx.Client:
        """Return the connection pool of this process, made on first use."""
        if self._pid != os.getpid():
            # Parent and child on one socket would mix their answers, and the lock
            # may have been held by a thread that the child does not have.
            self._drop_inherited()
        client = self._client
        if client is None:
            with self._lock:
                client = self._client
                if client is None:
                    with proxy_translated():
                        client = GuardedHttp(self.patience, **self._arguments())
                    self._client = client
        return client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """Return the connection pool of the running event loop, made on first use.

        Raises:
            RuntimeError: If no event loop runs.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            # A connection belongs to the loop that opened it.
            with proxy_translated():
                self._async_clients[loop] = GuardedAsyncHttp(
                    self.patience, **self._arguments()
                )
        return self._async_clients[loop]

    async def aclose(self) -> None:
        """Close the asynchronous connections of the running event loop."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def close(self) -> None:
        """Close the connections; a later call opens new ones.

        One that another thread is using is closed when its request has ended. Those of
        an event loop are closed by `aclose()` in that loop.
        """
        if self._pid != os.getpid():
            self._drop_inherited()
            return
        client, self._client = self._client, None
        if isinstance(client, GuardedHttp):
            client.retire()
        elif client is not None:  # set by `set_httpx_client()`
            client.close()

    def _drop_inherited(self) -> None:
        """Let go of what belongs to the parent, in a child that a fork has made."""
        self._lock, self._pid = threading.Lock(), os.getpid()
        if self._client is None:
            return
        # Not closed in order: that takes a lock which nobody may be left to release.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            self._client = None
            gc.collect()

    def _arguments(self) -> dict[str, Any]:
        return {
            "base_url": self._base_url,
            "headers": {**self._headers, self.auth_header_name: self.token},
            "verify": self._verify_ssl,
            "follow_redirects": False,  # would carry the key to another host
            **self._httpx_args,
        }
