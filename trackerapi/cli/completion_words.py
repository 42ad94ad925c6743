"""Completions that a shell offers at the tab key, computed by argcomplete.

At each press of the tab key, the completion script runs `trackerapi` with the variable
`_ARGCOMPLETE` set and the typed line in `COMP_LINE`.
"""

import argparse
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

import argcomplete
from argcomplete.completers import BaseCompleter, DirectoriesCompleter, FilesCompleter
from argcomplete.shell_integration import shellcode

from trackerapi.cli.main import build_parser
from trackerapi.events.event import KINDS

_COMMAND: Final = "trackerapi"
_FILES: Final = FilesCompleter()
_FOLDERS: Final = DirectoriesCompleter()


def script_for(shell: str) -> str:
    """Return the completion script for a shell: bash, zsh or fish."""
    # With `use_defaults`, bash would offer file names for options with free text.
    script: str = shellcode([_COMMAND], use_defaults=False, shell=shell)
    return script.strip("\n")


def complete() -> None:
    """Write the possible next words of the typed line to the shell, and exit."""
    # Load only the module of the typed command: the user waits at the prompt.
    typed_command = os.environ.get("COMP_LINE", "").split()[1:2]
    argcomplete.autocomplete(
        build_parser(typed_command),
        always_complete_options=False,
        default_completer=_ByMetavar(),
    )


class _ByMetavar(BaseCompleter):
    """Completer of an option value, selected by the metavar of the option."""

    def __call__(
        self,
        *,
        prefix: str,
        action: argparse.Action,
        parsed_args: argparse.Namespace,
        **_others: Any,
    ) -> Iterable[str]:
        if action.metavar in ("FILE", "SCRIPT"):
            return _FILES(prefix=prefix)
        if action.metavar == "DIR":
            return _FOLDERS(prefix=prefix)
        if action.metavar == "KIND":
            return tuple(KINDS)
        if action.metavar == "COMMAND":
            words = [
                word for word in getattr(parsed_args, action.dest) or () if word != "--"
            ]
            programs = () if words else _programs(prefix)
            return [*programs, *_FILES(prefix=prefix)]
        return ()


def _programs(prefix: str) -> Iterator[str]:
    """Yield the names of programs in the folders of `PATH`."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        with suppress(OSError):  # a folder that is missing or unreadable
            for entry in os.scandir(folder or "."):
                if entry.name.startswith(prefix) and os.access(entry, os.X_OK):
                    yield entry.name
