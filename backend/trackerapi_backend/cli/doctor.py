"""`trackerapi-backend doctor`: faults of an installation and their fixes.

Exit status: 0 no fault, 1 at least one warning or error, 2 wrong usage.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, file_name
from trackerapi_backend.cli.erasing import erase_again
from trackerapi_backend.cli.output import printable_line
from trackerapi_backend.diagnosis.installation import examine
from trackerapi_backend.settings import absolute_path, settings_from, storage_from
from trackerapi_backend.store.erasures_file import read_erasures

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.diagnosis.finding import Finding


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `doctor`."""
    parser.description = (
        "Examine settings, files, machine and database, and change nothing,"
        " also while a server runs. Print one line for each finding: level, check,"
        " description, and the command that fixes the fault. Exit status: 0 without a"
        " warning or error, else 1."
    )
    add_database_options(parser)
    parser.add_argument(
        "--full",
        action="store_true",
        help="compare all indexes of a SQLite file with their tables; takes longer",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the findings as one JSON array"
    )
    parser.add_argument(
        "--erase-again",
        type=file_name,
        metavar="FILE",
        help="examine nothing; after a restore, erase again the jobs and customers of"
        " this file of erasures",
    )
    parser.set_defaults(run=run)


def run(options: Namespace, print_line: PrintLine) -> int:
    """Print the findings; return the exit status.

    With `--erase-again`, apply a file of erasures instead, and return 0.
    """
    if options.erase_again is not None:
        file = absolute_path(options.erase_again, "--erase-again")
        erase_again(storage_from(vars(options)), read_erasures(file), print_line)
        return 0
    # A failed connection is a finding: the driver of PostgreSQL may log it too.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    settings = settings_from(vars(options))
    findings = []
    for finding in examine(settings, is_thorough=options.full):
        findings.append(finding)
        if not options.json:
            print_line(_line(finding))
    if options.json:
        print_line(json.dumps([asdict(finding) for finding in findings]))
    return int(any(finding.level != "ok" for finding in findings))


def _line(finding: Finding) -> str:
    fix = f" Run: {finding.command}" if finding.command else ""
    what = printable_line(finding.what.rstrip("."))
    # Never shorten the command: its beginning would be another command.
    command = printable_line(fix, len(fix))
    return f"{finding.level}: {finding.check}: {what}.{command}"
