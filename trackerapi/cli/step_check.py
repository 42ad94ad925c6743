"""Check of a step that a command line names, against the steps of its job."""

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

    Nothing is asked where reports are not delivered: then the backend is out of reach,
    or nobody wants it to be asked.

    Args:
        tracker: What the step was reported with; closed.
        provider_job_id: The job.
        step: Tag or display name as it was given; None for the job itself.
        deadline: Monotonic time at which to give up.

    Returns:
        One line; None for a known step, or where the backend does not tell.
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
    """Ask for a job in a thread, which a slow backend leaves behind."""
    found: list[Job] = []

    def ask() -> None:
        try:
            found.append(tracker.get_job(provider_job_id))
        except (TrackerError, ValueError):  # such as a key that may not read
            pass
        finally:
            tracker.close()

    thread = threading.Thread(target=ask, name="trackerapi-step-check", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # this user may have no more threads
        return None
    thread.join(max(deadline - time.monotonic(), 0.0))
    return found[0] if found else None
