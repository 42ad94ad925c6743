"""`trackerapi-backend dev`: a local backend without any set-up.

The data folder keeps the database, the pepper and the key between runs. While the
server runs, `dev.json` in the data folder has its address and its key for scripts.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_log_options, port_number
from trackerapi_backend.cli.database import open_pepper
from trackerapi_backend.cli.served import run_served
from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.providers import (
    create_api_key,
    create_customer,
    find_or_create_provider,
)
from trackerapi_backend.logs import start_log
from trackerapi_backend.network.listeners import open_listener
from trackerapi_backend.requests.credentials import (
    SCOPES,
    generate_share_token,
    hash_secret,
    parse_key_id,
)
from trackerapi_backend.server import exit_despite_busy_threads, serve_store
from trackerapi_backend.settings import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    Settings,
    SettingsError,
    Storage,
    absolute_path,
    default_erasures_file,
    log_settings_from,
    read_secret,
    user_data_dir,
    write_secret,
)
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store import customers as stored_customers
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store import share_links as stored_links
from trackerapi_backend.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from sqlalchemy import Connection

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.pepper import PepperFile

PROVIDER_NAME = "Example provider"
CUSTOMER_ID = 142
OTHER_CUSTOMERS = (1, 2)
DEFAULT_LOG_LEVEL = "warning"
LINK_LABEL = "trackerapi-backend dev"
"""Label of the links that `dev` prints."""
LINK_LIFETIME = timedelta(days=1)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `dev`."""
    parser.description = (
        "Run a backend on this machine. The first run creates a database,"
        " a key and customers (142 among them), and later runs use them again. While"
        " the backend runs, DIR/dev.json has its address and its key for scripts."
    )
    parser.add_argument("--host", default=DEFAULT_HOST, help="default: %(default)s")
    parser.add_argument(
        "--port",
        type=port_number,
        default=DEFAULT_PORT,
        help="default: %(default)s; 0 selects a free port",
    )
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help=f"folder for all files; default: {_default_folder_text()}",
    )
    add_log_options(parser, DEFAULT_LOG_LEVEL)
    parser.set_defaults(run=run)


def _default_folder_text() -> str:
    """Return the default folder for the help text."""
    default = user_data_dir()
    if default is None:
        return "none, since this user has no home directory"
    # argparse formats the text with `%`, so a percent sign is doubled. Bytes of the
    # path that are not UTF-8 are replaced, because they cannot be printed.
    return os.fsencode(default).decode(errors="replace").replace("%", "%%")


def run(options: Namespace, print_line: PrintLine) -> None:
    """Serve the database of the data folder until a signal ends the server."""
    folder = _DevFolder(_find_folder(options.data_dir))
    log = log_settings_from(
        vars(options),
        default_level=DEFAULT_LOG_LEVEL,
        storage=folder.storage,
        other_files={
            folder.api_key_file: "the file of the API key",
            folder.description: "the file for scripts",
        },
    )
    start_log(log)
    _serve_folder(folder, options.host, options.port, print_line)
    exit_despite_busy_threads(0)


def _find_folder(data_dir: str | None) -> Path:
    """Return the absolute path of `--data-dir`, or the default folder of this user."""
    if data_dir is not None:
        return absolute_path(data_dir, "--data-dir")
    default = user_data_dir()
    if default is None:
        raise SettingsError("this user has no home directory: give --data-dir")
    return default


@dataclass(frozen=True, slots=True)
class _DevFolder:
    """Folder with the files of a `dev` backend."""

    path: Path

    @property
    def database(self) -> Path:
        """Path of the SQLite file."""
        return self.path / "backend.db"

    @property
    def storage(self) -> Storage:
        """Database and secret in the folder."""
        return Storage(
            database=self.database,
            pepper_file=self.path / "pepper",
            erasures_file=default_erasures_file(self.database),
        )

    @property
    def api_key_file(self) -> Path:
        """Path of the file with the API key for scripts."""
        return self.path / "api_key"

    @property
    def description(self) -> Path:
        """Path of the file with address, key and customer for scripts.

        The file exists while the server runs.
        """
        return self.path / "dev.json"


def _serve_folder(
    folder: _DevFolder, host: str, port: int, print_line: PrintLine
) -> None:
    """Serve the database of a data folder, which is created if it does not exist.

    Args:
        folder: Folder of the files.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free port.
        print_line: Called with each line for the user.

    Raises:
        SettingsError: If the folder or the address cannot be used.
        StoreError: If another server uses the folder.
    """
    try:
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{folder.path} cannot be created ({error.strerror}): choose a folder with"
            " --data-dir"
        ) from None
    settings = Settings(
        **asdict(folder.storage),
        host=host,
        port=port,
    )
    store = SqliteStore(folder.database, migrate=True)
    try:
        # A killed server leaves its `dev.json` behind. Another program may now use
        # the address in this file.
        folder.description.unlink(missing_ok=True)
        pepper = open_pepper(store, settings, create=True)
        _prepare(store, pepper, folder)
        token = _link_to_newest_job(store)
        announce = partial(_announce, folder, token, print_line)
        with open_listener(host, port) as listener:
            serve_store(
                settings,
                store,
                pepper,
                listeners=[listener],
                announce=announce,
                run_command=partial(run_served, settings),
            )
    finally:
        folder.description.unlink(missing_ok=True)
        store.close()


def _prepare(store: SqliteStore, pepper: PepperFile, folder: _DevFolder) -> None:
    """Create the provider, the customers and the key that the database lacks.

    The key file is replaced if its key has expired or is not in the database.
    """
    with store.transaction() as db:
        provider_id = find_or_create_provider(db, PROVIDER_NAME)
        for customer_id in (CUSTOMER_ID, *OTHER_CUSTOMERS):
            if not stored_customers.customer_exists(db, customer_id):
                create_customer(db, provider_id, customer_id)
        if not _is_valid_key(db, pepper, folder.api_key_file):
            new = create_api_key(db, pepper, provider_id, "dev", SCOPES)
            # Write the file before the commit. A crash between the two leaves a file
            # with a key that is not in the database, and the next run replaces it.
            write_secret(folder.api_key_file, f"{new.api_key}\n".encode())


def _is_valid_key(db: Connection, pepper: PepperFile, file: Path) -> bool:
    """Return whether a file contains a key of this database that has not expired."""
    if not file.exists():
        return False
    api_key = read_secret(file).decode(errors="replace").strip()
    known = stored_keys.find_key_with_provider(db, parse_key_id(api_key) or "")
    return (
        known is not None
        and pepper.read().find_fingerprint(api_key, known.key_hmac) is not None
        and (known.expires_at is None or known.expires_at > utc_now())
    )


def _announce(
    folder: _DevFolder, token: str | None, print_line: PrintLine, base_url: str
) -> None:
    """Write `dev.json`; print `export` lines for the variables of a script, and pages.

    The lines after the `export` lines are comments for a shell.

    Args:
        folder: Folder of the files.
        token: Token of a link to the newest job; None without a job.
        print_line: Called with each line for the user.
        base_url: Address of the server.
    """
    description = {
        "base_url": base_url,
        "api_key": read_secret(folder.api_key_file).decode().strip(),
        "api_key_file": str(folder.api_key_file),
        "customer_id": CUSTOMER_ID,
    }
    write_secret(folder.description, json.dumps(description, indent=2).encode())
    print_line(f"export TRACKERAPI_BASE_URL={base_url}")
    file = shlex.quote(str(folder.api_key_file))
    print_line(f"export TRACKERAPI_API_KEY_FILE={file}")
    if token is None:
        print_line("# the customer's page of a job: trackerapi job link --job ID")
    else:
        print_line(f"# the newest job, as its customer sees it: {base_url}/s/{token}")
    print_line(f"# the API: {base_url}/docs")
    print_line("# to end this backend, press Ctrl-C")


def _link_to_newest_job(store: SqliteStore) -> str | None:
    """Make a link to the newest job, valid for a day; return its token.

    The store has only the hashes of links, so an earlier link cannot be printed again.
    None without a job.
    """
    now, token = utc_now(), generate_share_token()
    with store.transaction() as db:
        provider_id = find_or_create_provider(db, PROVIDER_NAME)
        newest = stored_jobs.find_newest_job_id(db, provider_id)
        if newest is None:
            return None
        values = {
            "job_id": newest,
            "token_hash": hash_secret(token),
            "created_at": now,
            "expires_at": now + LINK_LIFETIME,
            "label": LINK_LABEL,
            "language": None,
        }
        stored_links.create_share_link(db, provider_id, values)
    return token
