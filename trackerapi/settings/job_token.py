"""Job tokens: the credential that `TrackerJob.token()` creates for another host.

A token is a key for one job, followed by the id and the tag of the job. The other host
reports to the job without a request that looks up the job.
"""

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Final, Self

JOB: Final = "TRACKERAPI_JOB"
"""Variable with the job of a process: the id of the job, or a token for the job."""

KEY_PREFIX: Final = "trk_"
"""Beginning of each key of the reference backend, and so of each token."""

_MAX_LENGTH: Final = 4_000


@dataclass(frozen=True, slots=True)
class JobToken:
    """A credential for one job.

    Attributes:
        api_key: The key; hidden in the repr.
        provider_job_id: The provider's id of the job.
        tag: Tag of the job's configuration; None if the creator did not know the tag.
    """

    api_key: str = field(repr=False)
    provider_job_id: str
    tag: str | None = None

    def as_text(self) -> str:
        """Return the token as text: one word of printable ASCII characters."""
        names = json.dumps([self.provider_job_id, self.tag], separators=(",", ":"))
        packed = base64.urlsafe_b64encode(names.encode()).rstrip(b"=").decode()
        return f"{self.api_key}.{packed}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return `text` as a token; None if `text` is not a token."""
        api_key, dot, packed = text.strip().partition(".")
        if not dot or not api_key.startswith(KEY_PREFIX) or len(text) > _MAX_LENGTH:
            return None
        try:
            padded = packed + "=" * (-len(packed) % 4)
            names = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (ValueError, binascii.Error, RecursionError):
            return None
        match names:
            case [str(provider_job_id), str() | None as tag] if provider_job_id:
                return cls(api_key, provider_job_id, tag)
            case _:
                return None
