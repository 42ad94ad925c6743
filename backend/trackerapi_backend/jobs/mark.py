"""Mark of a provider: check of a small PNG, which customers see beside its name."""

from __future__ import annotations

import struct
import zlib
from binascii import a2b_base64
from typing import TYPE_CHECKING

from trackerapi_backend.problems import invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_MARK_BYTES = 8 * 1024
"""Maximum size of a mark, in bytes."""
MAX_MARK_SIDE = 512
"""Maximum width and height of a mark, in pixels."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bits of a pixel by colour type and bit depth: all combinations that PNG allows.
_PIXEL_BITS = {
    **{(0, depth): depth for depth in (1, 2, 4, 8, 16)},
    **{(2, depth): 3 * depth for depth in (8, 16)},
    **{(3, depth): depth for depth in (1, 2, 4, 8)},
    **{(4, depth): 2 * depth for depth in (8, 16)},
    **{(6, depth): 4 * depth for depth in (8, 16)},
}
_PALETTE = 3
# Size of the transparent colour in bytes, by colour type. A palette has one byte per
# colour instead. An image with alpha has no transparent colour.
_TRANSPARENT_BYTES = {0: 2, 2: 6}
_MAX_FILTER = 4
_PIXELS = b"IDAT"
# Chunks that determine the pixels. Other chunks, such as texts and the position of a
# camera, are left out.
_KEPT = (b"PLTE", b"tRNS", _PIXELS)


class _MarkError(Exception):
    """The bytes are not a usable mark; `str()` is the end of a sentence."""


def read_mark(text: str) -> bytes:
    """Return the mark in a base64 text, with only the chunks that determine its pixels.

    Raises:
        Problem: If the text is not the base64 of a PNG within the limits.
    """
    try:
        return _checked(a2b_base64(text, strict_mode=True))
    except ValueError:
        raise invalid("/mark", "is not base64") from None
    except _MarkError as error:
        raise invalid("/mark", str(error)) from None


def _checked(content: bytes) -> bytes:
    if len(content) > MAX_MARK_BYTES:
        raise _MarkError(
            f"has {len(content):,} bytes, and a mark has at most {MAX_MARK_BYTES:,}"
        )
    chunks = list(_chunks(content))
    if chunks[0][0] != b"IHDR" or chunks[-1] != (b"IEND", b""):
        raise _MarkError("is not a whole PNG")
    header = chunks[0][1]
    sizes = _row_sizes(header)
    parts = {
        part: b"".join(data for kind, data in chunks if kind == part) for part in _KEPT
    }
    kept = {
        b"IHDR": header,
        **_checked_colors(parts, depth=header[8], color=header[9]),
        _PIXELS: _checked_pixels(parts[_PIXELS], sizes),
        b"IEND": b"",
    }
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in kept.items())


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and data of each chunk, up to `IEND`."""
    if not content.startswith(_SIGNATURE):
        raise _MarkError("is not a PNG")
    start, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        if start + 12 > len(content):
            raise _MarkError("is not a whole PNG")
        length, kind = struct.unpack_from(">I4s", content, start)
        end = start + 12 + length
        chunk = content[start:end]
        if len(chunk) != 12 + length or _chunk(kind, chunk[8:-4]) != chunk:
            raise _MarkError("is not a whole PNG")
        yield kind, chunk[8:-4]
        start = end


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _row_sizes(header: bytes) -> tuple[int, int]:
    """Return the bytes of a row of pixels, and the number of rows."""
    try:
        width, height, depth, color, compression, filtering, interlace = struct.unpack(
            ">IIBBBBB", header
        )
    except struct.error:
        raise _MarkError("is not a whole PNG") from None
    if not (0 < width <= MAX_MARK_SIDE and 0 < height <= MAX_MARK_SIDE):
        raise _MarkError(
            f"has {width:,} x {height:,} pixels, and a mark has at most"
            f" {MAX_MARK_SIDE} x {MAX_MARK_SIDE}"
        )
    if (color, depth) not in _PIXEL_BITS or (compression, filtering) != (0, 0):
        raise _MarkError("is not a whole PNG")
    if interlace:
        raise _MarkError("is an interlaced PNG: save it without interlacing")
    return 1 + (width * _PIXEL_BITS[color, depth] + 7) // 8, height


def _checked_colors(
    parts: Mapping[bytes, bytes], *, depth: int, color: int
) -> dict[bytes, bytes]:
    """Return the palette and the transparency, if they change pixels."""
    palette, transparency = parts[b"PLTE"], parts[b"tRNS"]
    if color == _PALETTE:
        count, rest = divmod(len(palette), 3)
        is_whole = not rest and len(transparency) <= count and 0 < count <= 2**depth
        kept = {b"PLTE": palette, b"tRNS": transparency}
    else:
        expected = _TRANSPARENT_BYTES.get(color)
        kept = {} if expected is None else {b"tRNS": transparency}
        is_whole = not any(kept.values()) or len(transparency) == expected
    if not is_whole:
        raise _MarkError("is not a whole PNG")
    return {kind: data for kind, data in kept.items() if data}


def _checked_pixels(compressed: bytes, sizes: tuple[int, int]) -> bytes:
    """Return the compressed pixels, without bytes behind them.

    The limit of the decompression is the size from the header: a small file may grow a
    thousandfold.
    """
    row_size, expected = sizes[0], sizes[0] * sizes[1]
    reader = zlib.decompressobj()
    try:
        pixels = reader.decompress(compressed, expected + 1)
    except zlib.error:
        raise _MarkError("is not a whole PNG") from None
    if (
        len(pixels) != expected
        or not reader.eof
        or max(pixels[::row_size]) > _MAX_FILTER
    ):
        raise _MarkError("is not a whole PNG")
    return compressed.removesuffix(reader.unused_data)
