"""Scripts for the static check: configurations, marked mistakes, findings."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

from trackerapi.checking.check import check_script
from trackerapi.checking.findings import Finding
from trackerapi.checking.sources import Script
from trackerapi.config.job_config import JobConfig, StepConfiguration

_MARK: Final = re.compile(r"#! ([\w-]+)(?: '([^']*)')?(?: -> '([^']*)')?")


def config(tag: str, *steps: str, **after: tuple[str, ...]) -> JobConfig:
    """Return a configuration whose display names are its tags in title case."""
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
    """A marked mistake in a script, such as `#! unknown-step 'lod' -> 'load'`.

    Attributes:
        line: Line of the mark.
        code: Code of the finding.
        name: Name that the message contains; empty for any.
        meant: Name that the message suggests; empty for any.
    """

    line: int
    code: str
    name: str = ""
    meant: str = ""

    def fits(self, finding: Finding) -> bool:
        """Return whether a finding is the marked mistake."""
        is_here = (finding.line, finding.code) == (self.line, self.code)
        meant = f"did you mean {self.meant!r}" if self.meant else ""
        return is_here and self.name in finding.message and meant in finding.message


def marks_in(text: str) -> list[Mark]:
    """Return the marked mistakes of a script."""
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
    """Check a script against configurations; by default only against `my_job`."""
    script = Script.parse(path, dedent(text).encode())
    return check_script(script, configs or (MY_JOB,))


def differences(text: str, found: list[Finding]) -> dict[str, Any]:
    """Return marks without a finding, and findings without a mark."""
    marks = marks_in(dedent(text))
    missed = [mark for mark in marks if not any(map(mark.fits, found))]
    false = [one for one in found if not any(mark.fits(one) for mark in marks)]
    return (
        {"missed": missed, "false": [one.as_text() for one in false]}
        if (missed or false)
        else {}
    )
