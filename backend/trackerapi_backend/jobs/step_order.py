"""Step order: check of the `after` members of a configuration.

`after` names the steps that must be done or skipped before a step is ready. Without
`after` a step waits for the step before it. The backend only stores the order, but
rejects a configuration in which a step can never become ready.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING

from trackerapi_backend.problems import Problem, invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trackerapi_backend.generated import models

_MAX_TAGS_IN_MESSAGE = 5


def check_order(steps: Sequence[models.StepConfigurationInput], pointer: str) -> None:
    """Check that every step can become ready.

    Args:
        steps: Steps with unique tags.
        pointer: JSON Pointer to the steps in the body.

    Raises:
        Problem: If a step waits for an unknown step or for itself, or steps wait for
            each other in a cycle.
    """
    _check_tags(steps, pointer)
    order = TopologicalSorter(
        {step["tag"]: _predecessors(steps, index) for index, step in enumerate(steps)}
    )
    try:
        order.prepare()
    except CycleError as error:
        raise _cycle_problem(steps, pointer, error.args[1]) from None


def _check_tags(steps: Sequence[models.StepConfigurationInput], pointer: str) -> None:
    tags = {step["tag"] for step in steps}
    for index, step in enumerate(steps):
        for position, tag in enumerate(step.get("after", ())):
            location = f"{pointer}/{index}/after/{position}"
            if tag not in tags:
                raise invalid(location, "is not the tag of a step")
            if tag == step["tag"]:
                raise invalid(location, "is the step itself")


def _predecessors(
    steps: Sequence[models.StepConfigurationInput], index: int
) -> Sequence[str]:
    before = [steps[index - 1]["tag"]] if index else []
    return steps[index].get("after", before)


def _cycle_problem(
    steps: Sequence[models.StepConfigurationInput], pointer: str, cycle: Sequence[str]
) -> Problem:
    """Return the problem of steps that wait for each other.

    Args:
        steps: All steps.
        pointer: JSON Pointer to the steps in the body.
        cycle: Tags of the steps, each before the step that waits for it; the last tag
            repeats the first tag.
    """
    # An implicit predecessor is always an earlier step, so every cycle has at least one
    # explicit `after`. The problem names the location of this `after`.
    indexes = {step["tag"]: index for index, step in enumerate(steps)}
    index, position = next(
        (indexes[waiting], steps[indexes[waiting]]["after"].index(tag))
        for tag, waiting in pairwise(cycle)
        if tag in steps[indexes[waiting]].get("after", ())
    )
    shown = ", ".join(map(repr, cycle[:_MAX_TAGS_IN_MESSAGE]))
    more = ", …" if len(cycle) > _MAX_TAGS_IN_MESSAGE else ""
    return invalid(
        f"{pointer}/{index}/after/{position}", f"closes a circle: {shown}{more}"
    )
