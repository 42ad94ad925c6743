"""Resolution of host names, in one thread for each name that is being resolved."""

import os
import socket
import threading
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Final

from trackerapi.wire.sockets import avoiding_standard_streams

# `getaddrinfo()` cannot be interrupted and may take minutes. Attempts that need the
# same name share one call, so that retries do not pile up threads.
_RUNNING: Final[dict[tuple[int, str, int], Future[list[str]]]] = {}


def resolve(host: str, port: int) -> Future[list[str]]:
    """Return a future of the IP addresses of `host`.

    A daemon thread resolves the name. If no thread can start, block and resolve it
    here. The future raises the exceptions of `socket.getaddrinfo()`.
    """
    future: Future[list[str]] = Future()
    # A running future cannot be cancelled: a cancelled task of one caller would cancel
    # the future of all callers.
    future.set_running_or_notify_cancel()
    if _is_address(host):
        future.set_result([host])
        return future
    # With the process id: the parent's thread does not run in a forked child.
    key = os.getpid(), host, port
    # `setdefault()` is atomic: of concurrent callers, only one starts a thread.
    shared = _RUNNING.setdefault(key, future)
    if shared is future:
        arguments = key, future
        try:
            threading.Thread(
                target=_resolve,
                args=arguments,
                name="trackerapi-resolve",
                daemon=True,
            ).start()
        except RuntimeError:  # the process has too many threads
            _resolve(*arguments)
    return shared


def _resolve(key: tuple[int, str, int], future: Future[list[str]]) -> None:
    _, host, port = key
    try:
        with avoiding_standard_streams():
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
    except Exception as error:  # noqa: BLE001 - raised by `result()` of the future
        _RUNNING.pop(key, None)
        future.set_exception(error)
    else:
        _RUNNING.pop(key, None)
        future.set_result(addresses)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
