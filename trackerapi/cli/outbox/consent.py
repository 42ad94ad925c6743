"""Question on the terminal before a change that cannot be undone, and `--yes`."""

import argparse
import sys

from trackerapi.errors import UsageError, printable


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add `--yes`."""
    parser.add_argument("--yes", action="store_true", help="do not ask")


def check_consent(change: str, question: str, refusal: str) -> None:
    """Ask on the terminal whether to make a change; return if the answer is yes.

    Args:
        change: Change in the error without a terminal, such as `drop 4 records`.
        question: Question on the terminal, without its question mark.
        refusal: Text of the error if the answer is no.

    Raises:
        UsageError: If stdin or stderr is not a terminal, or the answer is not yes.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"this would {change}; pass --yes to do it")
    sys.stderr.write(f"{printable(question)}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError(refusal)
