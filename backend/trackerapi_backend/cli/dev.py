"""`trackerapi-backend dev`: a backend of one's own without any set-up.

All it needs lies in one folder and is kept from run to run: database, pepper, key,
and `dev.json`, by which scripts find the running server.
"""

from __future__ import annotations

import hmac
import json
import shlex
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.administration import (
    make_api_key,
    make_customer,
    provider_named,
)
from trackerapi_backend.requests.auth import SCOPES, key_hmac, key_id_of
from trackerapi_backend.server import serve_store
from trackerapi_backend.settings import (
    Settings,
    SettingsError,
    read_pepper,
    read_secret,
    write_secret,
)
from trackerapi_backend.store import access, customers
from trackerapi_backend.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

PROVIDER_NAME = "Example provider"
CUSTOMER_ID = 142
OTHER_CUSTOMERS = (1, 2)


@dataclass(frozen=True, slots=True)
class DevFolder:
    """The folder with the files of a `dev` backend."""

    path: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "backend.db"

    @property
    def pepper_file(self) -> Path:
        """The secret under which keys are kept."""
        return self.path / "pepper"

    @property
    def api_key_file(self) -> Path:
        """The key that scripts use."""
        return self.path / "api_key"

    @property
    def description(self) -> Path:
        """Address and customer for scripts; the file exists while the server runs."""
        return self.path / "dev.json"


def run_dev(path: Path, *, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve from a folder, made where there is none, until told to stop.

    Args:
        path: The folder; absolute.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        tell: Called with each line that the user should read.

    Raises:
        SettingsError: If the folder or the address cannot be used.
        StoreError: If another server has the folder.
    """
    folder = DevFolder(path)
    try:
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{folder.path} cannot be made ({error.strerror}): choose a folder with"
            " --data-dir"
        ) from None
    settings = Settings(
        database=folder.database,
        pepper_file=folder.pepper_file,
        host=host,
        port=port,
    )
    store = SqliteStore(folder.database, migrate=True)
    try:
        # A killed run may have left it, with an address that is not ours.
        folder.description.unlink(missing_ok=True)
        _prepare(store, folder)
        serve_store(settings, store, announce=partial(_announce, folder, tell))
    finally:
        folder.description.unlink(missing_ok=True)
        store.close()


def _prepare(store: SqliteStore, folder: DevFolder) -> None:
    """Make provider, customers and key, unless the database has them.

    A key of another database, or one that has ended, is replaced.
    """
    pepper = read_pepper(folder.pepper_file)
    with store.transaction() as db:
        provider_id = provider_named(db, PROVIDER_NAME)
        for customer_id in (CUSTOMER_ID, *OTHER_CUSTOMERS):
            if not customers.customer_exists(db, customer_id):
                make_customer(db, provider_id, customer_id)
        if not _is_good_key(db, pepper, folder.api_key_file):
            new = make_api_key(db, pepper, provider_id, "dev", SCOPES)
            write_secret(folder.api_key_file, f"{new.api_key}\n")


def _is_good_key(db: Connection, pepper: bytes, file: Path) -> bool:
    """Return whether a file holds a key of this database that has not ended."""
    if not file.exists():
        return False
    api_key = read_secret(file).decode(errors="replace").strip()
    known = access.find_key_with_provider(db, key_id_of(api_key) or "")
    return (
        known is not None
        and hmac.compare_digest(known.key_hmac, key_hmac(pepper, api_key))
        and (known.expires_at is None or known.expires_at > utc_now())
    )


def _announce(folder: DevFolder, tell: Callable[[str], None], base_url: str) -> None:
    description = {
        "base_url": base_url,
        "api_key": read_secret(folder.api_key_file).decode().strip(),
        "api_key_file": str(folder.api_key_file),
        "customer_id": CUSTOMER_ID,
    }
    write_secret(folder.description, json.dumps(description, indent=2) + "\n")
    tell(f"export TRACKERAPI_BASE_URL={base_url}")
    tell(f"export TRACKERAPI_API_KEY_FILE={shlex.quote(str(folder.api_key_file))}")
