"""Which steps a step waits for, as a configuration says it.

A step names in `after` the tags that must be done or skipped before it is ready;
where it names none at all, it waits for the step before it. The backend only stores
this, but what could never become ready is refused.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING

from trackerapi_backend.problems import Problem, invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trackerapi_backend.generated import models

_MOST_TAGS_TOLD = 5


def check_order(steps: Sequence[models.StepConfigurationInput], pointer: str) -> None:
    """Do nothing for steps that can all become ready, one after another.

    Args:
        steps: Steps whose tags are unique.
        pointer: Where in the body they stand.

    Raises:
        Problem: If a step waits for one that there is not, for itself, or in a circle.
    """
    _check_tags(steps, pointer)
    waits = TopologicalSorter(
        {step["tag"]: _predecessors(steps, place) for place, step in enumerate(steps)}
    )
    try:
        waits.prepare()
    except CycleError as error:
        raise _circle(steps, pointer, error.args[1]) from None


def _check_tags(steps: Sequence[models.StepConfigurationInput], pointer: str) -> None:
    tags = {step["tag"] for step in steps}
    for place, step in enumerate(steps):
        for index, tag in enumerate(step.get("after", ())):
            where = f"{pointer}/{place}/after/{index}"
            if tag not in tags:
                raise invalid(where, "is the tag of no step")
            if tag == step["tag"]:
                raise invalid(where, "is the step itself")


def _predecessors(
    steps: Sequence[models.StepConfigurationInput], place: int
) -> Sequence[str]:
    before = [steps[place - 1]["tag"]] if place else []
    return steps[place].get("after", before)


def _circle(
    steps: Sequence[models.StepConfigurationInput], pointer: str, circle: Sequence[str]
) -> Problem:
    """Return the problem of steps that wait for each other.

    Args:
        steps: All steps.
        pointer: Where in the body they stand.
        circle: Tags, each waited for by the next; the last is the first again.
    """
    # What is left out points backwards, so a circle has at least one tag that is said.
    places = {step["tag"]: place for place, step in enumerate(steps)}
    place, index = next(
        (places[waiting], steps[places[waiting]]["after"].index(tag))
        for tag, waiting in pairwise(circle)
        if tag in steps[places[waiting]].get("after", ())
    )
    told = ", ".join(map(repr, circle[:_MOST_TAGS_TOLD]))
    more = ", …" if len(circle) > _MOST_TAGS_TOLD else ""
    return invalid(f"{pointer}/{place}/after/{index}", f"closes a circle: {told}{more}")
