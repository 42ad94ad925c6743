"""What a job and a step are as blocks, in parts that an event loop can tell apart."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Block(ABC):
    """A block that reports its begin and its end, and holds the running code.

    What reports may wait for a disk, and may be done by another thread; what places the
    running code has to be done by that code itself.
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
        """Report that the block begins."""

    @abstractmethod
    def enter_block(self) -> None:
        """Put the running code into the block."""

    @abstractmethod
    def leave_block(self) -> bool:
        """Put the running code back where it was.

        Returns:
            Whether to report the end, too; a forked child leaves that to its parent.
        """

    @abstractmethod
    def end_block(self, error: BaseException | None) -> None:
        """Report that the block has ended.

        Args:
            error: What leaves it, and goes on untouched; None for nothing.
        """

    @abstractmethod
    def post(self, work: Callable[[], object]) -> None:
        """Have a thread do `work`, in the order of these calls."""
