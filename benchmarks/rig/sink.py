"""Handle of the sink: a backend on loopback that counts events and can fail.

with Sink() as sink:
    sink.set(latency=0.2)           # delay every answer
    sink.set(status=503, until=5)   # answer 503 for 5 s, then normally
    sink.down(); sink.up()          # refuse connections, listen again
    sink.counts().unique
"""

import json
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.rig.places import ROOT, sink_cpu


@dataclass(frozen=True, slots=True)
class SinkCounts:
    """Counts of arrived events at a sink.

    Attributes:
        requests: Number of all requests, including failed requests.
        body_bytes: Size of all bodies before unpacking, in bytes.
        last_at: Monotonic time of the last event, in seconds; None without an event.
        unique: Number of different events.
        repeats: Number of repeated deliveries of these events.
    """

    requests: int
    body_bytes: int
    last_at: float | None
    unique: int
    repeats: int


class Sink:
    """One sink in a process of its own, pinned to a core unless `is_pinned` is False.

    Attributes:
        url: Address of the sink; the same after `down()` and `up()`.
    """

    def __init__(self, *, is_pinned: bool = True) -> None:
        cpu = [str(sink_cpu())] if is_pinned else []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rig.sink_server", *cpu],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        ports = self._process.stdout.readline() if self._process.stdout else ""
        port, driving = map(int, ports.split())
        self.url = f"http://127.0.0.1:{port}"
        self._socket = socket.create_connection(("127.0.0.1", driving))
        self._answers = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._answers.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def set(self, **faults: Any) -> None:
        """Replace the faults of the sink; see `sink_server.Faults`.

        Args:
            **faults: Attributes of `Faults`, and `until`: seconds after which all
                faults end.
        """
        self._do("set", **faults)

    def down(self) -> None:
        """Refuse new connections, and cut open connections."""
        self._do("down")

    def up(self) -> None:
        """Listen again on the same port."""
        self._do("up")

    def counts(self) -> SinkCounts:
        """Return the counts of arrived events."""
        return SinkCounts(**self._do("counts"))

    def events(self) -> dict[str, int]:
        """Return how often each event arrived, by `adapter.marker()`."""
        return self._do("events")

    def _do(self, command: str, **members: Any) -> dict[str, Any]:
        self._socket.sendall(json.dumps({"do": command, **members}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._answers.readline())
        return answer
