"""Marked code blocks of a document, and the environment to run them in."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PATIENCE_SECONDS: Final = 180.0
"""Maximum duration of a command, in seconds."""

PATIENT: Final = {"TRACKERAPI_SHUTDOWN_TIMEOUT": "60"}
"""Environment variables: an exit waits up to 60 s, because a busy machine is slow."""

_BLOCK = re.compile(
    r"<!-- (?P<what>run|prints|file: (?P<name>[\w.]+)) -->\n```\w+\n(?P<text>.*?)```",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One marked code block.

    Attributes:
        file_name: File to write the text to; None for commands and outputs.
        is_output: Whether the block is the output of the commands before it.
        text: Text between the fences.
    """

    file_name: str | None
    is_output: bool
    text: str


def marked_blocks(path: Path) -> list[Block]:
    """Return the marked blocks of a document, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(found["name"], found["what"] == "prints", found["text"])
        for found in _BLOCK.finditer(text)
    ]


def write_files(blocks: list[Block], folder: Path) -> None:
    """Write the blocks that are files into a folder."""
    for block in blocks:
        if block.file_name:
            (folder / block.file_name).write_text(block.text, encoding="utf-8")


def reader_environment(folder: Path, **environment: str) -> dict[str, str]:
    """Return the minimal environment of a user who has installed the package."""
    own_commands = str(Path(sys.executable).parent)
    path = os.pathsep.join([own_commands, os.environ["PATH"]])
    return {"PATH": path, "HOME": str(folder), **PATIENT, **environment}


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Run a command in `reader_environment()`; return its standard output."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=reader_environment(folder, **environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
