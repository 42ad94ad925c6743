"""Settings of delivery: mode, outbox, timeouts, limits and callbacks."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.outbox_folders import records
from tests.support.scripted_server import KEY, NOWHERE
from trackerapi import (
    SettingsError,
    TrackerApi,
)
from trackerapi.settings.settings import Settings


def test_defaults_of_delivery() -> None:
    """By default a tracker is online, waits 2 s at its end, and may store 1 GiB."""
    settings = Settings.resolve({"api_key": KEY, "base_url": NOWHERE}, {})

    assert settings.mode == "online"
    assert settings.shutdown_timeout_seconds == 2.0
    assert settings.outbox is None
    assert settings.fsync is False
    assert settings.outbox_limit_bytes == 1024**3


VARIABLES: Final = {
    "mode": ("TRACKERAPI_MODE", "offline"),
    "outbox": ("TRACKERAPI_OUTBOX", "/var/outbox"),
    "shutdown_timeout": ("TRACKERAPI_SHUTDOWN_TIMEOUT", "0.5"),
}


@pytest.mark.parametrize("given", ["environment", "argument"])
def test_argument_of_delivery_wins_over_its_variable(given: str) -> None:
    """Variables set the delivery; arguments of the script override variables."""
    environment = dict(VARIABLES.values())
    arguments: dict[str, object] = {"api_key": KEY, "base_url": NOWHERE}
    wanted: tuple[object, ...] = ("offline", Path("/var/outbox"), 0.5)
    if given == "argument":
        arguments |= {"mode": "online", "outbox": "/elsewhere", "shutdown_timeout": 0}
        wanted = ("online", Path("/elsewhere"), 0.0)
    settings = Settings.resolve(arguments, environment)

    found = (settings.mode, settings.outbox, settings.shutdown_timeout_seconds)
    assert found == wanted


def test_settings_of_delivery_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event is stored in `~/mine`, the value of TRACKERAPI_OUTBOX."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRACKERAPI_OUTBOX", "~/mine")
    monkeypatch.setenv("TRACKERAPI_MODE", " Offline ")
    with TrackerApi(KEY, NOWHERE, fsync=True, outbox_limit_bytes=2**20) as tracker:
        event_id = tracker.job("settings").send_event(kind="info")

    assert [each["event_id"] for each in records(tmp_path / "mine")] == [event_id]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRACKERAPI_MODE", "sometimes"),
        ("TRACKERAPI_OUTBOX", "~nobody-here/outbox"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "soon"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "-1"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "nan"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "inf"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "3601"),
    ],
)
def test_bad_variable_of_delivery_is_rejected_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """SettingsError names the variable with the invalid value."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        TrackerApi(KEY, NOWHERE)
    assert caught.value.setting == variable


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("mode", "sometimes"),
        ("mode", 1),
        ("outbox", " "),
        ("outbox", 5),
        ("outbox", "nul\0"),
        ("outbox", "~nobody-here/outbox"),
        ("shutdown_timeout", -0.1),
        ("shutdown_timeout", True),
        ("shutdown_timeout", "soon"),
        ("shutdown_timeout", float("nan")),
        ("shutdown_timeout", [1]),
        ("fsync", 1),
        ("fsync", "yes"),
        ("outbox_limit_bytes", 0),
        ("outbox_limit_bytes", -1),
        ("outbox_limit_bytes", 65_535),
        ("outbox_limit_bytes", 1e9),
        ("outbox_limit_bytes", True),
    ],
)
def test_bad_argument_of_delivery_is_rejected_by_name(
    argument: str, value: object
) -> None:
    """SettingsError names the argument with the invalid value."""
    with pytest.raises(SettingsError) as caught:
        TrackerApi(KEY, NOWHERE, **{argument: value})  # type: ignore[arg-type]
    assert caught.value.setting == argument


@pytest.mark.parametrize("argument", ["before_send", "on_problem"])
def test_callback_that_cannot_be_called_is_rejected_by_name(argument: str) -> None:
    """`TrackerApi()` raises TypeError for a callback that is not callable."""
    with pytest.raises(TypeError, match=f"{argument} must be callable, got str"):
        TrackerApi(KEY, NOWHERE, **{argument: "print"})  # type: ignore[arg-type]
