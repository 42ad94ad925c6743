"""Which steps a step waits for: what `after` in a configuration may say.

A step is ready once the steps it names are done or skipped; where it names none at
all, once the step before it is. What could never become ready is refused.
"""

import difflib
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from trackerapi.errors import ConfigError

_MOST_TAGS_TOLD: Final = 5


def check_order(steps: Sequence[Mapping[str, Any]], path: Path | None, at: str) -> None:
    """Do nothing for steps that can all become ready, one after another.

    Args:
        steps: Step documents whose tags are unique.
        path: File they were read from; None for code.
        at: JSON Pointer to the list of steps.

    Raises:
        ConfigError: If a step waits for one that there is not, for itself, or in a
            circle.
    """
    _check_tags(steps, path, at)
    waits = TopologicalSorter(
        {step["tag"]: _predecessors(steps, index) for index, step in enumerate(steps)}
    )
    try:
        waits.prepare()
    except CycleError as error:
        raise _circle(steps, error.args[1], path, at) from None


def _check_tags(steps: Sequence[Mapping[str, Any]], path: Path | None, at: str) -> None:
    tags = {step["tag"].lower(): step["tag"] for step in steps}
    known = {step["tag"] for step in steps}
    for index, step in enumerate(steps):
        for place, tag in enumerate(step.get("after", ())):
            pointer = f"{at}/{index}/after/{place}"
            if tag == step["tag"]:
                raise ConfigError("a step cannot wait for itself", path, pointer)
            if tag not in known:
                near = difflib.get_close_matches(tag.lower(), tags, n=1)
                meant = tags[near[0]] if near else None
                raise ConfigError(f"no step has the tag {tag!r}", path, pointer, meant)


def _predecessors(steps: Sequence[Mapping[str, Any]], index: int) -> Sequence[str]:
    before = [steps[index - 1]["tag"]] if index else []
    after: Sequence[str] = steps[index].get("after", before)
    return after


def _circle(
    steps: Sequence[Mapping[str, Any]],
    circle: Sequence[str],
    path: Path | None,
    at: str,
) -> ConfigError:
    """Return the error of steps that wait for each other.

    Args:
        steps: All steps.
        circle: Tags, each waited for by the next; the last is the first again.
        path: File they were read from; None for code.
        at: JSON Pointer to the list of steps.
    """
    # What is left out points backwards, so a circle has at least one tag that is said.
    index_of = {step["tag"]: index for index, step in enumerate(steps)}
    index, place = next(
        (index_of[waiting], steps[index_of[waiting]]["after"].index(tag))
        for tag, waiting in pairwise(circle)
        if tag in steps[index_of[waiting]].get("after", ())
    )
    told = ", ".join(map(repr, circle[:_MOST_TAGS_TOLD]))
    more = ", …" if len(circle) > _MOST_TAGS_TOLD else ""
    return ConfigError(
        f"closes a circle of steps that wait for each other: {told}{more}",
        path,
        f"{at}/{index}/after/{place}",
    )
