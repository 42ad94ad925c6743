"""Scripts to check, and what is in them."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

from trackerapi.checking.check import Script, check_script
from trackerapi.checking.findings import Finding
from trackerapi.config.job_config import JobConfig, StepConfiguration

_MARK: Final = re.compile(r"#! ([\w-]+)(?: '([^']*)')?(?: -> '([^']*)')?")


def config(tag: str, *steps: str, **after: tuple[str, ...]) -> JobConfig:
    """Return a configuration whose names are its tags in capitals."""
    configurations = [
        StepConfiguration(
            tag=step,
            name=step.replace("_", " ").title(),
            points=1,
            after=after.get(step),
        )
        for step in steps
    ]
    name = tag.replace("_", " ").title()
    return JobConfig(tag=tag, name=name, step_configurations=tuple(configurations))


MY_JOB: Final = config("my_job", "say_hello", "random_number", "say_bye")
IMPORT: Final = config("nightly_import", "fetch", "load", "index")


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A mistake that a script marks, such as `#! unknown-step 'lod' -> 'load'`.

    Attributes:
        name: What its message has to name; empty for anything.
        meant: What it has to suggest; empty for anything.
    """

    line: int
    code: str
    name: str = ""
    meant: str = ""

    def fits(self, finding: Finding) -> bool:
        """Tell whether a finding is this mistake."""
        is_here = (finding.line, finding.code) == (self.line, self.code)
        meant = f"did you mean {self.meant!r}" if self.meant else ""
        return is_here and self.name in finding.message and meant in finding.message


def marks_in(text: str) -> list[Mark]:
    """Return the mistakes that a script marks."""
    return [
        Mark(number, found[1], found[2] or "", found[3] or "")
        for number, line in enumerate(text.splitlines(), 1)
        for found in _MARK.finditer(line)
    ]


def findings_in(
    text: str,
    *configs: JobConfig,
    path: Path = Path("job.py"),
) -> list[Finding]:
    """Check a script against configurations; by default that of `my_job` alone."""
    script = Script.parsed(path, dedent(text).encode())
    return check_script(script, configs or (MY_JOB,))


def differences(text: str, found: list[Finding]) -> dict[str, Any]:
    """Return what was marked and not found, and what was found and not marked."""
    marks = marks_in(dedent(text))
    missed = [mark for mark in marks if not any(map(mark.fits, found))]
    false = [one for one in found if not any(mark.fits(one) for mark in marks)]
    return (
        {"missed": missed, "false": [one.as_text() for one in false]}
        if (missed or false)
        else {}
    )
