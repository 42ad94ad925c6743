"""Exit hooks and fork hooks of the process, for each open delivery.

The hooks are installed when the first delivery opens, never at import.
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


class ProcessResource(Protocol):
    """Object to close at the end of the process, and to reset in a forked child."""

    def close(self, spent_seconds: float = 0.0) -> None:
        """Close the object in bounded time.

        Args:
            spent_seconds: Time that other objects have already used, in seconds.
        """
        ...

    def forget(self) -> None:
        """Reset the object in a forked child; leave the files of the parent alone."""
        ...


_OPEN: Final["weakref.WeakSet[ProcessResource]"] = weakref.WeakSet()
_KEPT_ALIVE: Final[set[ProcessResource]] = set()
_installed_hooks: Final[set[str]] = set()
# Reentrant: a signal handler, a hook or a finalizer may fork while its own thread holds
# the lock, and would wait for itself for ever.
_fork_guard = threading.RLock()
_FORK_WARNING: Final = r"This process \(pid=\d+\) is multi-threaded, use of fork"
_OUR_THREADS: Final = "trackerapi-"


@contextmanager
def no_forks() -> Generator[None]:
    """Make forks of other threads wait until the context ends; keep the context short.

    A fork in the context would copy half-made state into the child.
    """
    with _fork_guard:
        yield


def register(resource: ProcessResource) -> None:
    """Close `resource` at the end of the process; reset it in forked children.

    Keeps a weak reference to `resource`.
    """
    _OPEN.add(resource)
    if "exit" not in _installed_hooks:
        _installed_hooks.add("exit")
        atexit.register(_close_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=_before_fork,
                after_in_parent=_after_fork,
                after_in_child=_after_fork_in_child,
            )
    _hook_worker()


def keep_alive(resource: ProcessResource) -> None:
    """Keep a reference to `resource` after the script has dropped its own reference.

    The thread of the resource calls `stop_keeping_alive()` at its end.
    """
    _KEPT_ALIVE.add(resource)


def stop_keeping_alive(resource: ProcessResource) -> None:
    """Drop the reference of `keep_alive()`."""
    _KEPT_ALIVE.discard(resource)


def _hook_worker() -> None:
    """Close all resources at the end of a multiprocessing worker: it skips `atexit`."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or "worker" in _installed_hooks:
        return
    if process.parent_process() is not None:
        _installed_hooks.add("worker")
        util.Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    began = steady_seconds()
    for resource in list(_OPEN):
        resource.close(steady_seconds() - began)
    if sys.__dict__.get("last_type") is KeyboardInterrupt and not hasattr(sys, "ps1"):
        _restore_interrupt_status()


def _restore_interrupt_status() -> None:
    """Make Python end by SIGINT again, as after any Ctrl-C of a script.

    Python records an unhandled KeyboardInterrupt, but drops the record when it compiles
    source, and the delivery thread compiles the HTTP client at import. Without this
    function, the exit status would be 1 instead of the status of SIGINT.
    """

    def interrupt() -> None:
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        eval("interrupt()", {"interrupt": interrupt})  # noqa: S307 - a constant text


def _before_fork() -> None:
    # Waits for threads in `no_forks()`: the child would copy their half-made state.
    _fork_guard.acquire()
    if sys.version_info >= (3, 12):
        _filter_fork_warning()


def _filter_fork_warning() -> None:
    """Suppress Python's warning of a fork if all other threads are of this library.

    The child resets this library and starts its own threads, so the fork is safe. The
    library thus adds no warning to a script. Python warns after the hooks, so the
    filter stays installed until the next fork.
    """
    ours = sum(each.name.startswith(_OUR_THREADS) for each in threading.enumerate())
    if _thread_count() - ours > 1:
        # `filterwarnings()` below adds this tuple.
        pattern = re.compile(_FORK_WARNING, re.IGNORECASE)
        filters = cast("list[object]", warnings.filters)
        with suppress(ValueError):
            filters.remove(("ignore", pattern, DeprecationWarning, None, 0))
    elif ours:
        warnings.filterwarnings("ignore", _FORK_WARNING, DeprecationWarning)


def _thread_count() -> int:
    """Return the number of threads of the process, including threads of C libraries."""
    with suppress(OSError):
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    return threading.active_count()


def _after_fork() -> None:
    # RuntimeError: a signal handler forked during this fork. This process is the child
    # of that second fork, and its thread does not have the new lock.
    with suppress(RuntimeError):
        _fork_guard.release()


def _after_fork_in_child() -> None:
    """Reset all resources in a forked child."""
    global _fork_guard  # noqa: PLW0603 - each process has its own guard
    # A new lock, not a release: a signal handler that forks during a fork has the lock
    # twice, and one release would leave the lock locked in the child.
    _fork_guard = threading.RLock()
    # After this hook, multiprocessing clears its finalizers in the child: the exit hook
    # of workers has to be installed again.
    _installed_hooks.discard("worker")
    for resource in list(_OPEN):
        resource.forget()
    _KEPT_ALIVE.clear()
