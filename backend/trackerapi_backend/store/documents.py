"""Stored configurations as Python values, parsed once for all rows that share one.

A configuration may have megabytes, and each job of a list, each job of a batch carries
the same one.
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
"""Characters of JSON whose values are kept; the values take about ten times as much."""


class Document(dict[str, Any]):
    """A stored configuration; shared, so not to be changed.

    Attributes:
        length: Characters of its JSON text.
        derived: What `derived()` has made of it, by the function that made it.
    """

    length: int = 0
    derived: dict[object, Any]


def derived(
    document: Mapping[str, Any] | None, make: Callable[[Mapping[str, Any] | None], T]
) -> T:
    """Return what `make` makes of a configuration, made once for a shared one.

    Args:
        document: The configuration; None for a job without one.
        make: A pure function; its result is shared, so not to be changed.
    """
    if not isinstance(document, Document):
        return make(document)
    if make not in document.derived:
        document.derived[make] = make(document)
    result: T = document.derived[make]
    return result


class DocumentCache:
    """The configurations that were read last; safe to share between threads."""

    def __init__(self, max_length: int = MAX_CACHED_LENGTH) -> None:
        self._max_length, self._length = max_length, 0
        self._by_text: OrderedDict[str, Document] = OrderedDict()
        self._lock = threading.Lock()

    def parsed(self, text: str) -> Document:
        """Return the value of a JSON text, the same one as before if it is kept."""
        with self._lock:
            known = self._by_text.get(text)
            if known is not None:
                self._by_text.move_to_end(text)
                return known
        document = Document(json.loads(text))
        document.length, document.derived = len(text), {}
        with self._lock:
            if text not in self._by_text:
                self._by_text[text] = document
                self._length += document.length
            while self._length > self._max_length:
                _text, oldest = self._by_text.popitem(last=False)
                self._length -= oldest.length
        return document
