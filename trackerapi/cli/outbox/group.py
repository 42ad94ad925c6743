"""Group of commands `outbox`: its parser, and the list of its commands."""

from typing import Any, Final

from trackerapi.cli.outbox import claim, drop, export, replay, retry, show
from trackerapi.cli.outbox import import_ as import_bundle
from trackerapi.cli.outbox import list as list_files
from trackerapi.cli.parser import add_group

_HELP: Final = "List, retry, move or drop undelivered and held records."


def add_commands(commands: Any) -> None:
    """Add `outbox` and its commands."""
    text = "list, retry, move or drop undelivered and held records"
    own = add_group(commands.add_parser("outbox", help=text, description=_HELP))
    for module in (
        list_files,
        show,
        retry,
        claim,
        drop,
        replay,
        export,
        import_bundle,
    ):
        module.add_commands(own)
