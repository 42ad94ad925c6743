"""The generated client with a real backend."""

import asyncio
from io import BytesIO
from typing import Any

from trackerapi_client.api.events import import_events
from trackerapi_client.types import File

from tests.support.running_backend import RunningBackend
from trackerapi import TrackerApi


def test_batch_reaches_the_real_backend_from_an_event_loop(
    backend: RunningBackend, tracker: TrackerApi
) -> None:
    """`import_events` of the generated client works in an event loop."""
    line = b'{"kind": "info", "provider_job_id": "nobody knows it"}\n'

    async def send() -> Any:
        body = File(payload=BytesIO(line * 2))
        async with tracker.client as client:
            return await import_events.asyncio(client=client, body=body)

    report = asyncio.run(send())

    assert (report.accepted, len(report.rejected)) == (0, 2)
