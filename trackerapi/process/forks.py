"""Ends of processes, and forks: what every delivery of this process has to hear of.

Hooks are set when the first delivery is opened, never at import.
"""

import atexit
import os
import re
import sys
import threading
import warnings
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol, cast

from trackerapi.process.clock import steady_seconds


class Lasting(Protocol):
    """What has to end with the process, and to begin anew in a forked child."""

    def close(self, spent_seconds: float = 0.0) -> None:
        """Leave in order, in bounded time.

        Args:
            spent_seconds: What others have taken of that time.
        """
        ...

    def forget(self) -> None:
        """Let go of what belongs to the parent, without a trace."""
        ...


_OPEN: Final["weakref.WeakSet[Lasting]"] = weakref.WeakSet()
_KEPT: Final[set[Lasting]] = set()
_hooked: Final[set[str]] = set()
# A signal handler, a hook or a finalizer may fork while its thread holds the guard: to
# wait for itself would be for ever.
_fork_guard = threading.RLock()
_FORK_WARNING: Final = r"This process \(pid=\d+\) is multi-threaded, use of fork"
_OUR_THREADS: Final = "trackerapi-"


@contextmanager
def unforked() -> Generator[None]:
    """Let no other thread fork meanwhile; keep it short."""
    with _fork_guard:
        yield


def watch(lasting: Lasting) -> None:
    """Close `lasting` at the end of the process, and tell it of a fork."""
    _OPEN.add(lasting)
    if "exit" not in _hooked:
        _hooked.add("exit")
        atexit.register(_close_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_before_fork,
                after_in_parent=_after_fork,
                after_in_child=_begin_anew,
            )
    _hook_worker()


def keep(lasting: Lasting) -> None:
    """Keep what nobody else does any more, until it has ended by itself."""
    _KEPT.add(lasting)


def let_go(lasting: Lasting) -> None:
    """Let go of what was kept."""
    _KEPT.discard(lasting)


def _hook_worker() -> None:
    """Close at the end of a worker of multiprocessing, which leaves by `os._exit`."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or "worker" in _hooked:
        return
    if process.parent_process() is not None:
        _hooked.add("worker")
        util.Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    began = steady_seconds()
    for lasting in list(_OPEN):
        lasting.close(steady_seconds() - began)
    if sys.__dict__.get("last_type") is KeyboardInterrupt and not hasattr(sys, "ps1"):
        _die_of_ctrl_c_after_all()


def _die_of_ctrl_c_after_all() -> None:
    """Remind Python that the script was ended by Ctrl-C, which its status has to say.

    Python forgets it when source is compiled meanwhile, as by the import of an HTTP
    client in the courier's thread.
    """

    def interrupt() -> None:
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        eval("interrupt()", {"interrupt": interrupt})  # noqa: S307 - a text of our own


def _before_fork() -> None:
    _fork_guard.acquire()
    if sys.version_info >= (3, 12):
        _spare_warning()


def _spare_warning() -> None:
    """Have Python warn of a fork beside threads only where not all of them are ours.

    Ours are forgotten by the child, which begins its own; a script that would fork in
    silence without us does so with us. Python warns after all hooks, so that the
    filter stays until the next fork.
    """
    ours = sum(each.name.startswith(_OUR_THREADS) for each in threading.enumerate())
    if _thread_count() - ours > 1:
        # As `filterwarnings()` puts it there.
        pattern = re.compile(_FORK_WARNING, re.IGNORECASE)
        filters = cast("list[object]", warnings.filters)
        with suppress(ValueError):
            filters.remove(("ignore", pattern, DeprecationWarning, None, 0))
    elif ours:
        warnings.filterwarnings("ignore", _FORK_WARNING, DeprecationWarning)


def _thread_count() -> int:
    """Return how many threads the process has, those of libraries in C among them."""
    with suppress(OSError):
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    return threading.active_count()


def _after_fork() -> None:
    # Not held: in the child of a signal handler that forked in the middle of this fork.
    with suppress(RuntimeError):
        _fork_guard.release()


def _begin_anew() -> None:
    """Let go of what belongs to the parent, in a child."""
    global _fork_guard  # noqa: PLW0603 - one for each process
    # Not released: a signal handler that forks in the middle of a fork holds the guard
    # twice, and threads of the child would wait for a thread that never comes back.
    _fork_guard = threading.RLock()
    # multiprocessing clears its finalizers in a child after this.
    _hooked.discard("worker")
    for lasting in list(_OPEN):
        lasting.forget()
    _KEPT.clear()
