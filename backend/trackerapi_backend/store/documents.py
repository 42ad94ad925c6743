"""Configuration documents and their texts, parsed once and shared by equal rows.

A configuration can have megabytes, and all jobs of a list or batch may have the same
configuration.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

MAX_CACHED_LENGTH = 4 * 1024 * 1024
"""Maximum total length of the cached JSON texts, in characters.

The parsed values need about ten times as much memory."""


class Document(dict[str, Any]):
    """Configuration that rows share: callers must not change it.

    Attributes:
        length: Length of the JSON text, in characters.
        results: Results of `compute_once()`, by function.
    """

    length: int = 0
    results: dict[object, Any]


def compute_once(
    document: Mapping[str, Any] | None, compute: Callable[[Mapping[str, Any] | None], T]
) -> T:
    """Return `compute(document)`; compute it once for all rows that share a document.

    Args:
        document: Configuration; None for a job without a configuration.
        compute: Pure function. Callers share its result and must not change it.
    """
    if not isinstance(document, Document):
        return compute(document)
    # No lock is needed: at worst two threads compute the same result.
    if compute not in document.results:
        document.results[compute] = compute(document)
    result: T = document.results[compute]
    return result


class DocumentCache:
    """Cache of recently used configurations by JSON text; safe between threads."""

    def __init__(self, max_length: int = MAX_CACHED_LENGTH) -> None:
        self._max_length, self._length = max_length, 0
        self._by_text: OrderedDict[str, Document] = OrderedDict()
        # Readers and the writer call `parse()` from different threads.
        self._lock = threading.Lock()

    def parse(self, text: str) -> Document:
        """Return the document of a JSON text, from the cache if possible."""
        with self._lock:
            known = self._by_text.get(text)
            if known is not None:
                self._by_text.move_to_end(text)
                return known
        # Parse without the lock: a large text would block all other readers. Two
        # threads may parse the same text; the cache keeps the first document.
        document = Document(json.loads(text))
        document.length, document.results = len(text), {}
        with self._lock:
            if text not in self._by_text:
                self._by_text[text] = document
                self._length += document.length
            while self._length > self._max_length:
                _text, oldest = self._by_text.popitem(last=False)
                self._length -= oldest.length
        return document
