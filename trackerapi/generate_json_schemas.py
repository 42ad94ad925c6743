"""Command that writes the JSON Schema of configuration files.

Exit status: 0 written, 1 the folder cannot be written, 2 wrong usage.
"""

import argparse
import errno
import io
import json
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn, cast

from trackerapi.errors import one_line

DEFAULT_NAME: Final = "job-configurations-schema"

_NOT_REPLACEABLE: Final = frozenset(
    {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}
)
"""Errors of `os.replace()` for a mounted file or a read-only folder."""

HELP: Final = """\
usage: generate_json_schemas.py [-h] [-l LOCATION] [-n NAME]

options:
  -h, --help            show this help message and exit
  -l LOCATION, --location LOCATION
                        Location of generated schemas
  -n NAME, --name NAME  Name to use for the generated <name>.generated.json schema file
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = build_parser()
    options = parser.parse_args(argv)
    given = {p for p in (options.location, options.destination) if p is not None}
    if len(given) > 1:
        parser.error("give the location once: -l LOCATION, or the folder alone")
    location = given.pop() if given else "."
    if not location.strip():
        parser.error("the location is empty; leave it out for the current folder")
    if not options.name.strip() or {"/", "\\"} & set(options.name):
        parser.error(f"argument -n/--name: not a plain file name: {options.name!r}")
    try:
        write_schema(Path(location), options.name)
    except OSError as error:
        # `mkdir()` of a path that is a file raises "File exists".
        is_file = isinstance(error, FileExistsError)
        reason = "not a folder" if is_file else error.strerror or error
        print(f"generate_json_schemas: {location}: {reason}", file=sys.stderr)
        return 1
    output: object = sys.stdout
    if isinstance(output, io.TextIOWrapper):  # A file name may be invalid UTF-8.
        cast("io.TextIOWrapper", output).reconfigure(errors="backslashreplace")
    try:
        print(f"Generated JSON Schema for JobConfigs at {location}", flush=True)
    except OSError as error:  # The schema is written; only the message failed.
        print(f"generate_json_schemas: stdout: {error.strerror}", file=sys.stderr)
        # At its exit, Python flushes stdout again: without this redirection, the flush
        # would fail and print a second message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    """Parser with a fixed help text: argparse's text varies by terminal and version."""

    def format_help(self) -> str:
        return HELP

    def error(self, message: str) -> NoReturn:
        # `message` quotes an argument, which may have any length.
        super().error(one_line(message))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = _Parser(
        prog="generate_json_schemas.py", usage="%(prog)s [-h] [-l LOCATION] [-n NAME]"
    )
    # The folder is also accepted without `-l`; this form is not documented.
    parser.add_argument("destination", nargs="?")
    parser.add_argument("-l", "--location")
    parser.add_argument("-n", "--name", default=DEFAULT_NAME)
    return parser


def render_schema() -> str:
    """Return the text of the schema file; always the same bytes."""
    from trackerapi.config.file_models import json_schema

    return json.dumps(json_schema(), indent=2, ensure_ascii=True) + "\n"


def write_schema(folder: Path, name: str = DEFAULT_NAME) -> Path:
    """Write `<name>.generated.json` into `folder`, which is created if missing.

    An existing file keeps its symbolic and hard links, mount, owner and mode. Unless
    one of them forbids a replacement, other processes never see a half-written file.

    Returns:
        The path of the file.

    Raises:
        OSError: If the folder or the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.generated.json"
    # For a link to itself, `Path.resolve()` raises RuntimeError.
    target, schema = Path(os.path.realpath(path)), render_schema().encode()
    try:
        status = target.stat()
    except FileNotFoundError:
        _replace(target, schema)
    else:
        _overwrite(target, schema, status)
    return path


def _overwrite(path: Path, data: bytes, status: os.stat_result) -> None:
    """Replace the content of an existing file."""
    is_alone = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    if is_alone and status.st_uid == os.geteuid():
        try:
            _replace(path, data, stat.S_IMODE(status.st_mode))
        except OSError as error:
            if error.errno not in _NOT_REPLACEABLE:
                raise
        else:
            return
    with path.open("r+b" if stat.S_ISREG(status.st_mode) else "wb") as file:
        file.write(data)
        if file.seekable():
            file.truncate()


def _replace(path: Path, data: bytes, mode: int | None = None) -> None:
    # The new content is written beside the file and renamed: a crash in between leaves
    # the old content. The name of the new file is random, because processes of two
    # containers may have the same process id.
    fresh = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    try:
        with fresh.open("xb") as file:
            file.write(data)
        if mode is not None:
            fresh.chmod(mode)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


if __name__ == "__main__":
    raise SystemExit(main())
