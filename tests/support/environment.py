"""Fixtures that hide the settings of the user who runs the tests."""

import os
from pathlib import Path

import pytest

from trackerapi.config.manager import forget_loaded
from trackerapi.delivery import delivery

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings, proxies and outbox of the user who runs the tests."""
    for name in os.environ:
        if name.startswith("TRACKERAPI_") or name.upper() in PROXY_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    # Long waits at exits: on a busy machine a tracker could otherwise still hold its
    # files when the next tracker of the process searches for leftover files.
    monkeypatch.setenv("TRACKERAPI_SHUTDOWN_TIMEOUT", "30")
    monkeypatch.setattr(delivery, "_STOP_SECONDS", 30.0)


@pytest.fixture(autouse=True)
def no_loaded_configurations() -> None:
    """Forget the configurations that an earlier test has loaded."""
    forget_loaded()
