"""Faults of requests and handshakes of connections for `FaultProxy`."""

import socket
import ssl
import threading
from typing import Final

from tests.support.fault_proxy import Exchange, Fault, Handshake, pass_on
from tests.support.scripted_server import http, problem

PORTAL: Final = b"<!doctype html><title>Welcome</title><p>Please log in to the network."


def answering(data: bytes) -> Fault:
    """Return a fault that reads the request and answers `data` without the backend."""

    def fault(exchange: Exchange) -> None:
        exchange.read_body()
        exchange.answer(data)

    return fault


def html(status: int) -> Fault:
    """Return a fault that answers with an HTML page, as captive portals do."""
    return answering(http(status, PORTAL, "text/html; charset=utf-8"))


unavailable: Final = answering(problem(503))
"""The backend answers 503 with problem details."""

bare_unavailable: Final = html(503)
"""A proxy between client and backend answers 503 with an HTML page."""

key_refused: Final = answering(problem(401))
"""The backend answers 401 with problem details."""


def busy(retry_after_seconds: int) -> Fault:
    """Return a fault that answers 429 with Retry-After."""
    answer = problem(429)
    head, _, body = answer.partition(b"\r\n\r\n")
    wait = f"\r\nRetry-After: {retry_after_seconds}\r\n\r\n".encode()
    return answering(head + wait + body)


def dropping_each(number: int) -> Fault:
    """Return a fault that drops each `number`-th answer of the backend."""
    lock, count = threading.Lock(), 0

    def fault(exchange: Exchange) -> None:
        nonlocal count
        with lock:
            count += 1
            is_dropped = count % number == 0
        if is_dropped:
            exchange.ask_backend()
            exchange.reset()
        else:
            pass_on(exchange)

    return fault


def dripping(pause_seconds: float) -> Fault:
    """Return a fault that sends the backend's answer byte by byte."""

    def fault(exchange: Exchange) -> None:
        for byte in exchange.ask_backend():
            exchange.answer(bytes([byte]))
            if exchange.wait_for_close(pause_seconds):
                return

    return fault


def cut_request(exchange: Exchange) -> None:
    """Read half of the body, then reset; the backend receives nothing."""
    exchange.read_body(exchange.unread_bytes // 2)
    exchange.reset()


def cut_answer(exchange: Exchange) -> None:
    """Pass the request on, send half of the answer, then reset the connection."""
    answer = exchange.ask_backend()
    exchange.answer(answer[: len(answer) // 2])
    exchange.reset()


def black_hole(exchange: Exchange) -> None:
    """Read the request and never answer; the backend receives nothing."""
    exchange.read_body()
    exchange.wait_for_close()
    exchange.reset()


def tls_handshake(context: ssl.SSLContext) -> Handshake:
    """Return a TLS handshake with the certificate of `context`."""

    def handshake(connection: socket.socket) -> socket.socket:
        return context.wrap_socket(connection, server_side=True)

    return handshake


def garbage_handshake(connection: socket.socket) -> socket.socket:
    """Answer the first byte of the client with non-HTTP bytes, then close."""
    connection.recv(1)
    connection.sendall(b"\x15\x00nonsense\r\n\r\n" * 20)
    raise EOFError
