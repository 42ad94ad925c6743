"""Pipes and devices given instead of a file that the library reads."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.odd_files import EXAMPLE, REFUSED
from trackerapi import JobConfigManager, TrackerApi
from trackerapi import files as regular_file
from trackerapi.errors import ConfigError, SettingsError
from trackerapi.settings.certificates import SSL_KEY_LOG

PATIENCE_SECONDS = 90.0
PLAIN, SECURE = "http://127.0.0.1:9", "https://127.0.0.1:9"


def test_key_file_that_is_not_regular_is_rejected(odd_file: Path) -> None:
    """A key file that is an empty pipe or a device raises SettingsError."""
    with pytest.raises(SettingsError, match=REFUSED):
        TrackerApi(base_url=PLAIN, api_key_file=odd_file)


def test_certificates_that_are_not_regular_files_are_rejected(odd_file: Path) -> None:
    """A pipe or device as CA file raises: the check and OpenSSL each read the file.

    The content of a pipe can be read once.
    """
    with pytest.raises(SettingsError, match="not a regular file"):
        TrackerApi("key", SECURE, ca_file=odd_file)


def test_configurations_that_are_not_regular_files_are_rejected(odd_file: Path) -> None:
    """The attribute `path` of the ConfigError is the path of the pipe or device."""
    with pytest.raises(ConfigError, match=REFUSED) as caught:
        JobConfigManager(odd_file)

    assert caught.value.path == odd_file


def test_pipe_for_secrets_of_tls_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe in SSLKEYLOGFILE raises: without a reader, it would block the script."""
    os.mkfifo(tmp_path / "secrets")
    monkeypatch.setenv(SSL_KEY_LOG, str(tmp_path / "secrets"))

    with pytest.raises(SettingsError) as caught:
        TrackerApi("key", SECURE)

    assert caught.value.setting == SSL_KEY_LOG


@pytest.fixture
def pipe_with_writer(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Return a pipe that has a writer, and the descriptor to write to."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY)
    yield path, writer
    os.close(reader)


def test_configurations_come_through_a_pipe(
    pipe_with_writer: tuple[Path, int],
) -> None:
    """A configuration is read to the end of a pipe, such as `<(command)` of a shell."""
    path, writer = pipe_with_writer
    document = EXAMPLE.read_text() + " " * 200_000  # exceeds the buffer of a pipe

    def write() -> None:
        with os.fdopen(writer, "w") as file:
            file.write(document)

    with ThreadPoolExecutor() as pool:
        written = pool.submit(write)
        configurations = JobConfigManager(path)
        written.result(PATIENCE_SECONDS)

    assert configurations.tags == JobConfigManager(EXAMPLE).tags


@pytest.mark.parametrize("begun", ["", "trk_"], ids=["nothing", "a part"])
def test_pipe_with_an_endless_writer_is_rejected(
    pipe_with_writer: tuple[Path, int], monkeypatch: pytest.MonkeyPatch, begun: str
) -> None:
    """A pipe that stays open raises SettingsError after PIPE_SECONDS."""
    path, writer = pipe_with_writer
    monkeypatch.setattr(regular_file, "PIPE_SECONDS", 0.2)
    os.write(writer, begun.encode())

    with pytest.raises(SettingsError, match="the pipe did not end within"):
        TrackerApi(base_url=PLAIN, api_key_file=path)

    os.close(writer)
