"""What is learned of each job of a script, and the configurations it may have."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from trackerapi.checking.values import Thing
from trackerapi.config.job_config import JobConfig, match_name
from trackerapi.config.nearest import nearest_tag


@dataclass(frozen=True, slots=True)
class KnownConfigs:
    """The job configurations that a script may use.

    Attributes:
        configs: Those of the file.
        is_complete: False if the script makes others in code.
    """

    configs: tuple[JobConfig, ...]
    is_complete: bool = True

    @property
    def only(self) -> JobConfig | None:
        """The configuration, if there can be no other."""
        is_one = self.is_complete and len(self.configs) == 1
        return self.configs[0] if is_one else None

    def find(self, tag: str) -> JobConfig | None:
        """Return the configuration with this tag, else the only one with this name."""
        return match_name(self.configs, tag)[0]

    def nearest(self, tag: str) -> str | None:
        """Return the tag of the configuration that is like `tag`."""
        return nearest_tag(self.configs, tag)

    def has_step(self, name: str) -> bool:
        """Tell whether any configuration has a step with this tag or display name."""
        return any(config.find_step(name) for config in self.configs)

    def nearest_step(self, name: str) -> str | None:
        """Return the tag of the step, of any configuration, that is like `name`."""
        steps = [step for one in self.configs for step in one.step_configurations]
        return nearest_tag(steps, name)


@dataclass(eq=False, slots=True)
class Job(Thing):
    """A job of the script, and what was seen of it.

    Attributes:
        config: Its configuration; None if reading does not tell.
        made_at: Where the script creates it; None for one that it finds running.
        known_as: How the script spells its id, to spot the same job elsewhere.
        is_explicit: Whether it only ends when it is said to.
        is_run: Whether it is made to be a block, and so by `run_job()`.
        is_used: Whether anything is done with its handle.
        is_ended: Whether it is a block somewhere, or is said to end.
        is_open: Whether it may report steps that reading does not tell.
        has_left: Whether its handle went where it cannot be followed.
        depth: `Reading.depth` where it was created.
        sent: Names of steps that it reports, tags and display names as written.
    """

    config: JobConfig | None = None
    made_at: ast.expr | None = None
    known_as: str = ""
    is_explicit: bool = False
    is_run: bool = False
    is_used: bool = False
    is_ended: bool = False
    is_open: bool = False
    has_left: bool = False
    depth: int = 0
    sent: set[str] = field(default_factory=set[str])

    def leave(self) -> None:
        """Note that its handle went where it cannot be followed."""
        self.is_used = self.is_open = self.has_left = True

    def has_sent(self, tag: str, name: str) -> bool:
        """Tell whether it reports the step with this tag and display name."""
        return tag in self.sent or name in self.sent


def steps_before(config: JobConfig) -> dict[str, frozenset[str]]:
    """Return the steps that have to come before each step, by tag."""
    needed: dict[str, Sequence[str]] = {}
    previous: tuple[str, ...] = ()
    for step in config.step_configurations:
        needed[step.tag] = previous if step.after is None else step.after
        previous = (step.tag,)
    return {tag: _all_before(tag, needed) for tag in needed}


def _all_before(tag: str, needed: dict[str, Sequence[str]]) -> frozenset[str]:
    found: set[str] = set()
    to_look_at = list(needed[tag])
    while to_look_at:
        one = to_look_at.pop()
        if one not in found:
            found.add(one)
            to_look_at.extend(needed.get(one, ()))
    return frozenset(found)
