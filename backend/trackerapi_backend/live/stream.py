"""Stream: response that sends the messages of a viewer as Server-Sent Events."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

from trackerapi_backend.instants import utc_now
from trackerapi_backend.problems import Problem
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from starlette.types import Receive, Scope, Send

    from trackerapi_backend.live.hub import Hub, Viewer, Watch

HEARTBEAT_SECONDS = 15.0
"""Maximum time between two heartbeats and checks of the permission, in seconds."""
LIFETIME_SECONDS = 15 * 60.0
"""Maximum duration of a stream, in seconds."""
LIFETIME_SPREAD = 0.1
"""Share of the maximum duration by which streams end earlier, at random.

After a restart of the server, all viewers connect at once: they should not do so each
time that their streams end."""
RETRY_MILLISECONDS = 2000
"""Minimum time after which a browser connects again; the maximum is twice as long."""
STALL_SECONDS = 60.0
"""Time limit after the maximum duration if the reader takes nothing, in seconds."""

HEARTBEAT = b":\n\n"
"""Comment: sent while there is no news."""
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # Without this header, nginx would collect the messages.
    "X-Accel-Buffering": "no",
}


class EventStream(Response):
    """Response with the messages of one viewer.

    Args:
        hub: Hub of the viewer.
        watch: Subject of the viewer.
        check: Function that raises Problem if the viewer may no longer read the job.
        expires_at: Expiry of the permission of the viewer; None for no expiry.
        heartbeat: Bytes to send each `HEARTBEAT_SECONDS` without news.
    """

    def __init__(
        self,
        hub: Hub,
        watch: Watch,
        check: Callable[[], Awaitable[object]],
        *,
        expires_at: datetime | None,
        heartbeat: bytes = HEARTBEAT,
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._hub, self._watch, self._check = hub, watch, check
        self._expires_at, self._heartbeat = expires_at, heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send messages until the end of the stream, or until the client disconnects.

        Raises:
            Problem: If the job, the link or the address has too many viewers, or the
                viewer may no longer read the job.
        """
        with self._hub.watch(self._watch) as viewer:
            # The permission may have ended before the hub knew the viewer.
            await self._check()
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": self.raw_headers,
                }
            )
            if scope["method"] != "HEAD":
                disconnection = asyncio.ensure_future(
                    _end_at_disconnect(receive, viewer)
                )
                try:
                    async with asyncio.timeout(LIFETIME_SECONDS + STALL_SECONDS):
                        await self._send_all(viewer, send)
                except TimeoutError:
                    return
                finally:
                    disconnection.cancel()
            await send({"type": "http.response.body", "body": b""})

    async def _send_all(self, viewer: Viewer, send: Send) -> None:
        async def send_part(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        start = time.monotonic()
        end = start + LIFETIME_SECONDS * (1 - LIFETIME_SPREAD * _chance())
        check_at = start + self._check_seconds()
        await send_part(b"retry: %d\n\n" % (RETRY_MILLISECONDS * (1 + _chance())))
        while True:
            frame = await viewer.next_frame(min(check_at, end) - time.monotonic())
            now = time.monotonic()
            if viewer.is_ended or now >= end:
                return
            if viewer.is_suspect or now >= check_at:
                viewer.is_suspect, check_at = False, now + self._check_seconds()
                if not await self._is_allowed():
                    return
                frame = frame or self._heartbeat
            if frame:
                await send_part(frame)

    def _check_seconds(self) -> float:
        """Return the time until the next check of the permission, in seconds."""
        if self._expires_at is None:
            return HEARTBEAT_SECONDS
        left = (self._expires_at - utc_now()).total_seconds()
        return left if 0 < left < HEARTBEAT_SECONDS else HEARTBEAT_SECONDS

    async def _is_allowed(self) -> bool:
        try:
            await self._check()
        except Problem:
            return False
        except StoreError:
            # The store cannot be read now: the next check decides.
            return True
        return True


def _chance() -> float:
    return random.random()  # noqa: S311 -- spreads connections, keeps no secret


async def _end_at_disconnect(receive: Receive, viewer: Viewer) -> None:
    # An invalid body raises Problem; the stream does not need the body.
    with suppress(asyncio.CancelledError, Problem):
        while (await receive())["type"] != "http.disconnect":
            pass
    viewer.end()
