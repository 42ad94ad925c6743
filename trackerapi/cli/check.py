"""Command `check`: compares job scripts with their configurations; runs no script."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.exit_statuses import FINE, FOUND
from trackerapi.cli.options import add_command, add_json
from trackerapi.cli.printing import count_text, print_json, print_line
from trackerapi.errors import UsageError, printable
from trackerapi.files import read_given

if TYPE_CHECKING:
    from trackerapi.checking.findings import Finding
    from trackerapi.checking.sources import Script
    from trackerapi.config.job_config import JobConfig

MAX_SCRIPT_BYTES: Final = 64 * 1024**2
"""Maximum size of a script, in bytes; a larger script is a usage error."""

USUAL_FILE: Final = Path("job_configurations.json")
"""Default configuration file, for a script that names no configuration file."""

_HELP: Final = """
Find errors in job scripts, without running the scripts.

Reads the source of each script, and compares the reported steps with the job
configurations. A value that the source does not show causes no finding.

  unknown-step    the job configuration has no such step
  unknown-job     there is no such job configuration
  unknown-kind    the kind of an event looks misspelt
  never-sent      the script never reports a step of the job configuration
  wrong-order     a step begins after a step that must follow it
  missing-finish  the script never reports the end of a job

exit status: 0 without a finding, 1 with findings or if stdout cannot be written, 2
wrong usage, or a script or configuration that cannot be read

examples:
  trackerapi check job.py
  trackerapi check job.py other.py --config job_configurations.json
"""


def add_commands(commands: Any) -> None:
    """Add `check`."""
    check = add_command(commands, "check", _check, _HELP)
    check.add_argument("scripts", nargs="+", type=Path, metavar="SCRIPT")
    check.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="file with the job configurations; by default, the file that the script "
        f"names, else ./{USUAL_FILE}",
    )
    add_json(check)


def _check(options: argparse.Namespace) -> int:
    from trackerapi.checking.check import check_script
    from trackerapi.checking.sources import UnreadableScript

    found: list[Finding] = []
    scripts: list[Path] = list(dict.fromkeys(options.scripts))
    try:
        for path in scripts:
            script = _script(path)
            found += check_script(script, _configs(script, options.config))
    except UnreadableScript as error:
        raise UsageError(str(error)) from None
    _print(found, len(scripts), as_json=options.json)
    return FOUND if found else FINE


def _print(found: "list[Finding]", script_count: int, *, as_json: bool) -> None:
    import dataclasses

    if as_json:
        members = [dataclasses.asdict(finding) for finding in sorted(found)]
        print_json({"findings": members, "scripts": script_count})
        return
    for finding in sorted(found):
        print_line(printable(finding.as_text()))
    count = count_text(len(found), "finding") if found else "nothing found"
    print_line(f"{count} in {count_text(script_count, 'script')}")


def _script(path: Path) -> "Script":
    """Read and parse a script.

    Raises:
        UsageError: If the file cannot be read, or is not a Python script.
    """
    from trackerapi.checking.sources import Script

    try:
        source = read_given(path, MAX_SCRIPT_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    script = Script.parse(path, source)
    if script.is_data:
        raise UsageError(f"{path} is not a Python script")
    return script


def _configs(script: "Script", given: Path | None) -> "list[JobConfig]":
    """Return the job configurations that a script may use.

    Raises:
        ConfigError: If a configuration file is not valid.
        UsageError: If neither `given` nor the script names a configuration file, and
            there is no default file.
    """
    from trackerapi.config.job_config import read_configs

    paths = (
        [given]
        if given
        else [_existing_path(p, script.path) for p in script.config_files]
    )
    if not paths and USUAL_FILE.is_file():
        paths = [USUAL_FILE]
    if not paths and not script.makes_configs:
        raise UsageError(
            f"{script.path} does not name the file of its job configurations, and "
            f"there is no ./{USUAL_FILE}; pass --config"
        )
    return [config for path in paths for config in read_configs(path)]


def _existing_path(named: Path, script: Path) -> Path:
    """Return the path of a configuration file that a script names.

    A file in the current folder is preferred to a file in the script's folder.
    """
    beside = script.parent / named
    return beside if not named.is_file() and beside.is_file() else named
