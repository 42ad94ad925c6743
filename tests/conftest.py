"""Fixtures that several folders of tests share."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, and that proves nothing.
settings.register_profile(
    "no-hurry", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("no-hurry")

# Processes of tests inherit ignored signals: `nohup` and a shell's `&` ignore these.
for _number, _usual in (
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)


_KEPT = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP)


@pytest.fixture(autouse=True)
def same_signal_handlers() -> Iterator[None]:
    """Fail a test that leaves other signal handlers: a later test would be killed."""
    before = [signal.getsignal(number) for number in _KEPT]
    yield
    assert [signal.getsignal(number) for number in _KEPT] == before


@dataclass(frozen=True, slots=True)
class RunningBackend:
    """A backend that serves; the members are those of its `dev.json`."""

    base_url: str
    api_key: str
    api_key_file: str
    customer_id: int


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBackend]:
    """Run a real backend for the whole session."""
    folder: Path = tmp_path_factory.mktemp("backend")
    command = [sys.executable, "-m", "trackerapi_backend", "dev"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--data-dir", str(folder)], stdout=subprocess.PIPE
    )
    with process:
        try:
            # It says its address once it serves.
            assert process.stdout is not None
            assert process.stdout.readline(), "the backend did not start"
            description = json.loads((folder / "dev.json").read_text())
            yield RunningBackend(**description)
        finally:
            process.terminate()
