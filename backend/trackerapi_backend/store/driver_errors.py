"""Errors of the drivers, for statements that bypass SQLAlchemy."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, StatementError


def translate_error(
    error: Exception, statement: str, driver_error: type[Exception]
) -> StatementError:
    """Return the error of SQLAlchemy for an error of the driver.

    Args:
        error: Error of the driver.
        statement: SQL, or a name for several statements, for the message.
        driver_error: Base class of the errors of the driver.
    """
    return DBAPIError.instance(
        statement, None, error, driver_error, hide_parameters=True
    )
