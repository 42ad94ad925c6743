"""Cache of job states by their text: the next event of a job finds the parsed state.

The key of the cache is the whole text of a state. So a state stays correct even if
another process changes the job, or if the transaction is rolled back.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from trackerapi_backend.projection.snapshot import (
    from_document,
    is_current,
    to_document,
)
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from trackerapi_backend.projection.job import JobState

MAX_STATES = 1000
MAX_LENGTH = 5000
"""Maximum length of a text in the cache, in characters."""

# Written states by text, the oldest first.
_written: OrderedDict[str, JobState] = OrderedDict()


def parse_state(text: str) -> tuple[JobState, bool]:
    """Return the state of a text; the caller may change the returned state.

    Returns:
        The state, and whether further events may be folded onto it, see
        `is_current()`.
    """
    known = _written.pop(text, None)
    if known is not None:
        return known, True
    document = msgspec.json.decode(text)
    return from_document(document), is_current(document)


def format_state(state: JobState) -> str:
    """Return the text of a state; the caller must not change the state afterwards."""
    text = compact_json(to_document(state))
    if len(text) <= MAX_LENGTH:
        _written[text] = state
        if len(_written) > MAX_STATES:
            _written.popitem(last=False)
    return text
