"""Adapters of trackerapi, of a minimal spool, and of a job without reporting."""

import json
import os
import socket
import threading
import time
from collections import deque
from pathlib import Path

from benchmarks.rig.adapter import META, PROJECT, Adapter

API_KEY = "trk_bench_secretsecret_check0"


class Ours(Adapter):
    """trackerapi; environment variables can set another key, customer and outbox."""

    name, environment = "trackerapi", PROJECT
    imports = "from trackerapi import TrackerApi"

    def __init__(self, url: str) -> None:
        from trackerapi import TrackerApi

        environment = os.environ
        self._tracker = TrackerApi(
            api_key=environment.get("BENCH_API_KEY", API_KEY),
            base_url=url,
            outbox=environment.get("BENCH_OUTBOX") or environment["BENCH_DIR"],
        )
        self._job = self._tracker.create_job(
            f"bench-{os.getpid()}", int(environment.get("BENCH_CUSTOMER", "1")), "bench"
        )

    def emit(self, marker: str) -> None:
        """Report the event, which is on the disk when the call returns."""
        self._job.send_event(kind="info", name="step", metadata={"id": marker, **META})

    def flush(self, seconds: float) -> None:
        """Wait for the delivery of all events."""
        self._tracker.flush(seconds)

    def close(self) -> None:
        """Wait briefly for delivery, and close the connections."""
        self._tracker.close()


class Spool(Adapter):
    """A minimal spool: JSON, one appending `write` and a bare socket; no retries."""

    name, environment = "(floor: bare spool)", PROJECT

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)))
        path = Path(os.environ["BENCH_DIR"], "spool")
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._encode = json.JSONEncoder(separators=(",", ":")).encode
        self._waiting: deque[bytes] = deque()
        threading.Thread(target=self._deliver, daemon=True).start()

    def emit(self, marker: str) -> None:
        """Write the event to the disk, and queue it for the delivery thread."""
        members = {"id": marker, "kind": "info", "ts": time.time(), "metadata": META}
        line = self._encode(members).encode() + b"\n"
        os.write(self._file, line)
        self._waiting.append(line)

    def flush(self, seconds: float) -> None:
        """Wait for the delivery of all events."""
        end = time.monotonic() + seconds
        while self._waiting and time.monotonic() < end:
            time.sleep(0.005)

    def _deliver(self) -> None:
        while True:
            time.sleep(0.02)
            while batch := [self._waiting[i] for i in range(min(500, self._size()))]:
                body = b"".join(batch)
                head = b"POST /e HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                self._socket.sendall(head % len(body) + body)
                if not self._socket.recv(65536):
                    return
                for _ in batch:
                    self._waiting.popleft()

    def _size(self) -> int:
        return len(self._waiting)


class Uninstrumented(Adapter):
    """A job without any reporting."""

    name, environment = "(uninstrumented)", PROJECT

    def __init__(self, url: str) -> None:
        pass

    def emit(self, marker: str) -> None:
        """Do nothing."""
