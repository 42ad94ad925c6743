"""The sender of delivery, over HTTP."""

from collections.abc import Sequence
from io import BytesIO

from trackerapi_client.api.events import import_events
from trackerapi_client.models import BatchReport
from trackerapi_client.types import File

from trackerapi.delivery.sender import Receipt, Rejection
from trackerapi.errors import BackendUnavailable
from trackerapi.wire.client import BackendClient


class HttpSender:
    """Carries one batch of records to the backend, once; it never retries.

    Args:
        client: A client of its own, made to attempt each request once.
    """

    def __init__(self, client: BackendClient) -> None:
        self._client = client

    def send(self, lines: Sequence[bytes]) -> Receipt:
        """Deliver `lines` as the NDJSON body of `import_events`; see `Sender`."""
        body = File(payload=BytesIO(b"".join(line + b"\n" for line in lines)))
        report = import_events.sync_detailed(client=self._client, body=body).parsed
        if not isinstance(report, BatchReport):
            raise BackendUnavailable("the answer is no report of a batch")
        return Receipt(
            accepted=report.accepted,
            duplicates=report.duplicates,
            rejections=tuple(
                Rejection(index=line.line - 1, problem=line.problem.to_dict())
                for line in report.rejected
            ),
        )
