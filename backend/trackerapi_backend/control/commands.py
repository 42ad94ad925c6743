"""Commands that other processes send to a server through its UNIX socket.

A connection carries one command. Limits on the number of connections, and on the size
and duration of a request, keep silent and broken clients from blocking other commands.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from anyio import CapacityLimiter, to_thread

from trackerapi_backend.control.execution import SEND_SECONDS, Execution
from trackerapi_backend.control.messages import (
    ALIVE_SECONDS,
    MAX_REQUEST_BYTES,
    Request,
    encode,
)
from trackerapi_backend.control.socket_file import is_trusted
from trackerapi_backend.network.acceptor import Acceptor
from trackerapi_backend.version import __version__

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from trackerapi_backend.store.writer import Writer

    RunCommand = Callable[[Sequence[str], Execution], str | None]

MAX_CONNECTIONS = 256
"""Maximum number of connections; a command on a further connection gets an error."""
MAX_RUNNING = 3
"""Maximum number of commands that run at the same time; further commands wait.

A command may use one of the `READERS` connections that read the SQLite file. So at
least one of these connections stays free for HTTP requests."""
REQUEST_SECONDS = 5.0
"""Time limit for receiving the request of a command, in seconds."""
STOP_SECONDS = 0.2
"""Time limit of each wait in `Commands.close()` after the first wait, in seconds."""

_log = logging.getLogger(__name__)


class Commands:
    """Commands of other processes, which run in threads of this server.

    Not safe between threads: call the methods in the event loop.

    Args:
        listener: Listening UNIX socket, which `Commands.close()` closes.
        run: Function that runs a command and returns its error; None without an error.
        writer: Writer of the server.
    """

    def __init__(
        self, listener: socket.socket, run: RunCommand, writer: Writer
    ) -> None:
        self._run, self._writer = run, writer
        self._loop = asyncio.get_running_loop()
        self._limiter = CapacityLimiter(MAX_RUNNING)
        self._tasks: dict[asyncio.Task[None], Execution | None] = {}
        self._acceptor = Acceptor(listener, self._new_protocol)

    async def close(self, timeout_seconds: float) -> None:
        """Accept no more commands; stop commands that run longer than the time limit.

        Each command gets an answer. The error of a stopped command says whether its
        change is stored.

        Args:
            timeout_seconds: Time for running commands to end.
        """
        self._acceptor.close()
        for task, execution in self._tasks.items():
            if execution is None:
                task.cancel()
        await self._wait(timeout_seconds)
        for execution in filter(None, self._tasks.values()):
            execution.stop()
        await self._wait(STOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await self._wait(STOP_SECONDS)

    async def _wait(self, timeout_seconds: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_seconds)

    def _new_protocol(self) -> asyncio.Protocol:
        reader = asyncio.StreamReader(limit=MAX_REQUEST_BYTES, loop=self._loop)
        return asyncio.StreamReaderProtocol(reader, self._start, loop=self._loop)

    def _start(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)

    async def _serve(
        self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter
    ) -> None:
        try:
            # The program of the command may end at any time.
            with suppress(OSError, asyncio.IncompleteReadError):
                error = await self._answer(reader, stream)
                _write(stream, encode({"error": error}))
                async with asyncio.timeout(SEND_SECONDS):
                    await stream.drain()
                    stream.close()
                    await stream.wait_closed()
        finally:
            # A program that does not read its output must not keep the connection open.
            stream.transport.abort()

    async def _answer(
        self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter
    ) -> str | None:
        """Run the command of a connection; return its error."""
        if not is_trusted(stream.get_extra_info("socket")):
            return (
                "only root and the user of the server may run commands while the server"
                " runs"
            )
        if len(self._tasks) > MAX_CONNECTIONS:
            return "too many commands wait for the server: try again later"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = Request.parse(await reader.readuntil(b"\n"))
        except (asyncio.LimitOverrunError, TimeoutError):
            request = None
        if request is None:
            return "the server has not understood the command: run it again"
        if request.version != __version__:
            return (
                f"the server is release {__version__} and the command is release"
                f" {request.version}: run the command of the server's release, or"
                " restart the server"
            )
        return await self._execute(request, stream)

    async def _execute(
        self, request: Request, stream: asyncio.StreamWriter
    ) -> str | None:
        async def send(data: bytes) -> None:
            _write(stream, data)
            await stream.drain()

        execution = Execution(self._writer, self._loop, send)
        task = asyncio.current_task()
        if task is not None:
            self._tasks[task] = execution
        alive = self._loop.create_task(_send_signs_of_life(stream))
        try:
            return await to_thread.run_sync(
                self._run_and_flush, request, execution, limiter=self._limiter
            )
        except asyncio.CancelledError:
            return f"the server stops: {execution.stop()}"
        except OSError:
            raise
        except Exception:  # noqa: BLE001 -- the operator reads the log
            _log.exception("a command failed")
            return "the server failed: its log has the cause"
        finally:
            alive.cancel()

    def _run_and_flush(self, request: Request, execution: Execution) -> str | None:
        error = self._run(request.arguments, execution)
        execution.flush()
        return error


def _write(stream: asyncio.StreamWriter, data: bytes) -> None:
    """Send data to the program of a command.

    Raises:
        ConnectionResetError: If the program has ended. uvloop itself would raise
            RuntimeError, as for a defect of the server.
    """
    if stream.is_closing():
        raise ConnectionResetError
    stream.write(data)


async def _send_signs_of_life(stream: asyncio.StreamWriter) -> None:
    while not stream.is_closing():
        stream.write(encode({}))
        await asyncio.sleep(ALIVE_SECONDS)
