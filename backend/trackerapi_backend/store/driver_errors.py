"""Errors of the drivers, for statements that go past SQLAlchemy."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def translated_errors(statement: str, driver_error: type[Exception]) -> Iterator[None]:
    """Raise the errors of SQLAlchemy instead of those of the driver.

    Args:
        statement: SQL, or a name for several statements, for the message.
        driver_error: Base class of the errors of the driver.
    """
    try:
        yield
    except driver_error as error:
        raise DBAPIError.instance(
            statement, None, error, driver_error, hide_parameters=True
        ) from error
