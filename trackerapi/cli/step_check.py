"""Check that the job has the step that the command line names."""

import threading
import time
from typing import TYPE_CHECKING

from trackerapi.config.nearest import nearest_tag
from trackerapi.errors import TrackerError, UnknownStepError
from trackerapi.problems import unknown_name

if TYPE_CHECKING:
    from trackerapi.models import Job
    from trackerapi.tracker import TrackerApi


def unknown_step(
    tracker: "TrackerApi", provider_job_id: str, step: str | None, deadline: float
) -> str | None:
    """Return a warning if the job's configuration has no such step.

    The job is read only if its reports were delivered: otherwise the backend is
    unreachable, or the mode is offline. Blocks until `deadline` at most.

    Args:
        tracker: Tracker that reported the step; closed.
        provider_job_id: Id of the job.
        step: Tag or display name from the command line; None for the job itself.
        deadline: Monotonic time limit of the read call.

    Returns:
        Warning in one line; None for a known step, or without a usable answer.
    """
    report = tracker.delivery()
    if step is None or report.waiting or not report.delivered:
        return None
    job = _job(tracker, provider_job_id, deadline)
    if job is None or not job.steps:
        return None
    if any(step in (known.tag, known.name) for known in job.steps):
        return None
    error = UnknownStepError(step, nearest_tag(job.steps, step), job.tag)
    return unknown_name(error)


def _job(tracker: "TrackerApi", provider_job_id: str, deadline: float) -> "Job | None":
    """Get a job in a daemon thread; return None at the deadline, or after an error."""
    found: list[Job] = []

    def ask() -> None:
        try:
            found.append(tracker.get_job(provider_job_id))
        except (TrackerError, ValueError):  # such as a key without the scope to read
            pass
        finally:
            tracker.close()

    thread = threading.Thread(target=ask, name="trackerapi-step-check", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the limit of threads is reached
        return None
    thread.join(max(deadline - time.monotonic(), 0.0))
    return found[0] if found else None
