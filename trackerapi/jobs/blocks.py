"""Blocks (`with` statements) of jobs and steps.

`with`, `async with`, decorators, loops and integrations call a block to begin and end a
job or step. A block joins the two halves of a handle: the public half, which scripts
use, and the internal half, which this library uses.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from trackerapi.jobs.current import CurrentBlock, enter, leave, leave_innermost
from trackerapi.process.block import Block
from trackerapi.process.sigterm import SIGTERM_WATCH

if TYPE_CHECKING:
    from trackerapi.jobs.counting import UnitCount
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.job_work import JobWork
    from trackerapi.jobs.step import TrackerStep
    from trackerapi.jobs.step_work import StepWork


class JobBlock(Block):
    """Block of a job.

    Args:
        handle: Public half of the job handle.
        work: Internal half of the job handle.

    Attributes:
        handle: Public half of the job handle.
        work: Internal half of the job handle.
    """

    def __init__(self, handle: "TrackerJob", work: "JobWork") -> None:
        self.handle, self.work = handle, work

    @property
    def current(self) -> CurrentBlock:
        """Entry for the list of current blocks, with the id of this process."""
        return CurrentBlock(self.handle, None, self.work, os.getpid())

    def begin_block(self) -> None:
        """Report that the job begins."""
        self.work.begin()

    def enter_block(self) -> None:
        """Make the job the current job, and watch for SIGTERM."""
        if not self.work.events.reporter.is_off:
            SIGTERM_WATCH.begin(self.work)
        enter(self.current)

    def leave_block(self) -> bool:
        """Leave the current blocks; return whether this process reports the end."""
        SIGTERM_WATCH.end(self.work)
        return leave(self.work)

    def end_block(self, error: BaseException | None) -> None:
        """Report the end of the job, and of its steps that are still open.

        Args:
            error: Exception that left the block; None without an exception.
        """
        self.work.end(error)

    def post(self, work: Callable[[], object]) -> None:
        """Queue `work` for the worker thread, which keeps the order of the calls."""
        self.work.post(work)


class StepBlock(Block):
    """Block of a step, also around a loop that is the whole body of the step.

    Args:
        handle: Public half of the step handle.
        work: Internal half of the step handle.

    Attributes:
        handle: Public half of the step handle.
        work: Internal half of the step handle.
    """

    def __init__(self, handle: "TrackerStep", work: "StepWork") -> None:
        self.handle, self.work = handle, work

    def begin_block(self) -> None:
        """Report that the step begins."""
        self.work.begin_block()

    def enter_block(self) -> None:
        """Make the step the current step."""
        enter(CurrentBlock(self.handle.job, self.handle, self.work, os.getpid()))

    def leave_block(self) -> bool:
        """Leave the current blocks; return whether this process reports the end."""
        return leave(self.work)

    def end_block(self, error: BaseException | None) -> None:
        """Report the end of the step if no other block of the step is open.

        Args:
            error: Exception that left the block; None without an exception.
        """
        self.work.job.report_quietly(error, lambda: self.work.end_block(error))

    def post(self, work: Callable[[], object]) -> None:
        """Queue `work` for the worker thread, which keeps the order of the calls."""
        self.work.post(work)


class StepLoop:
    """Loop over items of a step, as a part of the step or as its whole body.

    Args:
        block: Block of the step.
        is_whole_step: Whether the loop is the whole body of the step. Such a loop
            starts and ends the step; any other loop only counts.

    Attributes:
        block: Block of the step.
        is_whole_step: Whether the loop is the whole body of the step.
    """

    def __init__(self, block: StepBlock, *, is_whole_step: bool) -> None:
        self.block, self.is_whole_step = block, is_whole_step

    def start(self) -> None:
        """Report that the step begins, if the loop is its whole body."""
        if self.is_whole_step:
            self.block.work.start()

    def enter(self) -> "UnitCount":
        """Return the count of the step.

        If the loop is the whole body of the step, the step becomes the current step.
        """
        if self.is_whole_step:
            self.block.work.begin_loop()
            self.block.enter_block()
        return self.block.work.count

    def leave(self) -> None:
        """Remove the loop from the current blocks, if it is the innermost block."""
        if self.is_whole_step:
            leave_innermost(self.block.work)

    def end(self, error: BaseException | None = None) -> None:
        """Remove the loop from the current blocks, and report the end of the step.

        Does nothing for a loop that is only a part of the step.

        Args:
            error: Exception that left the loop; None without an exception.
        """
        if self.is_whole_step and self.block.leave_block():
            self.block.work.end_loop(error)
