"""Current job and current step of the running code.

Context variables hold them: each thread and each task of an event loop has its own, and
a task begins with those of the code that made the task. A new thread begins with none;
`TrackerJob.bind()` gives it those of the caller.
"""

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.job_work import JobWork
    from trackerapi.jobs.step import TrackerStep
    from trackerapi.jobs.step_work import StepWork
    from trackerapi.wire.calls import Calls


class CurrentBlock(NamedTuple):
    """A block around the running code.

    Attributes:
        job: Handle of its job.
        step: Handle of its step; None for the block of the job itself.
        work: Internal half of the job or step: the end of the block finds it by this.
        process_id: Process that entered the block.
    """

    job: "TrackerJob"
    step: "TrackerStep | None"
    work: "JobWork | StepWork"
    process_id: int


_BLOCKS: Final[ContextVar[tuple[CurrentBlock, ...]]] = ContextVar(
    "trackerapi", default=()
)
"""The blocks around the running code, the innermost last."""


def current_job() -> "TrackerJob":
    """Return the job of the innermost block around the calling code; never waits.

    Outside of a block, the result is a handle that does nothing: its reports are
    dropped, and its read calls raise BackendUnavailable.

    Example:
        def load(study):
            current_job().note("Reading the images")
    """
    blocks = _BLOCKS.get()
    return blocks[-1].job if blocks else _no_job()


def current_step() -> "TrackerStep":
    """Return the step of the innermost block around the calling code; never waits.

    Outside of a block, the result is a handle that does nothing.

    Example:
        @step("load")
        def load(study):
            current_step().total = len(study)
    """
    blocks = _BLOCKS.get()
    step = blocks[-1].step if blocks else None
    return step if step is not None else _no_job().step("none")


def enter(block: CurrentBlock) -> None:
    """Make a block the innermost block around the running code."""
    _BLOCKS.set((*_BLOCKS.get(), block))


def leave(work: "JobWork | StepWork") -> bool:
    """Restore the blocks from before the innermost block of a job or step.

    Returns:
        Whether this process reports the end of the block. A forked child that leaves a
        block of its parent does not, unless the parent has ended, as that of a daemon.
    """
    blocks = _BLOCKS.get()
    for index in range(len(blocks) - 1, -1, -1):
        if blocks[index].work is work:
            _BLOCKS.set(blocks[:index])
            return not _is_other_and_alive(blocks[index].process_id)
    return True


def leave_innermost(work: "JobWork | StepWork") -> None:
    """Restore the blocks from before, if the innermost block is that of a job or step.

    Python closes an abandoned generator of a loop later, and perhaps while other code
    runs: that code stays in its own block.
    """
    blocks = _BLOCKS.get()
    if blocks and blocks[-1].work is work:
        _BLOCKS.set(blocks[:-1])


def current_blocks() -> tuple[CurrentBlock, ...]:
    """Return the blocks around the running code, the innermost last."""
    return _BLOCKS.get()


def set_current_blocks(blocks: tuple[CurrentBlock, ...]) -> None:
    """Replace the blocks around the running code."""
    _BLOCKS.set(blocks)


def _is_other_and_alive(process_id: int) -> bool:
    """Return whether a process id is that of another process that is alive."""
    if process_id == os.getpid():
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the child has dropped the rights of its parent
        return True
    return True


_NO_JOB: "list[TrackerJob]" = []


def _no_job() -> "TrackerJob":
    """Return the handle that does nothing."""
    if not _NO_JOB:
        from trackerapi.errors import BackendUnavailable
        from trackerapi.jobs.job import TrackerJob
        from trackerapi.jobs.opening import KnownJob
        from trackerapi.jobs.reporter import Reporter
        from trackerapi.problems import Problems

        def calls() -> "Calls":
            raise BackendUnavailable("there is no job here; begin one by a block")

        reporter = Reporter(None, Problems(), strict=False)
        _NO_JOB.append(TrackerJob(KnownJob(provider_job_id="none"), reporter, calls))
    return _NO_JOB[0]
