"""Events for a server, connections that send them, and a process of many connections.

A run of the module is one process that sends batches for some seconds:

    python -m benchmarks.rig.load JSON

JSON has the members of `Load`; the process prints a `Sent` as JSON. The client writes
bytes to sockets: a complete HTTP client would need more CPU than the server.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self
from uuid import uuid4

from benchmarks.rig.adapter import META_JSON
from benchmarks.rig.places import ROOT

STEP: Final = "load"
INTERVAL: Final = timedelta(milliseconds=1)
"""Time between two events of a job."""
_BEFORE_NOW: Final = timedelta(hours=1)
_ANSWER_SECONDS: Final = 60.0
_EXTRA_SECONDS: Final = 90.0
_BUSY: Final = 503
_MAX_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class JobEvents:
    """Events of one job: the progress of one step, 1 ms apart.

    Attributes:
        job: `provider_job_id` of the job.
        id_prefix: First part of all event ids, which end with the number of the event.
        began_at: Time of the first event.
        message: Message of each event; "" for none.
    """

    job: str
    id_prefix: str = field(default_factory=lambda: str(uuid4())[:24])
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC) - _BEFORE_NOW)
    message: str = ""

    def event(
        self,
        number: int,
        *,
        at: float | None = None,
        part: str = "",
        kind: str = "progress",
    ) -> bytes:
        """Return one event as JSON.

        Args:
            number: Number of the event in its job, which makes its id unique.
            at: Position in the history of the job, as a number of events; None for
                the position `number`.
            part: Worker that reports; "" for none.
            kind: Kind of the event.
        """
        occurred_at = self.began_at + INTERVAL * (number if at is None else at)
        by_part = f'"part":"{part}",'
        by_message = f'"message":"{self.message}",'
        progress = f'"completed":{number},"total":10000000,'
        return (
            f'{{"event_id":"{self.id_prefix}{number:012x}",'
            f'"provider_job_id":"{self.job}","kind":"{kind}","tag":"{STEP}",'
            f'"occurred_at":"{occurred_at.isoformat()}",'
            f"{progress if kind == 'progress' else ''}"
            f"{by_part if part else ''}"
            f"{by_message if self.message else ''}"
            f'"event_metadata":{META_JSON}}}'
        ).encode()


class Connection:
    """One connection to a server, kept open; for one thread.

    Args:
        url: Address of the server.
        key: API key; "" for the plain route.

    Attributes:
        pause: Pause that the latest response asks for, in seconds.
    """

    def __init__(self, url: str, key: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), _ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self.pause = 0.0
        self._headers = f"Host: {host}:{port}\r\n".encode()
        if key:
            self._headers += f"X-API-Key: {key}\r\n".encode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._answers.close()
        self._socket.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of the response to a GET."""
        return self._send(b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), self._headers))

    def post(
        self, path: str, body: bytes, media_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Return status and body of the response to a POST."""
        head = f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        begin = b"POST %s HTTP/1.1\r\n" % path.encode()
        return self._send(begin + self._headers + head.encode() + body)

    def post_batch(self, events: Sequence[bytes], *, is_array: bool) -> int:
        """Send events until the server accepts them; return the number of refusals.

        A refusal is a response 503, after which the connection pauses.

        Args:
            events: Events as JSON.
            is_array: Whether the server reads an array; otherwise one event per line.
        """
        if is_array:
            body, media_type = b"[" + b",".join(events) + b"]", "application/json"
        else:
            body, media_type = b"\n".join(events), "application/x-ndjson"
        refusals = 0
        while True:
            status, answer = self.post("/events/batch", body, media_type)
            if status != _BUSY:
                break
            refusals += 1
            time.sleep(self.pause)
        if status != 200 or json.loads(answer)["accepted"] != len(events):
            raise RuntimeError(f"batch: status {status}, {answer[:500]!r}")
        return refusals

    def _send(self, request: bytes) -> tuple[int, bytes]:
        self._socket.sendall(request)
        status = int(self._answers.readline().split()[1])
        length, self.pause = 0, _MAX_PAUSE_SECONDS
        while (line := self._answers.readline()) != b"\r\n":
            name, _, value = line.lower().partition(b":")
            if name == b"content-length":
                length = int(value)
            elif name == b"retry-after":
                self.pause = min(float(value), _MAX_PAUSE_SECONDS)
        return status, self._answers.read(length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Batches that one process sends, from one thread per connection.

    Attributes:
        urls: Addresses of the servers, which the connections use in turns.
        key: API key; "" for the plain route, which reads arrays.
        jobs: `provider_job_id` of each connection's job, which is new.
        size: Number of events in a batch.
        seconds: Duration; each connection then waits for its last response.
        message_length: Length of the message of each event; 0 for no message.
    """

    urls: Sequence[str]
    key: str
    jobs: Sequence[str]
    size: int
    seconds: float
    message_length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Acknowledged events of a load.

    Attributes:
        events: Number of acknowledged events.
        seconds: Time from the first request to the last response.
        refusals: Number of responses 503.
    """

    events: int
    seconds: float
    refusals: int


class LoadProcess:
    """Process that sends a load; the end of the block kills it if it still runs.

    Args:
        load: Load to send.
    """

    def __init__(self, load: Load) -> None:
        self._limit = load.seconds + _EXTRA_SECONDS
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rig.load", json.dumps(asdict(load))],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def result(self) -> Sent:
        """Wait for the end of the process; return the acknowledged events."""
        printed, _ = self._process.communicate(timeout=self._limit)
        if self._process.returncode:
            raise RuntimeError("the load process failed")
        members: Mapping[str, Any] = json.loads(printed)
        return Sent(**members)


def send(load: Load) -> Sent:
    """Send a load from this process."""
    until = time.monotonic() + load.seconds
    began = time.monotonic()

    def run(index: int, job: str) -> tuple[int, int]:
        events = JobEvents(job, message="x" * load.message_length)
        sent = refusals = 0
        url = load.urls[index % len(load.urls)]
        with Connection(url, load.key) as connection:
            while time.monotonic() < until:
                batch = [events.event(sent + each) for each in range(load.size)]
                refusals += connection.post_batch(batch, is_array=not load.key)
                sent += load.size
        return sent, refusals

    with ThreadPoolExecutor(len(load.jobs)) as pool:
        counts = list(pool.map(run, range(len(load.jobs)), load.jobs))
    return Sent(
        events=sum(sent for sent, _ in counts),
        seconds=time.monotonic() - began,
        refusals=sum(refusals for _, refusals in counts),
    )


if __name__ == "__main__":
    print(json.dumps(asdict(send(Load(**json.loads(sys.argv[1]))))))
