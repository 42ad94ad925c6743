"""The process of the sink: counts arriving events and fails on demand.

The server finds the markers of events in the target and in the unpacked body of each
request, so that it counts events in any text format. It answers requests of our
contract with valid answers, and other requests with an empty object. Nothing is parsed
as JSON.

Usage: python -m benchmarks.rig.sink_server [CPU]. The server prints its port, and the
port over which `benchmarks.rig.sink.Sink` sends commands. It ends when the connection
to the second port ends.
"""

import asyncio
import json
import os
import re
import sys
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.rig.adapter import MARKERS

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PACKED = re.compile(rb"\r\ncontent-encoding: *(?:gzip|deflate)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_JOB_ID = re.compile(rb'"provider_job_id": ?("[^"\\]*")')
_DRIP_SECONDS = 0.2
_MAX_COMMAND_BYTES = 1 << 24


def http(status: bytes, body: bytes, more: bytes = b"") -> bytes:
    """Return an HTTP answer with a JSON body."""
    head = (
        b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    )
    return head % (status, more, len(body)) + body


OK = http(b"200 OK", b"{}")
OWNER = http(
    b"200 OK",
    b'{"provider_id":1,"provider_name":"bench","key_id":"bench",'
    b'"scopes":["ingest"],"expires_at":null}',
)
JOB = (
    b'{"id":1,"provider_job_id":%b,"customer_id":1,"tag":"bench","name":"bench",'
    b'"configuration_id":null,"finish":"auto","status":"running","percent":null,'
    b'"steps":[],"metadata":{},"event_count":0,"created_at":"2026-11-25T01:00:00Z",'
    b'"started_at":null,"finished_at":null,"last_event_at":null,'
    b'"last_occurred_at":null,"version":1}'
)
BATCH = b'{"accepted":%d,"duplicates":0,"rejected":[]}'
PORTAL = b"<!doctype html><title>Sign in</title><p>Please sign in to go on.</p>"
ODD_ANSWERS = {
    "html": http(b"200 OK", PORTAL).replace(b"application/json", b"text/html"),
    "garbage": bytes(range(128, 256)) * 4,
}


@dataclass
class Faults:
    """Faults of the sink; none by default.

    Attributes:
        latency: Seconds before each answer.
        status: Status of each answer; events are counted only with status 200.
        retry_after: `Retry-After` of answers with another status than 200, in seconds;
            None for no header.
        drop_every: Each n-th request gets no answer, although its events are counted:
            its connection is cut. 0 for none.
        hang: Whether requests are read and get no answer.
        drip: Whether each answer is sent one byte at a time.
        odd: Key of the answer in `ODD_ANSWERS`, with which no event is counted; empty
            for usual answers.
    """

    latency: float = 0.0
    status: int = 200
    retry_after: int | None = None
    drop_every: int = 0
    hang: bool = False
    drip: bool = False
    odd: str = ""

    def answer(self) -> bytes | None:
        """Return the answer to all requests; None if answers depend on the requests."""
        if self.odd:
            return ODD_ANSWERS[self.odd]
        if self.status == 200:
            return None
        wait = b"Retry-After: %d\r\n" % self.retry_after if self.retry_after else b""
        return http(b"%d Fault" % self.status, b"{}", wait)


@dataclass
class Counts:
    """Counts of requests and arrived events."""

    requests: int = 0
    body_bytes: int = 0
    last_at: float | None = None
    events: Counter[bytes] = field(default_factory=Counter)

    def as_members(self) -> dict[str, Any]:
        """Return the counts as members of JSON; times are monotonic."""
        return {
            "requests": self.requests,
            "body_bytes": self.body_bytes,
            "last_at": self.last_at,
            "unique": len(self.events),
            "repeats": self.events.total() - len(self.events),
        }


class SinkServer:
    """State of the sink, shared by its connections."""

    def __init__(self) -> None:
        self.faults, self.counts = Faults(), Counts()
        self.connections: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def up(self) -> int:
        """Listen, always on the same port; return the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), "127.0.0.1", self._port, backlog=512
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self._port

    async def down(self) -> None:
        """Refuse new connections, and cut open connections."""
        if self._server:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()

    def set(self, until: float | None = None, **faults: Any) -> None:
        """Replace the faults; after `until` seconds, end all faults."""
        self.faults = Faults(**faults)
        if until:
            asyncio.get_running_loop().call_later(until, self.set)

    async def execute(self, command: dict[str, Any]) -> dict[str, Any]:
        """Execute one command of `Sink`; return the counts."""
        match command.pop("do"):
            case "set":
                self.set(**command)
            case "up":
                await self.up()
            case "down":
                await self.down()
            case "events":
                return {key.decode(): n for key, n in self.counts.events.items()}
        return self.counts.as_members()


class Connection(asyncio.Protocol):
    """Reads requests and answers them in order."""

    def __init__(self, server: SinkServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, which the sink may have to cut."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the checker
        self._transport = transport
        self._server.connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Forget the transport."""
        self._server.connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Handle all requests that are complete by now."""
        self._buffer += data
        while (request := self._next_request()) is not None:
            self._handle(*request)

    def _next_request(self) -> tuple[bytes, bytes] | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._buffer[:end])
        if _CHUNKED.search(head):
            body, stop = _unchunked(self._buffer, end + 4)
        else:
            found = _LENGTH.search(head)
            stop = end + 4 + (int(found[1]) if found else 0)
            # Copy only a complete body: a large body arrives in many pieces.
            whole = stop <= len(self._buffer)
            body = bytes(self._buffer[end + 4 : stop]) if whole else b""
        if stop > len(self._buffer):
            return None
        del self._buffer[:stop]
        return head, body

    def _handle(self, head: bytes, body: bytes) -> None:
        counts, faults = self._server.counts, self._server.faults
        counts.requests += 1
        counts.body_bytes += len(body)
        if faults.hang:
            return
        answer = faults.answer()
        if answer is None:
            content = _unpacked(head, body)
            self._count(head, content)
            if faults.drop_every and counts.requests % faults.drop_every == 0:
                self._transport.abort()
                return
            answer = _contract_answer(head, content)
        self._send(answer, faults)

    def _count(self, head: bytes, content: bytes) -> None:
        found = set(MARKERS.findall(content))
        found.update(MARKERS.findall(head, 0, head.find(b"\r\n")))
        if found:
            self._server.counts.events.update(found)
            self._server.counts.last_at = time.monotonic()

    def _send(self, answer: bytes, faults: Faults) -> None:
        if faults.drip:
            self._drip(answer)
        elif faults.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(faults.latency, self._transport.write, answer)
        else:
            self._transport.write(answer)

    def _drip(self, rest: bytes) -> None:
        if rest and not self._transport.is_closing():
            self._transport.write(rest[:1])
            loop = asyncio.get_running_loop()
            loop.call_later(_DRIP_SECONDS, self._drip, rest[1:])


def _contract_answer(head: bytes, content: bytes) -> bytes:
    if head.startswith(b"POST /events/batch "):
        lines = content.count(b"\n") + (not content.endswith(b"\n"))
        return http(b"200 OK", BATCH % lines)
    if head.startswith(b"POST /jobs "):
        found = _JOB_ID.search(content)
        return http(b"201 Created", JOB % (found[1] if found else b'""'))
    return OWNER if head.startswith(b"GET /api-keys/protected ") else OK


def _unpacked(head: bytes, body: bytes) -> bytes:
    if not _PACKED.search(head):
        return body
    try:
        return zlib.decompress(body, 47)
    except zlib.error:  # One peer labels plain bodies as packed.
        return body


def _unchunked(buffer: bytearray, start: int) -> tuple[bytes, int]:
    """Return a chunked body and its end, which is beyond `buffer` if incomplete."""
    body, beyond = bytearray(), len(buffer) + 1
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(bytes(buffer[start:line_end]).split(b";")[0], 16)
        start = line_end + 2 + size + 2
        if start > len(buffer):
            break
        if size == 0:
            return bytes(body), start
        body += buffer[line_end + 2 : line_end + 2 + size]
    return b"", beyond


async def serve(cpu: int | None) -> None:
    """Serve until `Sink` ends its connection."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    server, ended = SinkServer(), asyncio.Event()
    port = await server.up()

    async def drive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            result = await server.execute(json.loads(line))
            writer.write(json.dumps(result).encode() + b"\n")
            await writer.drain()
        ended.set()

    driving = await asyncio.start_server(
        drive, "127.0.0.1", 0, limit=_MAX_COMMAND_BYTES
    )
    print(port, driving.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else None))
