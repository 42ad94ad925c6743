"""Runs of `trackerapi run` in separate processes, with their options and settings."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

RUN: Final = (sys.executable, "-W", "error", "-m", "trackerapi", "run")

VARIANTS: Final = {
    "nothing to report": ((), {}),
    "settings missing": (("--step", "load"), {"TRACKERAPI_JOB": "a-job"}),
    "recording": (
        ("--step", "load"),
        {
            "TRACKERAPI_JOB": "a-job",
            "TRACKERAPI_BASE_URL": "http://127.0.0.1:9",
            "TRACKERAPI_MODE": "offline",
        },
    ),
}
"""Options and environment variables for each path through `run`."""

VARIANTS_WITH_PROGRESS: Final = {
    **VARIANTS,
    "progress": (("--step", "load", "--progress", "(\\d+)%"), VARIANTS["recording"][1]),
}

SHELL: Final = ("sh", "-c")
PYTHON: Final = (sys.executable, "-c")


def arguments(variant: str, *command: str, attempts: int = 1) -> list[str]:
    """Return the `trackerapi run` command line of one of `VARIANTS_WITH_PROGRESS`."""
    options = ("--attempts", str(attempts), *VARIANTS_WITH_PROGRESS[variant][0])
    return [*RUN, *options, "--", *command]


def settings(variant: str) -> dict[str, str]:
    """Return the environment for one of `VARIANTS_WITH_PROGRESS`."""
    return {**os.environ, **VARIANTS_WITH_PROGRESS[variant][1]}


def run(
    variant: str, *command: str, stdin: bytes = b"", attempts: int = 1
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command under `trackerapi run` to its end."""
    line = arguments(variant, *command, attempts=attempts)
    return run_as(line, settings(variant), stdin=stdin)


def run_as(
    command: Sequence[str], environment: Mapping[str, str], *, stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command line to its end."""
    return subprocess.run(
        command, env=environment, input=stdin, capture_output=True, check=False
    )


def without_own_lines(stderr: bytes) -> bytes:
    """Return stderr of the command without the lines of `trackerapi run`."""
    lines = stderr.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"trackerapi: "))


class RecordedRuns:
    """Outbox of offline runs, with the environment variables for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = {
            **os.environ,
            "TRACKERAPI_JOB": "a-job",
            "TRACKERAPI_BASE_URL": "http://127.0.0.1:9",
            "TRACKERAPI_MODE": "offline",
            "TRACKERAPI_OUTBOX": str(folder),
        }

    def run(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run `trackerapi run` with arguments."""
        return subprocess.run(
            [*RUN, *words],
            env={**self.settings, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        """Recorded events, oldest first."""
        lines = [
            json.loads(line)
            for path in sorted(self.folder.glob("*.outbox"))
            for line in path.read_bytes().splitlines()
        ]
        return [line for line in lines if "kind" in line]

    @property
    def kinds_and_steps(self) -> list[tuple[str, str | None]]:
        """Kind and step tag of each recorded event."""
        return [(event["kind"], event.get("tag")) for event in self.events]
