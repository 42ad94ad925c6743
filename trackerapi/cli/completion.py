"""Command `completion`: prints the script for completion in a shell."""

import argparse
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command
from trackerapi.cli.printing import print_line
from trackerapi.errors import UsageError

_SHELLS: Final = ("bash", "zsh", "fish")

_HELP: Final = """\
Print a script that completes commands and options in a shell.

Needs argcomplete; in a checkout: pip install ".[completion]"

examples:
  source <(trackerapi completion bash)      # in ~/.bashrc
  source <(trackerapi completion zsh)       # in ~/.zshrc, after compinit
  trackerapi completion fish > ~/.config/fish/completions/trackerapi.fish
"""


def add_commands(commands: Any) -> None:
    """Add `completion`."""
    parser = add_command(commands, "completion", _completion, _HELP)
    parser.add_argument("shell", choices=_SHELLS, help="shell that runs the script")


def _completion(options: argparse.Namespace) -> int:
    try:
        from trackerapi.cli.completion_words import script_for
    except ImportError:
        raise UsageError(
            'completion needs argcomplete; in a checkout: pip install ".[completion]"'
        ) from None
    print_line(script_for(options.shell))
    return FINE
