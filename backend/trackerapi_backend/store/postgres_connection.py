"""Connection to PostgreSQL: few round trips, and a time limit for each answer.

A round trip costs more CPU time than most statements, and psycopg's cursors cost more
than the round trip. So frequent statements are queued, and the connection sends all
queued statements at once.

The client needs a time limit too. The server applies `statement_timeout`, which has no
effect if the server hangs, or if a proxy swallows bytes without closing the connection.
Keepalives detect neither fault, because the kernel of the other side confirms them.
"""

from __future__ import annotations

import math
import select
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.rows import TupleRow

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from psycopg.pq.abc import PGresult

T = TypeVar("T")
Value = bytes | Sequence[int] | Sequence[str]
"""Value of a statement that `LimitedConnection` sends itself: a text or an array."""

SPARE_SECONDS = 5.0
"""Time for an answer in addition to `statement_timeout`, in seconds."""

# Types of columns by the number of the type in PostgreSQL: bigint, text, varchar.
_LOADERS: dict[int, Callable[[bytes], Any]] = {
    20: int,
    25: bytes.decode,
    1043: bytes.decode,
}


class LimitedConnection(psycopg.Connection[TupleRow]):
    """Connection that queues statements and closes itself when an answer is overdue.

    psycopg may drop all plans of the session after it sends a ROLLBACK. So send
    ROLLBACK TO SAVEPOINT by `queue()`, and close the connection after `rollback()`.

    A cursor or COMMIT sends the queued statements first. ROLLBACK drops them.

    Attributes:
        silence_seconds: Maximum time without a byte from the server while an answer is
            due, in seconds.
    """

    silence_seconds = SPARE_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._queued: list[tuple[str, list[bytes]]] = []
        # Names of the plans on the server by statement.
        self._plans: dict[str, bytes] = {}
        self._plan_count = 0
        self._socket = select.poll()

    def limit_silence(self, *, is_limited: bool = True) -> None:
        """Set `silence_seconds` by the `statement_timeout` of the server.

        Without a `statement_timeout`, the time is unlimited.

        Args:
            is_limited: Whether to limit the time. A migration changes
                `statement_timeout`, so its connection has no limit.
        """
        found = self.execute(
            "SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"
        ).fetchone()
        milliseconds = int(found[0]) if found and is_limited else 0
        self.silence_seconds = (
            milliseconds / 1000 + SPARE_SECONDS if milliseconds else math.inf
        )

    def queue(self, statement: str, values: Sequence[Value] = ()) -> None:
        """Send a statement together with the next statement; drop its result.

        The next statement raises the error of a queued statement.

        Args:
            statement: Statement with the placeholders `$1`, `$2` and so on. The server
                keeps the plan of each statement with values, so the text of such a
                statement must be a constant.
            values: Values of the placeholders.
        """
        self._queued.append((statement, [*map(_dump, values)]))

    def fetch(self, statement: str, values: Sequence[Value] = ()) -> list[TupleRow]:
        """Return the rows of a query; the columns are integers or texts.

        Args:
            statement: Query with the placeholders `$1`, `$2` and so on; see `queue()`.
            values: Values of the placeholders.

        Raises:
            psycopg.Error: If this statement or a queued statement fails.
        """
        self.queue(statement, values)
        return _load(self.send_queued()[-1])

    def send_queued(self) -> Sequence[PGresult]:
        """Send the queued statements; return their results.

        Raises:
            psycopg.Error: If a statement fails. The server has then skipped all later
                statements.
        """
        if not self._queued:
            return ()
        queued, self._queued = self._queued, []
        try:
            results = self._exchange(queued)
        except BaseException:
            # Later statements would receive the answers that are still due.
            self.close()
            raise
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                error = error_from_result(result)
                _omit_values(error)
                raise error
        return results

    def _exchange(
        self, statements: Sequence[tuple[str, list[bytes]]]
    ) -> list[PGresult]:
        self.pgconn.enter_pipeline_mode()
        due = [each for statement in statements for each in self._send(*statement)]
        self.pgconn.pipeline_sync()
        self._socket.register(self.pgconn.socket, select.POLLIN | select.POLLOUT)
        while self.pgconn.flush():
            self._wait()
        self._socket.modify(self.pgconn.socket, select.POLLIN)
        results = []
        for prepared in due:
            result = self._next_result()
            if prepared is None or result.status == ExecStatus.FATAL_ERROR:
                results.append(result)
            if prepared is not None and result.status != ExecStatus.COMMAND_OK:
                del self._plans[prepared]
        self._next_result()  # the end of the pipeline
        self.pgconn.exit_pipeline_mode()
        return results

    def _send(self, statement: str, values: list[bytes]) -> Iterator[str | None]:
        """Send a statement; yield an item for each result that the server will send.

        The item is the statement if the server prepares the statement, None if the
        server runs the statement.
        """
        if not values:
            self.pgconn.send_query_params(statement.encode(), None)
            yield None
            return
        if statement not in self._plans:
            self._plan_count += 1
            self._plans[statement] = name = b"plan_%d" % self._plan_count
            self.pgconn.send_prepare(name, statement.encode())
            yield statement
        self.pgconn.send_query_prepared(self._plans[statement], values)
        yield None

    def _next_result(self) -> PGresult:
        while True:
            while self.pgconn.is_busy():
                self._wait()
            result = self.pgconn.get_result()
            if result is not None:
                return result
            # None also separates the results of two statements.
            if self.pgconn.status == ConnStatus.BAD:
                raise psycopg.OperationalError(self.pgconn.get_error_message())

    def _wait(self) -> None:
        """Wait until the socket is ready; read the bytes that have arrived."""
        limit = self.silence_seconds
        if not self._socket.poll(None if limit == math.inf else limit * 1000):
            raise _SilenceError(limit)
        self.pgconn.consume_input()

    def cursor(self, *args: Any, **options: Any) -> Any:
        """Send the queued statements; return a new cursor."""
        self.send_queued()
        return super().cursor(*args, **options)

    def commit(self) -> None:
        """Send the queued statements; commit the transaction.

        Raises:
            psycopg.Error: If the commit fails, or the server has rolled the transaction
                back.
        """
        self.queue("COMMIT")
        status = self.send_queued()[-1].command_status
        if status != b"COMMIT":
            raise psycopg.InternalError(f"the answer to COMMIT is {status!r}")

    def rollback(self) -> None:
        """Roll the transaction back; do nothing on a closed connection."""
        self._queued.clear()
        if not self.closed:
            super().rollback()

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Run one exchange with the server to its end; the driver calls this method.

        Raises:
            psycopg.OperationalError: If the server is silent for too long. The
                connection is closed then.
            psycopg.Error: If the server reports an error; without values of rows.
        """
        limited = _give_up_after(self.silence_seconds, gen)
        try:
            return super().wait(limited, *args, **options)
        except _SilenceError:
            self.close()
            raise
        except psycopg.Error as error:
            _omit_values(error)
            raise


class _SilenceError(psycopg.OperationalError):
    """Answer that is overdue.

    Args:
        seconds: Time without an answer.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the server has not answered for {seconds:.0f} s")


def _omit_values(error: psycopg.Error) -> None:
    """Remove the stored data from the message of an error that the server reports.

    DETAIL and CONTEXT quote rows and values, so only the first line is kept. The first
    line of a data exception (class 22) quotes a value too, so the name and the SQLSTATE
    of the exception replace the message.
    """
    message, state = error.diag.message_primary, error.sqlstate
    if message is not None and state is not None:
        name = f"{type(error).__name__}, SQLSTATE {state}"
        error.args = (name if state.startswith("22") else message,)


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
                raise _SilenceError(seconds)
            awaited = exchange.send(ready)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _dump(value: Value) -> bytes:
    """Return a value in the text format of PostgreSQL."""
    if isinstance(value, bytes):
        return value
    return f"{{{','.join(map(_element, value))}}}".encode()


def _element(value: int | str) -> str:
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _load(result: PGresult) -> list[TupleRow]:
    load = [_LOADERS[result.ftype(column)] for column in range(result.nfields)]
    return [
        tuple(
            None if (found := result.get_value(row, column)) is None else load_(found)
            for column, load_ in enumerate(load)
        )
        for row in range(result.ntuples)
    ]
