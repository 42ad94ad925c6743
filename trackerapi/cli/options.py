"""Options that several commands share; settings and outbox folder from the options."""

import argparse
import os
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.argument_types import seconds
from trackerapi.composition import outbox_folder
from trackerapi.errors import UsageError
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.settings.settings import DEFAULT_TIMEOUT_SECONDS, OUTBOX, Settings

if TYPE_CHECKING:
    from collections.abc import Callable


IS_STRICT: Final = False
"""Setting `strict` of all commands: a failed report must not make a shell script fail.
Commands do not read `TRACKERAPI_STRICT`, not even to check its value."""


def add_command(
    commands: Any, name: str, run: "Callable[[argparse.Namespace], int]", text: str
) -> argparse.ArgumentParser:
    """Add a command to a group; return the parser of the command.

    Args:
        commands: Group of commands, as `add_group()` returns it.
        name: Word of the command.
        run: Function that runs the command and returns its exit status.
        text: Help of the command; its first line also appears in the list of commands.
    """
    short, _, long = text.strip().partition("\n")
    description, _, epilog = f"\n{long.strip()}".partition("\nexamples:")
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short[0].lower() + short[1:].rstrip("."),
        description=f"{short}\n\n{description.strip()}".strip(),
        epilog=f"examples:{epilog}" if epilog else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_json(parser: argparse.ArgumentParser, text: str = "print JSON") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=text)


def add_outbox(parser: argparse.ArgumentParser) -> None:
    """Add `--outbox`."""
    parser.add_argument(
        "--outbox", metavar="DIR", help="folder of the outbox, instead of the default"
    )


def add_job_filter(parser: argparse.ArgumentParser) -> None:
    """Add `--job`, which restricts a command to the records of one job."""
    parser.add_argument("--job", metavar="ID", help="only records of this job")


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add `--timeout`."""
    parser.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="time limit in seconds; by default, 10 s without a success",
    )


def add_backend(parser: argparse.ArgumentParser) -> None:
    """Add the options for the address, the key and the certificates of the backend."""
    parser.add_argument("--base-url", metavar="URL", help="address of the backend")
    parser.add_argument("--api-key-file", metavar="FILE", help="file with the key")
    parser.add_argument(
        "--ca-file", metavar="FILE", help="file with the certificates to trust"
    )


def add_delivery(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command that delivers: time limit, outbox, backend, JSON."""
    add_timeout(parser)
    add_outbox(parser)
    add_backend(parser)
    add_json(parser)


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings of a command that makes requests to the backend.

    Raises:
        SettingsError: If a setting is missing or invalid.
    """
    arguments: dict[str, object] = {
        "base_url": options.base_url,
        "api_key_file": options.api_key_file,
        "ca_file": options.ca_file,
        "outbox": options.outbox,
        # The setting `mode` is for jobs: a command that delivers is always online.
        "mode": "online",
        "strict": IS_STRICT,
    }
    timeout = getattr(options, "timeout", None)
    if timeout is not None:
        arguments["timeout_seconds"] = min(timeout, DEFAULT_TIMEOUT_SECONDS)
    return Settings.resolve(arguments)


def folder_of(options: argparse.Namespace, *, creates: bool = False) -> OutboxFolder:
    """Return the outbox folder; no address and no key is needed.

    Args:
        options: Options of the command line.
        creates: Whether the folder of `--outbox` may be missing.

    Raises:
        SettingsError: If the setting cannot be a path.
        UsageError: If the folder of `--outbox` is missing, or cannot be read.
    """
    environment = {n: v for n, v in os.environ.items() if n == OUTBOX}
    arguments = {"outbox": options.outbox, "mode": "off"}
    path = outbox_folder(Settings.resolve(arguments, environment))
    if path is None:
        raise UsageError(f"this user has no home folder; set {OUTBOX} or pass --outbox")
    try:
        next(path.iterdir(), None)
    except FileNotFoundError:
        if options.outbox is not None and not creates:
            raise UsageError(f"there is no folder {path}") from None
    except OSError as error:
        raise UsageError(f"cannot read the outbox {path}: {error.strerror}") from None
    return OutboxFolder(path)
