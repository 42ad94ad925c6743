"""Default folder of an outbox."""

from typing import Final

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from trackerapi.outbox.folder import default_folder

PLATFORMS: Final = {"linux": Unix, "darwin": MacOS}


@pytest.mark.parametrize("state", [None, "", " ", "/var/state", "state", "~/state"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_default_folder_is_the_state_folder_of_platformdirs(
    monkeypatch: pytest.MonkeyPatch, platform: str, state: str | None
) -> None:
    """The default folder is the state folder that platformdirs returns."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if state is not None:
        monkeypatch.setenv("XDG_STATE_HOME", state)

    wanted = PLATFORMS[platform]("trackerapi", appauthor=False).user_state_path
    assert default_folder(platform=platform) == wanted
