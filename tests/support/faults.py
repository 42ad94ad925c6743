"""What a `FaultProxy` can do to requests and connections."""

import socket
import ssl
import threading
from typing import Final

from tests.support.fault_proxy import Fault, Passage, Welcome, pass_on
from tests.support.scripted_server import http, problem

PORTAL: Final = b"<!doctype html><title>Welcome</title><p>Please log in to the network."


def answering(data: bytes) -> Fault:
    """Take the request and answer `data`, without asking the backend."""

    def fault(passage: Passage) -> None:
        passage.read_body()
        passage.answer(data)

    return fault


def html(status: int) -> Fault:
    """Answer as a portal, a wrong address or a server between does."""
    return answering(http(status, PORTAL, "text/html; charset=utf-8"))


unavailable: Final = answering(problem(503))
"""The backend says that it cannot serve now."""

bare_unavailable: Final = html(503)
"""A server between says that it cannot reach the backend."""

key_refused: Final = answering(problem(401))
"""The backend says that the key is not good."""


def busy(retry_after_seconds: int) -> Fault:
    """Ask the client to come back later."""
    answer = problem(429)
    head, _, body = answer.partition(b"\r\n\r\n")
    wait = f"\r\nRetry-After: {retry_after_seconds}\r\n\r\n".encode()
    return answering(head + wait + body)


def dropping_each(number: int) -> Fault:
    """Drop each `number`-th answer after the backend has processed the request."""
    lock, count = threading.Lock(), 0

    def fault(passage: Passage) -> None:
        nonlocal count
        with lock:
            count += 1
            is_dropped = count % number == 0
        if is_dropped:
            passage.ask_backend()
            passage.reset()
        else:
            pass_on(passage)

    return fault


def dripping(pause_seconds: float) -> Fault:
    """Send the backend's answer byte by byte."""

    def fault(passage: Passage) -> None:
        for byte in passage.ask_backend():
            passage.answer(bytes([byte]))
            if passage.wait_for_the_end(pause_seconds):
                return

    return fault


def cut_request(passage: Passage) -> None:
    """Read half of the body, then abort; the backend hears nothing of it."""
    passage.read_body(passage.unread_bytes // 2)
    passage.reset()


def cut_answer(passage: Passage) -> None:
    """Let the backend process the request, send half of its answer, then abort."""
    answer = passage.ask_backend()
    passage.answer(answer[: len(answer) // 2])
    passage.reset()


def black_hole(passage: Passage) -> None:
    """Take the request and never answer; the backend hears nothing of it."""
    passage.read_body()
    passage.wait_for_the_end()
    passage.reset()


def by_tls(context: ssl.SSLContext) -> Welcome:
    """Return a welcome that speaks TLS with the certificate of `context`."""

    def welcome(connection: socket.socket) -> socket.socket:
        return context.wrap_socket(connection, server_side=True)

    return welcome


def in_garbage(connection: socket.socket) -> socket.socket:
    """Answer a greeting with bytes that mean nothing, and end the connection."""
    connection.recv(1)
    connection.sendall(b"\x15\x00nonsense\r\n\r\n" * 20)
    raise EOFError
