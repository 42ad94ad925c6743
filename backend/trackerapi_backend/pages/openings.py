"""Record of the last view of each share link."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError
from starlette.background import BackgroundTask

from trackerapi_backend.instants import utc_now
from trackerapi_backend.problems import Problem
from trackerapi_backend.store import StoreError, share_links

if TYPE_CHECKING:
    from sqlalchemy import Row

    from trackerapi_backend.requests.call import Services

OPENING_INTERVAL = timedelta(minutes=5)
"""Minimum interval between two writes of the last view of a link."""

_log = logging.getLogger(__name__)


class Openings:
    """Record of the last views, written after the page was sent.

    Only the event loop calls its methods, so the set needs no lock.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        # Many browsers may open a link before the first write is stored.
        self._in_progress: set[int] = set()

    def task_for(self, link: Row[Any]) -> BackgroundTask | None:
        """Return the task that records a view of a link; None if none is due."""
        last, now = link.last_opened_at, utc_now()
        if last is not None and now - last < OPENING_INTERVAL:
            return None
        return BackgroundTask(self._record, link.id)

    async def _record(self, link_id: int) -> None:
        """Store the time of a view; only log a failure: the page was already sent."""
        if link_id in self._in_progress:
            return
        self._in_progress.add(link_id)
        now = utc_now()
        try:
            await self._services.writer.write(
                lambda db: share_links.record_opening(db, link_id, now=now)
            )
        except (Problem, StoreError, DBAPIError) as error:
            _log.warning("cannot store the view of share link %s (%s)", link_id, error)
        finally:
            self._in_progress.discard(link_id)
