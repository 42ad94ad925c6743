"""Generated client with key, time limits, retries and a check of every answer."""

import asyncio
import encodings.idna  # noqa: F401 - a fork during a later import would deadlock
import gc
import math
import os
import threading
import warnings
from typing import Any, Self
from weakref import WeakKeyDictionary, WeakSet, finalize

import httpcore  # noqa: F401 - a fork during a later import would deadlock
import httpx
from attrs import define, evolve, field
from trackerapi_client import AuthenticatedClient

from trackerapi.wire.attempts import TimeLimits
from trackerapi.wire.failures import translate_proxy_errors
from trackerapi.wire.guarded_http import GuardedAsyncHttp, GuardedHttp
from trackerapi.wire.sockets import detach_lost_sockets


@define(repr=False, eq=False)
class BackendClient(AuthenticatedClient):
    """Generated client with key, time limits, retries and a check of every answer.

    Pass the client to any generated call. A call blocks no longer than the time limits;
    it returns the model of the operation or raises a `BackendError`. Safe to share
    between threads and across a fork. The repr hides the key.

    `with_timeout()`, `with_headers()` and `with_cookies()` return a derived client with
    the same key and retries; this client stays unchanged. A derived client closes
    with this client, or when it is garbage-collected.

    Attributes:
        time_limits: Time limits of each request.
        proxy_text: The proxy and the setting that names it; empty without a proxy.

    Example:
        page = list_jobs.sync(client=tracker.client)
    """

    time_limits: TimeLimits = field(
        default=TimeLimits(attempt_seconds=10.0, deadline_seconds=30.0), kw_only=True
    )
    proxy_text: str = field(default="", kw_only=True)
    _pid: int = field(init=False, factory=os.getpid)
    # Reentrant: a signal handler may send a request while its thread makes the pool.
    _lock: threading.RLock = field(init=False, factory=threading.RLock)
    _async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
        field(init=False, factory=WeakKeyDictionary)
    )
    _derived: WeakSet["BackendClient"] = field(init=False, factory=WeakSet)
    _finalizer: "finalize[..., BackendClient] | None" = field(init=False, default=None)

    # Compare by identity: the generated class compares members, which would make a
    # client unhashable.
    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self._base_url!r})"

    @property
    def base_url(self) -> str:
        """Address of the backend."""
        return self._base_url

    def change_key(self, key: str) -> None:
        """Use another key from the next request on, also in derived clients."""
        self.close()
        self.token = key
        for client in list(self._derived):
            client.change_key(key)

    def with_timeout(self, timeout: httpx.Timeout | float) -> Self:
        """Return a derived client with another time limit of an attempt.

        The deadline of all attempts changes in the same proportion.

        Args:
            timeout: Seconds of one attempt, or timeouts of its phases. The longest
                phase limits the attempt. If no phase has a timeout, the limit of this
                client stays.

        Raises:
            ValueError: If a limit is not a positive, finite number of seconds.
        """
        given = (
            timeout if isinstance(timeout, httpx.Timeout) else httpx.Timeout(timeout)
        )
        limits = [each for each in given.as_dict().values() if each is not None]
        if not all(0 < each < math.inf for each in limits):
            raise ValueError(f"timeout must be above 0 and finite, got {timeout!r}")
        longest = max(limits, default=self.time_limits.attempt_seconds)
        factor = longest / self.time_limits.attempt_seconds
        time_limits = TimeLimits(
            attempt_seconds=longest,
            deadline_seconds=self.time_limits.deadline_seconds * factor,
        )
        return self._derive(timeout=given, time_limits=time_limits)

    def with_headers(self, headers: dict[str, str]) -> Self:
        """Return a derived client that also sends `headers`, except a key."""
        merged = httpx.Headers(self._headers)
        merged.update(headers)
        merged.pop(self.auth_header_name, None)
        return self._derive(headers=dict(merged))

    def with_cookies(self, cookies: dict[str, str]) -> Self:
        """Return a derived client that also sends `cookies`.

        Cookies of answers are never kept.
        """
        return self._derive(cookies={**self._cookies, **cookies})

    def _derive(self, **changes: Any) -> Self:
        members = {"headers": dict(self._headers), "cookies": dict(self._cookies)}
        derived = evolve(self, **{**members, **changes})
        self._derived.add(derived)
        return derived

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    def get_httpx_client(self) -> httpx.Client:
        """Return the connection pool of this process, made on first use."""
        if self._pid != os.getpid():
            # Fork: parent and child on one socket would mix their answers. The lock may
            # be held by a thread that the child does not have.
            self._drop_inherited()
        client = self._client
        if client is None:
            with self._lock:
                client = self._client
                if client is None:
                    with translate_proxy_errors():
                        client = GuardedHttp(
                            self.time_limits, self.proxy_text, **self._arguments()
                        )
                    # The finalizer closes the connections of a client that is never
                    # closed: Python warns of each open socket.
                    self._finalizer = finalize(self, _retire, client, os.getpid())
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
            with translate_proxy_errors():
                self._async_clients[loop] = GuardedAsyncHttp(
                    self.time_limits, self.proxy_text, **self._arguments()
                )
        return self._async_clients[loop]

    async def aclose(self) -> None:
        """Close the asynchronous connections of the running event loop."""
        for derived in list(self._derived):
            await derived.aclose()
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def close(self) -> None:
        """Close the connections; a later call opens new ones.

        A connection that another thread uses is closed after its request. Call
        `aclose()` in an event loop to close the connections of that loop.
        """
        if self._pid != os.getpid():
            self._drop_inherited()
            return
        for derived in list(self._derived):
            derived.close()
        client, self._client = self._client, None
        self._detach_finalizer()
        if isinstance(client, GuardedHttp):
            client.retire()
        elif client is not None:  # set by `set_httpx_client()`
            client.close()

    def _drop_inherited(self) -> None:
        """Drop the connections of the parent, in a forked child."""
        self._lock, self._pid = threading.RLock(), os.getpid()
        self._detach_finalizer()
        if self._client is None:
            return
        # Dropped, not closed: `close()` takes a lock that another thread of the parent
        # may have held at the fork.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            detach_lost_sockets()  # the child may have closed all descriptors
            self._client = None
            gc.collect()

    def _detach_finalizer(self) -> None:
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = None

    def _arguments(self) -> dict[str, Any]:
        cookies = "; ".join(f"{name}={each}" for name, each in self._cookies.items())
        return {
            "base_url": self._base_url,
            "headers": {
                **self._headers,
                **({"Cookie": cookies} if cookies else {}),
                self.auth_header_name: self.token,
            },
            "timeout": self._timeout,
            "verify": self._verify_ssl,
            "follow_redirects": False,  # a redirect would carry the key to another host
            **self._httpx_args,
        }


def _retire(client: GuardedHttp, pid: int) -> None:
    if pid == os.getpid():
        client.retire()
