"""Every test of the layer by hand starts from an empty environment."""

import os

import pytest

from trackerapi.job_config import forget_loaded

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings and proxies of whoever runs the tests."""
    for name in os.environ:
        if name.startswith("TRACKERAPI_") or name.upper() in PROXY_VARIABLES:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_loaded_configurations() -> None:
    """Forget the configurations that the test before has loaded."""
    forget_loaded()
