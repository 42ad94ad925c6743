"""Command `verify`: prints the provider, the scopes and the expiry of the key."""

import argparse
import dataclasses
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE, READ_STATUSES
from trackerapi.cli.options import add_backend, add_command, add_json
from trackerapi.cli.printing import moment_text, print_json, print_line
from trackerapi.cli.reporting import tracker_for_reading
from trackerapi.errors import one_line

_HELP: Final = f"""\
Show the provider of the key, its scopes and its expiry.

{READ_STATUSES}"""


def add_commands(commands: Any) -> None:
    """Add `verify`."""
    parser = add_command(commands, "verify", _verify, _HELP)
    add_backend(parser)
    add_json(parser)


def _verify(options: argparse.Namespace) -> int:
    with tracker_for_reading(options) as tracker:
        owner = tracker.verify_api_key()
    if options.json:
        print_json({"base_url": tracker.base_url, **dataclasses.asdict(owner)})
        return FINE
    expires = moment_text(owner.expires_at) if owner.expires_at else "never"
    print_line(f"provider  {one_line(owner.provider_name)} ({owner.provider_id})")
    print_line(f"key       {one_line(owner.key_id)}")
    print_line(f"scopes    {one_line(', '.join(owner.scopes))}")
    print_line(f"expires   {expires}")
    if owner.provider_job_id is not None:
        job_id = one_line(owner.provider_job_id)
        print_line(f"job       {job_id} (the key is for this job only)")
    print_line(f"backend   {tracker.base_url}")
    return FINE
