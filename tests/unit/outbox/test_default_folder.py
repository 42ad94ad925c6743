"""The folder of an outbox for which no setting names one."""

from typing import Final

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from trackerapi.outbox.folder import default_folder

PLATFORMS: Final = {"linux": Unix, "darwin": MacOS}


@pytest.mark.parametrize("state", [None, "", " ", "/var/state", "state", "~/state"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_default_folder_is_that_of_platformdirs(
    monkeypatch: pytest.MonkeyPatch, platform: str, state: str | None
) -> None:
    """Where users and administrators look for it, they find it."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if state is not None:
        monkeypatch.setenv("XDG_STATE_HOME", state)

    wanted = PLATFORMS[platform]("trackerapi", appauthor=False).user_state_path
    assert default_folder(platform=platform) == wanted
