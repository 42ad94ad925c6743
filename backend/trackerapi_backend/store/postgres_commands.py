"""Shell commands with which an operator backs up and restores a PostgreSQL database.

A backup is a folder with `database.dump` and `pepper`. The returned lines are one shell
command, joined by `&&`: the first failure ends the command. The lines contain no
password, because other users of the machine can read the arguments of a process.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from trackerapi_backend.store import StoreError
from trackerapi_backend.store.postgres import read_address

if TYPE_CHECKING:
    from pathlib import Path

_DUMP = "database.dump"
_PEPPER = "pepper"


def backup_commands(url: str, folder: Path, pepper_file: Path) -> list[str]:
    """Return the lines of shell that write a backup.

    Args:
        url: Address of the database.
        folder: Folder to create; a failure leaves `<folder>.new`.
        pepper_file: Path of the pepper file. The file is copied after the dump: a
            rotation writes a new pepper to the file first, then to the database.

    Raises:
        StoreError: If the address cannot be read.
    """
    database = shlex.quote(_without_secrets(url))
    new = folder.with_name(f"{folder.name}.new")
    return [
        "# pg_dump asks for the password, or reads PGPASSWORD or ~/.pgpass",
        _check(f"test ! -e {_quote(folder)}", f"{folder} exists: name a new folder"),
        f"mkdir -m 700 {_quote(new)} &&",
        # A subshell: the mask must not stay in the shell of the operator.
        "(umask 077 && pg_dump --format=custom --no-owner --no-privileges"
        f" --dbname={database} --file={_quote(new / _DUMP)}) &&",
        f"cp {_quote(pepper_file)} {_quote(new / _PEPPER)} &&",
        f"sync && mv {_quote(new)} {_quote(folder)}",
    ]


def restore_commands(url: str, folder: Path, pepper_file: Path) -> list[str]:
    """Return the lines of shell that restore a backup into an empty database.

    Args:
        url: Address of the empty database.
        folder: Folder that the lines of `backup_commands()` have written.
        pepper_file: Path of the pepper file to create. An existing file must have the
            content of the saved pepper file.

    Raises:
        StoreError: If the folder is not a backup, or the address cannot be read.
    """
    dump, saved, pepper = folder / _DUMP, _quote(folder / _PEPPER), _quote(pepper_file)
    if not dump.is_file():
        raise StoreError(
            f"there is no {dump}: name a folder that the commands of"
            " `trackerapi-backend backup` have written"
        )
    database = shlex.quote(_without_secrets(url))
    return [
        "# pg_restore asks for the password, or reads PGPASSWORD or ~/.pgpass",
        _check(
            f"test ! -e {pepper} || cmp -s {saved} {pepper}",
            f"{pepper_file} is not the pepper of the backup: name a new file in"
            " TRACKERAPI_BACKEND_PEPPER_FILE, which the servers then need too",
        ),
        "pg_restore --single-transaction --exit-on-error --no-owner --no-privileges"
        f" --dbname={database} {_quote(dump)} &&",
        # ANALYZE warns of each table of the system that the role does not own.
        f"psql --no-psqlrc --quiet --dbname={database}"
        " --command='SET client_min_messages = error' --command=ANALYZE &&",
        f"{{ test -e {pepper} || cp {saved} {pepper}; }} &&",
        f"trackerapi-backend migrate --pepper-file {pepper}",
    ]


def psql_command(url: str, role: str, statement: str) -> str:
    """Return the command that runs an SQL statement as a given role.

    Raises:
        StoreError: If the address cannot be read.
    """
    database = shlex.quote(_without_secrets(url, user=role))
    return f"psql --no-psqlrc --dbname={database} --command={shlex.quote(statement)}"


def ready_command(url: str) -> str:
    """Return the command that shows whether PostgreSQL accepts connections.

    Raises:
        StoreError: If the address cannot be read.
    """
    return f"pg_isready --dbname={shlex.quote(_without_secrets(url))}"


def _check(test: str, message: str) -> str:
    """Return a line of shell that prints a message and fails if a test fails."""
    return f"{{ {test} || {{ echo {shlex.quote(message)} >&2; false; }}; }} &&"


def _quote(path: Path) -> str:
    return shlex.quote(f"{path}")


def _without_secrets(url: str, **changes: str) -> str:
    """Return an address as text for libpq, without passwords.

    Args:
        url: Address as libpq reads it.
        changes: New values of parameters, by the names of libpq.
    """
    given = read_address(url)
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import Conninfo

    # libpq marks secret options with `*`, so that user interfaces hide the values.
    secret = {
        option.keyword.decode()
        for option in Conninfo.get_defaults()
        if option.dispchar == b"*"
    }
    return make_conninfo(
        **{name: value for name, value in given.items() if name not in secret} | changes
    )
