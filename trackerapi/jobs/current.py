"""Which job and step the running code belongs to.

Kept in context variables: each thread and each task of an event loop has its own, and
a task begins with those of the code that made it. A new thread begins without any;
`TrackerJob.bind()` gives it those of the caller.
"""

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.step import TrackerStep
    from trackerapi.wire.calls import Calls


class Place(NamedTuple):
    """A block around the running code.

    Attributes:
        job: Its job.
        step: Its step; None for the block of the job itself.
        process_id: The process that entered it.
    """

    job: "TrackerJob"
    step: "TrackerStep | None"
    process_id: int


_PLACES: Final[ContextVar[tuple[Place, ...]]] = ContextVar("trackerapi", default=())
"""The blocks around the running code, the innermost last."""


def current_job() -> "TrackerJob":
    """Return the job whose block runs this code.

    Outside of one, a handle that does nothing: questions raise BackendUnavailable.
    """
    places = _PLACES.get()
    return places[-1][0] if places else _nobody()


def current_step() -> "TrackerStep":
    """Return the step whose block runs this code.

    Outside of one, a handle that does nothing.
    """
    places = _PLACES.get()
    step = places[-1][1] if places else None
    return step if step is not None else _nobody().step("none")


def entered(job: "TrackerJob", step: "TrackerStep | None" = None) -> None:
    """Note that a block has begun."""
    _PLACES.set((*_PLACES.get(), Place(job, step, os.getpid())))


def left(job: "TrackerJob", step: "TrackerStep | None" = None) -> bool:
    """Note that a block has ended, and with it those that it holds.

    Returns:
        Whether this process may say how the block ended: not a forked child that
        leaves a block of its parent, unless the parent is gone, as that of a daemon.
    """
    places = _PLACES.get()
    for index in range(len(places) - 1, -1, -1):
        if places[index][:2] == (job, step):
            _PLACES.set(places[:index])
            return not _is_of_another(places[index].process_id)
    return True


def left_innermost(job: "TrackerJob", step: "TrackerStep") -> None:
    """Note that a block has ended, unless the running code is in another one.

    A loop that nobody goes on with ends when Python lets go of it, which may be later
    and somewhere else.
    """
    places = _PLACES.get()
    if places and places[-1][:2] == (job, step):
        _PLACES.set(places[:-1])


def places_now() -> tuple[Place, ...]:
    """Return the blocks around the running code."""
    return _PLACES.get()


def place_in(places: tuple[Place, ...]) -> None:
    """Put the running code into blocks."""
    _PLACES.set(places)


def _is_of_another(process_id: int) -> bool:
    """Return whether a process is another one than this, and alive."""
    if process_id == os.getpid():
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the child has given up the rights of its parent
        return True
    return True


_NOBODY: "list[TrackerJob]" = []


def _nobody() -> "TrackerJob":
    """Return the handle of no job."""
    if not _NOBODY:
        from trackerapi.errors import BackendUnavailable
        from trackerapi.jobs.job import TrackerJob
        from trackerapi.jobs.opening import KnownJob
        from trackerapi.jobs.reporter import Reporter
        from trackerapi.problems import Problems

        def calls() -> "Calls":
            raise BackendUnavailable("there is no job here; begin one by a block")

        reporter = Reporter(None, Problems(), strict=False)
        _NOBODY.append(TrackerJob(KnownJob(provider_job_id="none"), reporter, calls))
    return _NOBODY[0]
