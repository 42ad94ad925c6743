"""Bodies of answers: unpacked within bounds, and without the key of the request."""

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from trackerapi.wire.answer_check import InvalidAnswer

MAX_PAGE_BYTES: Final = 32 * 1024 * 1024
"""Longest answer of a question: 200 events of the greatest size fit."""

MAX_REPORT_BYTES: Final = 8 * 1024 * 1024
"""Longest answer of another request: a job of 500 steps is far below."""

MAX_FAILURE_BYTES: Final = 1024 * 1024
"""Longest answer that is no success."""

CODINGS: Final = "gzip, deflate"
"""What requests accept; whatever else arrives is refused."""

KEY_HEADER: Final = "X-API-Key"
"""Header of a request that carries the key; its value is removed from answers."""

MIN_SECRET_CHARACTERS: Final = 12
"""Characters of a key below which it may be any word of an answer."""

_PACKED: Final = frozenset({"gzip", "deflate"})
_REMOVED: Final = "[the key]"
_PIECE_BYTES: Final = 64 * 1024
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class Body:
    """Collects the body of one answer, and refuses to grow beyond a bound.

    Args:
        coding: Value of the answer's `Content-Encoding`; empty for none.
        max_bytes: Bound of the bytes that arrive and of those that they unpack to.

    Raises:
        NotAnAnswer: If the coding is not one of `CODINGS`, such as a stack of two.
    """

    def __init__(self, coding: str, max_bytes: int) -> None:
        if not is_known_coding(coding):
            raise InvalidAnswer("its content is packed as no request asks for")
        is_packed = coding.strip().lower() in _PACKED
        self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB) if is_packed else None
        self._max_bytes, self._arrived_bytes = max_bytes, 0
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes as they arrived.

        Raises:
            NotAnAnswer: If the body is too long or cannot be unpacked.
        """
        self._arrived_bytes += len(chunk)
        self._check_length()
        if self._inflater is None:
            self._content += chunk
            return
        # A few kB may stand for GBs: only a piece at a time is unpacked.
        is_more = bool(chunk)
        while is_more and not self._inflater.eof:
            try:
                piece = self._inflater.decompress(chunk, _PIECE_BYTES)
            except zlib.error:
                raise InvalidAnswer("its content cannot be unpacked") from None
            self._content += piece
            self._check_length()
            chunk = self._inflater.unconsumed_tail
            is_more = bool(chunk) or len(piece) == _PIECE_BYTES

    def finished(self) -> bytes:
        """Return the whole body.

        Raises:
            NotAnAnswer: If its packed form breaks off.
        """
        if self._arrived_bytes and self._inflater and not self._inflater.eof:
            raise InvalidAnswer("its packed content breaks off")
        return bytes(self._content)

    def _check_length(self) -> None:
        if max(self._arrived_bytes, len(self._content)) > self._max_bytes:
            raise InvalidAnswer(f"it is longer than {self._max_bytes:,} bytes")


def is_known_coding(coding: str) -> bool:
    """Tell whether a value of `Content-Encoding` is one that requests ask for."""
    return coding.strip().lower() in {"", "identity", *_PACKED}


def longest_body(method: str, status: int) -> int:
    """Return how many bytes an answer may have."""
    if not 200 <= status < 300:
        return MAX_FAILURE_BYTES
    return MAX_PAGE_BYTES if method == "GET" else MAX_REPORT_BYTES


def secrets_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the texts of a request that no error may show: keys and secret parts."""
    parts: list[str] = []
    for name in (KEY_HEADER, "Authorization"):
        key = headers.get(name, "").removeprefix("Bearer ").strip()
        parts += [key, *key.split("_")[2:3]]
    return tuple(part for part in parts if len(part) >= MIN_SECRET_CHARACTERS)


def without_secrets(value: Any, secrets: Iterable[str]) -> Any:
    """Return parsed JSON with each secret replaced, in names and in values."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, _REMOVED)
        return value
    if isinstance(value, list):
        return [without_secrets(each, secrets) for each in value]
    if isinstance(value, dict):
        return {
            without_secrets(name, secrets): without_secrets(each, secrets)
            for name, each in value.items()
        }
    return value
