"""States of jobs as text: the next event of a job need not parse the state again.

A state that was written is found by its whole text. So it does not matter whether
another process has changed the job since, or whether the transaction was rolled back.
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
"""Maximum length of the text of a state that is kept, in characters."""

# Written states by text, the oldest first.
_written: OrderedDict[str, JobState] = OrderedDict()


def parse_state(text: str) -> tuple[JobState, bool]:
    """Return the state of a text, which the caller may change.

    Returns:
        The state, and whether further events may be folded onto it, see
        `is_current()`.
    """
    known = _written.pop(text, None)
    if known is not None:
        return known, True
    document = msgspec.json.decode(text)
    return from_document(document), is_current(document)


def write_state(state: JobState) -> str:
    """Return the text of a state, which the caller must not change any more."""
    text = compact_json(to_document(state))
    if len(text) <= MAX_LENGTH:
        _written[text] = state
        if len(_written) > MAX_STATES:
            _written.popitem(last=False)
    return text
