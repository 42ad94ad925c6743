"""Which job and step the running code belongs to.

Kept in context variables: each thread and each task of an event loop has its own, and
a task begins with those of the code that made it. A new thread begins without any;
`TrackerJob.bind()` gives it those of the caller.
"""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from trackerapi.blocks.step import TrackerStep
    from trackerapi.job import TrackerJob
    from trackerapi.wire.calls import Calls

Place = tuple["TrackerJob", "TrackerStep | None"]
"""A job and, within one, its step."""

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
    _PLACES.set((*_PLACES.get(), (job, step)))


def left(job: "TrackerJob", step: "TrackerStep | None" = None) -> None:
    """Note that a block has ended, and with it those that it holds."""
    places = _PLACES.get()
    for index in range(len(places) - 1, -1, -1):
        if places[index] == (job, step):
            _PLACES.set(places[:index])
            return


def left_innermost(job: "TrackerJob", step: "TrackerStep") -> None:
    """Note that a block has ended, unless the running code is in another one.

    A loop that nobody goes on with ends when Python lets go of it, which may be later
    and somewhere else.
    """
    places = _PLACES.get()
    if places and places[-1] == (job, step):
        _PLACES.set(places[:-1])


def places_now() -> tuple[Place, ...]:
    """Return the blocks around the running code."""
    return _PLACES.get()


def place_in(places: tuple[Place, ...]) -> None:
    """Put the running code into blocks."""
    _PLACES.set(places)


_NOBODY: "list[TrackerJob]" = []


def _nobody() -> "TrackerJob":
    """Return the handle of no job."""
    if not _NOBODY:
        from trackerapi.delivery.report import Problems
        from trackerapi.errors import BackendUnavailable
        from trackerapi.job import TrackerJob
        from trackerapi.reporter import Reporter

        def calls() -> "Calls":
            raise BackendUnavailable("there is no job here; begin one by a block")

        reporter = Reporter(None, Problems(), strict=False)
        _NOBODY.append(TrackerJob("none", reporter, calls))
    return _NOBODY[0]
