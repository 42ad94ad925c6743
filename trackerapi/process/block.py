"""Context-manager protocol of jobs and steps, split for event loops."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Block(ABC):
    """Context manager (`with` statement) of a job or step, split in two halves.

    `begin_block()` and `end_block()` report. Both may block on a disk, so an event loop
    calls them in a thread. `enter_block()` and `leave_block()` set the current job and
    step. The code of the block has to call both in its own thread and task, because
    both set context variables.
    """

    def __enter__(self) -> Self:
        self.begin_block()
        self.enter_block()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self.leave_block():
            self.end_block(error)

    @abstractmethod
    def begin_block(self) -> None:
        """Report the begin of the block; may block on a disk."""

    @abstractmethod
    def enter_block(self) -> None:
        """Make the job or step of the block the current job or step."""

    @abstractmethod
    def leave_block(self) -> bool:
        """Restore the job and step that were current before the block.

        Returns:
            True if the caller has to call `end_block()`. False in a forked child: the
            parent process reports the end.
        """

    @abstractmethod
    def end_block(self, error: BaseException | None) -> None:
        """Report the end of the block; may block on a disk.

        Args:
            error: Exception that ended the block; None without an exception.
        """

    @abstractmethod
    def post(self, work: Callable[[], object]) -> None:
        """Have the tracker's worker thread call `work`; do not block.

        The thread calls the functions in the order of the posts.
        """
