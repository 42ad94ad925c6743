"""What the set-up says where it cannot set up."""

import os
import subprocess
from pathlib import Path

import pytest

from scripts import environment

ROOT = Path(__file__).parents[2]


def test_setup_without_a_suitable_python_says_what_to_do() -> None:
    """A Python that cannot serve is named, with the mend, and nothing is made."""
    done = subprocess.run(
        ["bash", "scripts/setup.sh"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": "false"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "No Python 3.11 or newer with venv and ensurepip among: false" in done.stderr
    assert "PYTHON=" in done.stderr


def test_stamp_changes_with_every_requirement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of any requirement, or of the place, asks for a new set-up."""
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    (tmp_path / "backend").mkdir()
    for name in environment.INPUTS:
        (tmp_path / name).write_text("first")
    states = [environment.wanted_state()]
    for name in environment.INPUTS:
        (tmp_path / name).write_text("second")
        states.append(environment.wanted_state())

    assert len({state["inputs"] for state in states}) == len(states)
    assert states[0]["place"] == str(tmp_path)
