"""Channel between server processes on one PostgreSQL database: LISTEN and NOTIFY.

A process announces its changes after the commit, on a separate connection: with a
NOTIFY in the transactions that record events, the commits of all processes would wait
for each other. A process with viewers sends a presence message every
`PRESENCE_SECONDS`. Other processes announce changes only while they receive presence
messages. A transaction that takes permissions away, hides a job or changes a profile
notifies the processes itself: see `store/changes.py`.
"""

from __future__ import annotations

import logging
import os
import re
import select
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg

from trackerapi_backend.store.changes import NOTIFICATIONS, encode_changes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from trackerapi_backend.store import Change
    from trackerapi_backend.store.postgres_connection import LimitedConnection

PRESENCE_SECONDS = 5.0
"""Interval between two presence messages of a process with viewers, in seconds."""
PAUSE_SECONDS = 0.005
"""Pause after an announcement, in seconds: later changes are announced together."""
RETRY_SECONDS = 1.0
"""Time between two attempts to connect, in seconds."""

_CHANGE = re.compile("[a-z]?[0-9]{1,19}")
_PRESENCE, _ALL = "viewers", "all"

_log = logging.getLogger(__name__)


class PostgresChannel:
    """Thread that sends and receives announcements of changes between processes.

    Args:
        connect: Function that opens a connection.
        on_changes: Function that the thread calls with the changes by other processes;
            with None if any row may have changed.
    """

    def __init__(
        self,
        connect: Callable[[], LimitedConnection],
        on_changes: Callable[[Collection[Change] | None], None],
    ) -> None:
        self._connect, self._on_changes = connect, on_changes
        self._lock = threading.Lock()
        self._changed: set[Change] = set()
        self._is_watching = self._is_closing = self._is_answer_due = False
        self._present_at = self._watched_until = 0.0
        self.is_connected = False
        self._waking, self._wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="channel", daemon=True)
        self._thread.start()

    def announce(self, changes: Collection[Change]) -> None:
        """Announce committed changes, if another process has viewers."""
        if changes and time.monotonic() < self._watched_until:
            with self._lock:
                self._changed.update(changes)
            self._wake()

    def watch(self, *, is_watching: bool) -> None:
        """Set whether this process has viewers."""
        self._is_watching, self._present_at = is_watching, 0.0
        self._wake()

    def close(self, timeout_seconds: float) -> None:
        """End the thread; abandon it after the time limit."""
        self._is_closing = True
        self._wake()
        self._thread.join(timeout_seconds)

    def _wake(self) -> None:
        try:
            os.write(self._wake_end, b"1")
        except BlockingIOError:
            return  # The pipe is full, so the thread wakes anyway.

    def _run(self) -> None:
        is_logged = False
        while not self._is_closing:
            try:
                with closing(self._connect()) as connection:
                    self._begin(connection)
                    is_logged = False
                    self._serve(connection)
            except psycopg.Error as error:
                if not is_logged:
                    is_logged = True
                    _log.warning(
                        "changes by other processes are not announced, so jobs with"
                        " viewers are read every few seconds: %s",
                        " ".join(str(error).split()),
                    )
            self.is_connected = False
            if not self._is_closing:
                self._on_changes(None)
                time.sleep(RETRY_SECONDS)

    def _begin(self, connection: LimitedConnection) -> None:
        connection.autocommit = True
        # An announcement changes no data, so its commit need not reach the disk.
        connection.execute("SET synchronous_commit = off")
        connection.add_notify_handler(
            lambda note: self._receive(note.pid, note.payload)
        )
        connection.execute(f"LISTEN {NOTIFICATIONS}")
        self._own_pid, self._present_at = connection.info.backend_pid, 0.0
        self.is_connected = True
        # Announcements before this moment are lost.
        self._on_changes(None)

    def _serve(self, connection: LimitedConnection) -> None:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        poll.register(self._waking, select.POLLIN)
        while not self._is_closing:
            ready = poll.poll(PRESENCE_SECONDS * 1000)
            descriptors = [descriptor for descriptor, _ in ready]
            if self._waking in descriptors:
                os.read(self._waking, 4096)
            if connection.fileno() in descriptors:
                self._receive_all(connection)
            elif not ready:
                connection.execute("SELECT 1")  # raises if the server is gone
            if self._send_due(connection):
                time.sleep(PAUSE_SECONDS)

    def _receive_all(self, connection: LimitedConnection) -> None:
        connection.pgconn.consume_input()
        while note := connection.pgconn.notifies():
            self._receive(note.be_pid, note.extra.decode())

    def _receive(self, pid: int, payload: str) -> None:
        if pid == self._own_pid:
            return
        if payload == _PRESENCE:
            now = time.monotonic()
            # This process has announced no changes until now, so the other process may
            # lack changes.
            self._is_answer_due |= now >= self._watched_until
            self._watched_until = now + 3 * PRESENCE_SECONDS
        else:
            self._on_changes(_changes(payload))

    def _send_due(self, connection: LimitedConnection) -> bool:
        """Send all messages that are due; return whether there were any."""
        with self._lock:
            changed, self._changed = list(self._changed), set()
        messages = encode_changes(changed)
        if self._is_answer_due:
            messages.append(_ALL)
        now = time.monotonic()
        if self._is_watching and now >= self._present_at:
            self._present_at = now + PRESENCE_SECONDS
            messages.append(_PRESENCE)
        try:
            for message in messages:
                connection.execute("SELECT pg_notify(%s, %s)", (NOTIFICATIONS, message))
        except psycopg.Error:
            # The thread announces these changes again after it has connected.
            self._announce_again(changed)
            raise
        self._is_answer_due &= not messages
        return bool(messages)

    def _announce_again(self, changed: Iterable[Change]) -> None:
        with self._lock:
            self._changed.update(changed)


def _changes(payload: str) -> list[Change] | None:
    """Return the changes in a message; None for `_ALL` and for an unknown message.

    Any session of the database can send messages, and later releases may add messages.
    """
    words = payload.split(",")
    if not all(map(_CHANGE.fullmatch, words)):
        return None
    return [int(word) if word.isdecimal() else word for word in words]
