"""The steps of a job by tag, and which of them may begin."""

from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING

from trackerapi.errors import UnknownStepError

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.events.projection import JobProgress
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.step import TrackerStep


class JobSteps(Mapping[str, "TrackerStep"]):
    """The steps of a job's configuration, by tag or unambiguous display name.

    Without a configuration, those that this process has handles of.

    Args:
        job: Handle of the job.
        handles: Handles of its steps so far, by tag.
    """

    def __init__(self, job: "TrackerJob", handles: "Mapping[str, TrackerStep]") -> None:
        self._job, self._handles = job, handles

    def __getitem__(self, name: str) -> "TrackerStep":
        config = self._job.config
        if config is None:
            if name not in self._handles:
                raise UnknownStepError(name)
            return self._handles[name]
        step = config.find_step(name)
        if step is None:
            raise UnknownStepError(name, config.nearest_step(name), config.tag)
        return self._job.step(step.tag)

    def __iter__(self) -> Iterator[str]:
        config = self._job.config
        if config is None:
            return iter(list(self._handles))
        return (step.tag for step in config.step_configurations)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def is_ready(
    progress: "JobProgress",
    config: "JobConfig | None",
    tag: str,
    begun: Container[str],
) -> bool:
    """Tell whether a step may begin.

    Args:
        progress: What is known of the job.
        config: The job's configuration; None without one.
        tag: Tag of the step.
        begun: Steps that this process has begun and not ended.
    """
    if progress.are_settled([tag]) or tag in begun:
        return False
    before: tuple[str, ...] = ()
    for step in config.step_configurations if config else ():
        if step.tag == tag:
            return progress.are_settled(before if step.after is None else step.after)
        before = (step.tag,)
    return True
