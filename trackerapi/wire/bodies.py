"""Bodies of answers: unpacked within size limits, and stripped of the request's key."""

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from trackerapi.wire.answer_check import InvalidAnswer

MAX_PAGE_BYTES: Final = 32 * 1024 * 1024
"""Maximum size of the answer to a read call, in bytes: 200 events of any size fit."""

MAX_REPORT_BYTES: Final = 8 * 1024 * 1024
"""Maximum size of any other answer, in bytes: a job of 500 steps is far smaller."""

MAX_FAILURE_BYTES: Final = 1024 * 1024
"""Maximum size of the answer to a failed request, in bytes."""

CODINGS: Final = "gzip, deflate"
"""Codings that requests accept; an answer in another coding is invalid."""

KEY_HEADER: Final = "X-API-Key"
"""Header of a request that carries the key; its value is removed from answers."""

MIN_SECRET_CHARACTERS: Final = 12
"""Minimum length of a removed key: a shorter key may be an ordinary word."""

_PACKED: Final = frozenset({"gzip", "deflate"})
_REMOVED: Final = "[the key]"
_PIECE_BYTES: Final = 64 * 1024
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS


class Body:
    """Collector for the body of one answer.

    Args:
        coding: Value of the answer's `Content-Encoding`; empty without the header.
        max_bytes: Maximum size of the received bytes, and of the unpacked body.

    Raises:
        InvalidAnswer: If `coding` is not one of `CODINGS`, or names two codings.
    """

    def __init__(self, coding: str, max_bytes: int) -> None:
        if not is_known_coding(coding):
            raise InvalidAnswer("its Content-Encoding was not requested")
        is_packed = coding.strip().lower() in _PACKED
        self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB) if is_packed else None
        self._max_bytes, self._received_bytes = max_bytes, 0
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add the next bytes as they were received.

        Raises:
            InvalidAnswer: If the body is too long or cannot be unpacked.
        """
        self._received_bytes += len(chunk)
        self._check_size()
        if self._inflater is None:
            self._content += chunk
            return
        # A few kB may unpack to GBs: unpack one piece at a time, and check the size.
        has_more = bool(chunk)
        while has_more and not self._inflater.eof:
            try:
                piece = self._inflater.decompress(chunk, _PIECE_BYTES)
            except zlib.error:
                raise InvalidAnswer("its content cannot be decompressed") from None
            self._content += piece
            self._check_size()
            chunk = self._inflater.unconsumed_tail
            has_more = bool(chunk) or len(piece) == _PIECE_BYTES

    def finish(self) -> bytes:
        """Return the whole body, unpacked.

        Raises:
            InvalidAnswer: If the packed content is incomplete.
        """
        if self._received_bytes and self._inflater and not self._inflater.eof:
            raise InvalidAnswer("its compressed content is incomplete")
        return bytes(self._content)

    def _check_size(self) -> None:
        if max(self._received_bytes, len(self._content)) > self._max_bytes:
            raise InvalidAnswer(f"it is longer than {self._max_bytes:,} bytes")


def is_known_coding(coding: str) -> bool:
    """Return whether requests accept this value of `Content-Encoding`."""
    return coding.strip().lower() in {"", "identity", *_PACKED}


def max_body_bytes(method: str, status: int) -> int:
    """Return the size limit of the answer's body."""
    if not 200 <= status < 300:
        return MAX_FAILURE_BYTES
    return MAX_PAGE_BYTES if method == "GET" else MAX_REPORT_BYTES


def secrets_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets in the headers of a request: keys and their secret parts."""
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
