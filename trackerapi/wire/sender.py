"""HTTP client for delivery."""

import gzip
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from ipaddress import ip_address
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from trackerapi_client.api.events import import_events
from trackerapi_client.models import BatchReport
from trackerapi_client.types import UNSET, File

from trackerapi.delivery.sender import BatchResult, Rejection
from trackerapi.errors import BackendUnavailable, SettingsError
from trackerapi.settings.api_key import key_id_of
from trackerapi.wire.calls import Calls
from trackerapi.wire.client import BackendClient
from trackerapi.wire.failures import problem_details

MIN_BYTES_TO_COMPRESS: Final = 1400
"""Minimum size of a batch to compress, in bytes: a smaller one fits into a packet."""

_FASTEST: Final = 1
_MAX_KEYS: Final = 1000


class HttpSender:
    """Client for delivery over HTTP: a `Sender`. Each call makes one attempt.

    Args:
        client: Client that only this sender uses, with time limits for one attempt.
        read_key: Function that reads the key from its setting.
        on_new_key: Called with a key that differs from the present key.
    """

    def __init__(
        self,
        client: BackendClient,
        read_key: Callable[[], str],
        on_new_key: Callable[[str], None],
    ) -> None:
        self._client, self._calls = client, Calls(client)
        self._read_key, self._on_new_key = read_key, on_new_key
        self._is_local = _is_loopback(client.base_url)

    def send(self, batch: bytes) -> BatchResult:
        """Send a batch by `import_events`; see `Sender`."""
        # Within one machine, compressing takes longer than sending.
        is_compressed = not self._is_local and len(batch) >= MIN_BYTES_TO_COMPRESS
        payload = gzip.compress(batch, _FASTEST, mtime=0) if is_compressed else batch
        report = import_events.sync_detailed(
            client=self._client,
            body=File(payload=BytesIO(payload)),
            content_encoding="gzip" if is_compressed else UNSET,
        ).parsed
        if not isinstance(report, BatchReport):
            raise BackendUnavailable("the answer is not a batch report")
        return BatchResult(
            accepted=report.accepted,
            duplicates=report.duplicates,
            rejections=tuple(
                Rejection(
                    index=line.line - 1,
                    problem=problem_details(line.problem.to_dict()),
                    event_id=line.event_id,
                )
                for line in report.rejected
            ),
        )

    def create_job(self, creation: Mapping[str, Any]) -> None:
        """Create a job, or attach to the existing job; see `Sender`."""
        self._calls.create_job(creation)

    def identify(self) -> int:
        """Return the id of the provider that owns the key; see `Sender`."""
        return self._calls.verify_api_key().provider_id

    def list_key_ids(self) -> Iterable[str]:
        """Return the ids of the provider's newest 1,000 keys; see `Sender`."""
        newest = islice(self._calls.list_api_keys(), _MAX_KEYS)
        return [key.key_id for key in newest]

    def reload_key(self) -> str | None:
        """Read the key again from its setting; see `Sender`."""
        try:
            key = self._read_key()
        except SettingsError:
            key = self._client.token
        if key != self._client.token:
            self._on_new_key(key)
        return key_id_of(key)


def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
