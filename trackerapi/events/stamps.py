"""Ids and times of events.

The events of a thread sort by (`occurred_at`, `event_id`) in the order of their calls.
"""

import itertools
import os
from typing import Final

from trackerapi.process.clock import wall_nanoseconds
from trackerapi.times import moment_at

_SECONDS_LENGTH: Final = len("1970-01-01T00:00:00")


class _Stamps:
    """Generator of event ids and times that rise within each thread.

    Ids are UUIDv7 (RFC 9562): milliseconds, the microsecond of the millisecond, a
    counter of 32 bits, and 28 random bits of this process. Ids of two processes differ
    in the random bits and in the start of the counter. A forked child draws both anew.

    `next()` may be called from threads and from signal handlers.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Draw new random bits and a new start of the counter.

        Called in a child after a fork: with the bits and the counter of its parent, the
        child would repeat the ids of its parent.
        """
        self._last = 0
        self._count = itertools.count(int.from_bytes(os.urandom(4)) >> 1)
        self._tail = f"{int.from_bytes(os.urandom(4)) >> 4:07x}"
        # Texts of the current millisecond and second: events of a burst share them.
        self._millisecond = self._second = (-1, "")

    def next(self, not_before: int = 0) -> tuple[str, str]:
        """Return the id and time of an event that happens now.

        Args:
            not_before: Earliest time to return, in microseconds since 1970; 0 for no
                minimum. A job handle passes the time of the job's latest event.

        Returns:
            A UUIDv7 and a time in RFC 3339, UTC. Id and time are never lower than in
            earlier calls of this thread. A signal handler that interrupts a call may
            get a higher stamp than the interrupted call.
        """
        now = wall_nanoseconds() // 1000
        # No lock: a lock would take 4 % of the time of a report. No other thread and no
        # signal handler runs between the check and the store, because neither of the
        # two statements calls a function.
        last = self._last
        if now < last:  # the clock was set back
            now = last
        self._last = now
        count = next(self._count)
        milliseconds, microsecond = divmod(now, 1000)
        known, begin = self._millisecond
        if milliseconds != known:
            begin = f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7"
            self._millisecond = (milliseconds, begin)
        # `%` formats all numbers in one pass. An f-string makes a text of each number:
        # 8 % of the instructions of a report.
        event_id = "%s%03x-8%03x-%05x%s" % (  # noqa: UP031
            begin,
            microsecond,
            count >> 20 & 0xFFF,
            count & 0xFFFFF,
            self._tail,
        )
        second, microseconds = divmod(max(now, not_before), 1_000_000)
        known, text = self._second
        if second != known:
            text = _as_seconds_text(second)
            self._second = (second, text)
        return event_id, "%s.%06dZ" % (text, microseconds)  # noqa: UP031


def _as_seconds_text(second: int) -> str:
    # No `strftime()`: it imports a module, and imports fail in late finalizers.
    return moment_at(second * 1_000_000).isoformat()[:_SECONDS_LENGTH]


_STAMPS: Final = _Stamps()
if hasattr(os, "register_at_fork"):  # absent on systems without fork
    os.register_at_fork(after_in_child=_STAMPS.restart)


new_stamp: Final = _STAMPS.next
"""Return the id and time of an event that happens now; see `_Stamps.next()`."""
