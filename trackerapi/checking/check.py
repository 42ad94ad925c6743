"""Checks one script."""

import ast
import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trackerapi.checking.findings import NEVER_SENT, Finding, Findings
from trackerapi.checking.jobs import KnownConfigs
from trackerapi.checking.reading import TooLong
from trackerapi.checking.rules import (
    find_missing_finish,
    never_sent,
    unexplained_texts,
)
from trackerapi.checking.sources import named_configs, parsed, uses_library_elsewhere
from trackerapi.checking.statements import ScriptReader
from trackerapi.config.job_config import JobConfig


class UnreadableScript(Exception):
    """A script cannot be read; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script that was found to be Python.

    Attributes:
        path: As it was named.
        tree: What it says.
        lines: Its lines.
        config_files: Configuration files that it names, as far as reading tells.
        makes_configs: Whether it makes configurations in code too.
    """

    path: Path
    tree: ast.Module
    lines: list[str]
    config_files: tuple[Path, ...]
    makes_configs: bool

    @property
    def is_data(self) -> bool:
        """Whether it is one literal, such as a JSON file, and does nothing."""
        match self.tree.body:
            case [ast.Expr(ast.Dict() | ast.List())]:
                return True
            case _:
                return False

    @classmethod
    def parsed(cls, path: Path, source: bytes) -> "Script":
        """Return what a script says.

        Raises:
            UnreadableScript: If it is no Python.
        """
        try:
            tree = parsed(source, str(path))
            encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
            text = io.TextIOWrapper(io.BytesIO(source), encoding).read()
        except SyntaxError as error:
            place = f"{path}:{error.lineno or 1}:{max(error.offset or 1, 1)}"
            raise UnreadableScript(f"{place}: syntax error: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            reason = str(error) or "nested too deeply"
            raise UnreadableScript(f"{path}: cannot be read: {reason}") from None
        named = named_configs(tree, path)
        return cls(path, tree, text.split("\n"), named.files, named.has_others)


def check_script(script: Script, configs: Sequence[JobConfig]) -> list[Finding]:
    """Return the mistakes in a script, from its top to its end.

    Nothing of it is run or imported; modules beside it are looked at for whether they
    use this library.

    Args:
        script: The script.
        configs: The job configurations that it may use.

    Raises:
        UnreadableScript: If it is nested too deeply, or longer than any script.
    """
    findings = Findings(str(script.path), script.lines)
    known = KnownConfigs(tuple(configs), not script.makes_configs)
    reader = ScriptReader(known, findings)
    try:
        reader.read(script.tree)
    except (TooLong, RecursionError):
        raise UnreadableScript(f"{script.path}: too much to be read") from None
    find_missing_finish(reader.jobs, findings)
    unexplained = unexplained_texts(script.tree, reader.accounted)
    missing = list(never_sent(reader.jobs, unexplained))
    folders = [script.path.absolute().parent, Path.cwd()]
    if missing and not uses_library_elsewhere(script.tree, folders):
        for place, message in missing:
            findings.add(NEVER_SENT, place, message)
    return findings.in_order()
