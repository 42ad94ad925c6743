"""Server's side of the commands that a running server executes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeVar

from trackerapi_backend.cli.arguments import Parser
from trackerapi_backend.cli.main import build_parser, failure_of
from trackerapi_backend.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.control.execution import Execution
    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.settings import Storage
    from trackerapi_backend.store import Store

T = TypeVar("T")


class _QuietParser(Parser):
    """Parser that raises errors instead of printing them and ending the process."""

    def error(self, message: str) -> NoReturn:
        """Raise a SettingsError with the message."""
        raise SettingsError(message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Raise a SettingsError with the message, or with the status."""
        raise SettingsError(message or f"exit status {status}")


@dataclass(frozen=True, slots=True)
class ServedDatabase:
    """Database of a running server; see `Database`."""

    storage: Storage
    services: Services
    execution: Execution

    @property
    def store(self) -> Store:
        """Open store of the server, to read from."""
        return self.services.store

    @property
    def print_line(self) -> PrintLine:
        """Function that prints a line on the stdout of the command."""
        return self.execution.print_line

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one snapshot."""
        return self.store.read(query)

    def change(self, work: Callable[[Connection], Iterable[str]]) -> None:
        """Run `work` in the writer, and print the lines that `work` returns."""
        # Print after the commit: the writer must not wait for slow output.
        for line in self.execution.change(lambda db: list(work(db))):
            self.print_line(line)

    def run(self, work: Callable[[Services], Awaitable[T]]) -> T:
        """Run `work` in the event loop of the server; return its result."""
        return self.execution.wait_for(work(self.services))

    def open_pepper(
        self,
        db: Connection,  # noqa: ARG002 -- see `Database`
    ) -> PepperFile:
        """Return the secrets of this installation, which the server has opened."""
        return self.services.pepper


def run_served(
    storage: Storage,
    services: Services,
    arguments: Sequence[str],
    execution: Execution,
) -> str | None:
    """Run a command in a thread of the server; return an error message or None.

    Args:
        storage: Settings of the database.
        services: Services of the server.
        arguments: Words after the name of the program.
        execution: Output and changes of the command.

    Raises:
        Exception: Any exception without a message for the user: a defect of the code.
    """
    try:
        parser = build_parser(arguments[:1], _QuietParser)
        options = parser.parse_args(arguments)
        if "command" not in options:
            return "this command needs the database for itself: stop the server first"
        database = ServedDatabase(storage, services, execution)
        options.command(options, database)
    except Exception as error:
        reason = failure_of(error)
        if reason is None:
            raise
        return reason
    return None
