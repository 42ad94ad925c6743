"""Connection to PostgreSQL that gives up a silent server.

The server applies `statement_timeout`, so this limit does not help if the server hangs,
or if a proxy swallows bytes without closing the connection. Keepalives find no fault
then, since the kernel of the other side confirms the bytes. Only the client can end
such a wait.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.rows import TupleRow

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")

SPARE_SECONDS = 5.0
"""Time for an answer beyond the server's own limit of a statement, in seconds."""


class LimitedConnection(psycopg.Connection[TupleRow]):
    """Connection that closes itself when an answer is overdue.

    Attributes:
        silence_seconds: Maximum time without a byte from the server while an answer is
            due, in seconds.
    """

    silence_seconds = SPARE_SECONDS

    def limit_silence(self, *, is_limited: bool = True) -> None:
        """Set the limit by `statement_timeout`; no limit if the server has none.

        Args:
            is_limited: Whether to set a limit: a migration changes the timeout.
        """
        found = self.execute(
            "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"
        ).fetchone()
        milliseconds = int(found[0]) if found and is_limited else 0
        self.silence_seconds = (
            milliseconds / 1000 + SPARE_SECONDS if milliseconds else math.inf
        )

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Run one exchange with the server to its end; the driver calls this method.

        Raises:
            psycopg.OperationalError: If the server is silent for too long. The
                connection is closed then.
        """
        limited = _give_up_after(self.silence_seconds, gen)
        try:
            return super().wait(limited, *args, **options)
        except _SilenceError:
            self.close()
            raise


class _SilenceError(psycopg.OperationalError):
    """Answer that is overdue."""


def _give_up_after(
    seconds: float, exchange: Generator[Any, Any, T]
) -> Generator[Any, Any, T]:
    """Run an exchange; raise once its socket has not been ready for `seconds`."""
    until = time.monotonic() + seconds
    try:
        awaited = next(exchange)
        while True:
            # The driver resumes an exchange several times a second, with 0 while its
            # socket is not ready.
            ready = yield awaited
            now = time.monotonic()
            if ready:
                until = now + seconds
            elif now >= until:
                raise _SilenceError(f"the server has not answered for {seconds:.0f} s")
            awaited = exchange.send(ready)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
