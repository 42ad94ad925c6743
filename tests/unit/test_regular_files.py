"""Pipes, devices and folders in the place of files that the library reads."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trackerapi import JobConfigManager, TrackerApi
from trackerapi.certificates import SSL_KEY_LOG
from trackerapi.commands.exits import USAGE
from trackerapi.errors import ConfigError, SettingsError

PATIENCE_SECONDS = 90.0
PLAIN, SECURE = "http://127.0.0.1:9", "https://127.0.0.1:9"


@pytest.fixture(params=["pipe", "device"])
def odd_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a pipe that nobody writes to, or a device without an end."""
    path = tmp_path / "odd"
    if request.param == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    return path


def test_key_file_that_is_no_regular_file_is_refused(odd_file: Path) -> None:
    """The script begins, or fails at once, and does not wait."""
    with pytest.raises(SettingsError, match="not a regular file"):
        TrackerApi(base_url=PLAIN, api_key_file=odd_file)


def test_certificates_that_are_no_regular_file_are_refused(odd_file: Path) -> None:
    """They would be read twice, and a pipe can be read once."""
    with pytest.raises(SettingsError, match="not a regular file"):
        TrackerApi("key", SECURE, ca_file=odd_file)


def test_configurations_that_are_no_regular_file_are_refused(odd_file: Path) -> None:
    """The error has the path of the file."""
    with pytest.raises(ConfigError, match="not a regular file") as caught:
        JobConfigManager(odd_file)

    assert caught.value.path == odd_file


def test_pipe_for_secrets_of_tls_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that nobody reads holds up no script."""
    os.mkfifo(tmp_path / "secrets")
    monkeypatch.setenv(SSL_KEY_LOG, str(tmp_path / "secrets"))

    with pytest.raises(SettingsError) as caught:
        TrackerApi("key", SECURE)

    assert caught.value.setting == SSL_KEY_LOG


@pytest.mark.parametrize(
    "line",
    [
        ("verify", "--api-key-file"),
        ("check", "job.py", "--config"),
        ("check",),
        ("job", "start", "x", "--customer", "1", "--config"),
        ("outbox", "import"),
    ],
    ids=" ".join,
)
def test_command_refuses_what_is_no_regular_file(
    odd_file: Path, tmp_path: Path, line: tuple[str, ...]
) -> None:
    """One line names the file."""
    (tmp_path / "job.py").touch()
    done = subprocess.run(
        [sys.executable, "-m", "trackerapi", *line, str(odd_file)],
        env={
            **os.environ,
            "TRACKERAPI_BASE_URL": PLAIN,
            "TRACKERAPI_API_KEY": "" if "verify" in line else "key",
            "TRACKERAPI_OUTBOX": str(tmp_path / "outbox"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (USAGE, "")
    [told] = done.stderr.splitlines()
    assert f"{odd_file}" in told
    assert "not a regular file" in told
