"""Current job and current step of the running code.

A context variable contains the current blocks, so each thread and each task of an event
loop has its own list. A new task begins with the blocks of the code that made the task.
A new thread begins without blocks; `TrackerJob.bind()` passes the caller's blocks to
the thread.
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
    """A block (`with` statement) around the running code.

    Attributes:
        job: Handle of the job.
        step: Handle of the step; None for the block of a job.
        work: Internal half of the handle of the job or step; `leave()` finds the block
            by this object.
        process_id: Id of the process that entered the block.
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

    If no block surrounds the code, or the innermost block is the block of a job, the
    result is a handle that does nothing.

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
    """Remove the innermost block of `work` and all blocks inside it.

    Returns:
        Whether this process reports the end of the block. A forked child that leaves a
        block of its parent reports the end only if the parent has ended, like the
        parent of a daemon.
    """
    blocks = _BLOCKS.get()
    for index in range(len(blocks) - 1, -1, -1):
        if blocks[index].work is work:
            _BLOCKS.set(blocks[:index])
            return not _is_other_and_alive(blocks[index].process_id)
    return True


def leave_innermost(work: "JobWork | StepWork") -> None:
    """Remove the innermost block if it belongs to `work`.

    After `break`, Python closes the generator of a loop at an unknown time, perhaps
    inside another block: the other block must then stay the current block.
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
    """Return whether another process with this id is alive."""
    if process_id == os.getpid():
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # The process exists, and this child has dropped the right to signal it.
        return True
    return True


_NO_JOB: "list[TrackerJob]" = []


def _no_job() -> "TrackerJob":
    """Return the handle that does nothing."""
    if not _NO_JOB:
        from trackerapi.errors import BackendUnavailable
        from trackerapi.jobs.job import TrackerJob
        from trackerapi.jobs.reporter import Reporter
        from trackerapi.jobs.state import KnownJob
        from trackerapi.problems import Problems

        def calls() -> "Calls":
            raise BackendUnavailable(
                "no current job; begin a job, such as by `with tracker.run_job(...)`"
            )

        reporter = Reporter(None, Problems(), strict=False)
        _NO_JOB.append(TrackerJob(KnownJob(provider_job_id="none"), reporter, calls))
    return _NO_JOB[0]
