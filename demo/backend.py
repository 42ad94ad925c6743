"""Backend of the demo: set by the environment, already running, or started here."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from trackerapi import SettingsError, TrackerApi, TrackerError
from trackerapi.settings.api_key import API_KEY, API_KEY_FILE
from trackerapi.settings.route import BASE_URL
from trackerapi.settings.settings import Settings

CUSTOMER_ID = "TRACKERAPI_CUSTOMER_ID"
START_SECONDS = 30.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_MAX_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoBackend:
    """Address, key and customer of a backend for the demo."""

    base_url: str
    api_key: str = field(repr=False)
    customer_id: int


@contextmanager
def find_or_start_backend(environment: Mapping[str, str]) -> Iterator[DemoBackend]:
    """Yield the backend of the environment, else a running backend, else a new backend.

    A new backend ends with the `with` block, and its data is deleted.

    Raises:
        SettingsError: If the environment names only the address or only the key, or a
            backend cannot be started.
    """
    if any(environment.get(n, "").strip() for n in (BASE_URL, API_KEY, API_KEY_FILE)):
        yield _named(environment)
        return
    running = _running()
    if running is not None:
        print(f"Reporting to the backend at {running.base_url}, which is running.")
        yield running
        return
    print("No backend is named or running: starting one until the end of this script.")
    with (
        tempfile.TemporaryDirectory(prefix="trackerapi-demo-") as folder,
        start_backend(Path(folder)) as own,
    ):
        yield own


@contextmanager
def start_backend(folder: Path) -> Iterator[DemoBackend]:
    """Run `trackerapi-backend dev` in `folder` on a free port.

    Raises:
        SettingsError: If the backend is not installed, or does not start within 30 s.
    """
    # SIGTERM becomes an exception, so that the `finally` block ends the server.
    before = signal.signal(signal.SIGTERM, _end_in_order)
    command = [sys.executable, "-m", "trackerapi_backend", "dev", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--data-dir", str(folder)],
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        yield _wait_for(folder / "dev.json", server)
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        signal.signal(signal.SIGTERM, before)


def _end_in_order(_signal: int, _frame: object) -> None:
    raise SystemExit(128 + signal.SIGTERM)


def _wait_for(description: Path, server: subprocess.Popen[bytes]) -> DemoBackend:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        if description.exists():
            return _read(description)
        time.sleep(_POLL_SECONDS)
    raise SettingsError(
        "no backend could be started; install it with `pip install -e backend` or name "
        "one that runs",
        "TRACKERAPI_BASE_URL",
    )


def _named(environment: Mapping[str, str]) -> DemoBackend:
    settings = Settings.resolve({}, environment)
    customer = environment.get(CUSTOMER_ID, "").strip() or "142"
    if (
        not customer.isascii()
        or not customer.isdecimal()
        or len(customer) > _MAX_DIGITS
    ):
        raise SettingsError("not the number of a customer", CUSTOMER_ID)
    return DemoBackend(
        base_url=settings.base_url,
        api_key=settings.api_key,
        customer_id=int(customer),
    )


def _running() -> DemoBackend | None:
    """Return the running `dev` backend of this user; None if no backend answers."""
    try:
        # `platformdirs` is installed with the backend: without it, no backend runs.
        import platformdirs

        description = platformdirs.user_data_path("trackerapi-backend") / "dev.json"
        backend = _read(description)
        with TrackerApi(
            api_key=backend.api_key, base_url=backend.base_url, timeout_seconds=1.0
        ) as tracker:
            tracker.verify_api_key()
    except (ImportError, OSError, ValueError, KeyError, TrackerError):
        return None
    return backend


def _read(description: Path) -> DemoBackend:
    members = json.loads(description.read_text(encoding="utf-8"))
    return DemoBackend(
        base_url=members["base_url"],
        api_key=members["api_key"],
        customer_id=members["customer_id"],
    )
