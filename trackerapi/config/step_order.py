"""Order of steps: the rules for `after` in a configuration.

A step is ready once all steps in its `after` are done or skipped. Without `after`, a
step is ready once the previous step is done or skipped. A configuration with a step
that can never become ready is refused.
"""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from trackerapi.config.nearest import nearest_name
from trackerapi.errors import ConfigError

_MAX_TAGS: Final = 5
"""Maximum number of tags that the error about a circle shows."""


def check_order(steps: Sequence[Mapping[str, Any]], path: Path | None, at: str) -> None:
    """Check that every step can become ready.

    Args:
        steps: Step documents with unique tags.
        path: File of the documents; None for code.
        at: JSON Pointer to the list of steps.

    Raises:
        ConfigError: If `after` of a step names an unknown step or the step itself, or
            if steps wait for each other in a circle.
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
    known = dict.fromkeys(step["tag"] for step in steps)
    for index, step in enumerate(steps):
        for position, tag in enumerate(step.get("after", ())):
            pointer = f"{at}/{index}/after/{position}"
            if tag == step["tag"]:
                raise ConfigError("a step cannot wait for itself", path, pointer)
            if tag not in known:
                meant = nearest_name(known, tag)
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
    """Return the error about steps that wait for each other.

    Args:
        steps: All steps.
        circle: Tags of the circle, each before the step that waits for it. The last
            tag repeats the first tag.
        path: File of the documents; None for code.
        at: JSON Pointer to the list of steps.
    """
    # An implicit predecessor is always an earlier step, so every circle contains at
    # least one explicit `after`, to which the error points.
    index_of = {step["tag"]: index for index, step in enumerate(steps)}
    index, position = next(
        (index_of[waiting], steps[index_of[waiting]]["after"].index(tag))
        for tag, waiting in pairwise(circle)
        if tag in steps[index_of[waiting]].get("after", ())
    )
    shown = ", ".join(map(repr, circle[:_MAX_TAGS]))
    more = ", …" if len(circle) > _MAX_TAGS else ""
    return ConfigError(
        f"closes a circle of steps that wait for each other: {shown}{more}",
        path,
        f"{at}/{index}/after/{position}",
    )
