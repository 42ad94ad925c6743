"""Small PNG images, made without an image library."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def header(
    width: int, height: int, *, depth: int = 8, color: int = 6, interlace: int = 0
) -> bytes:
    """Return the chunk with the size and the kind of pixels."""
    packed = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return chunk(b"IHDR", packed)


def pixels(rows: bytes) -> bytes:
    """Return the chunk with rows of pixels."""
    return chunk(b"IDAT", zlib.compress(rows, 9))


def png(width: int, height: int, *more: bytes) -> bytes:
    """Return a red image.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        more: Chunks between the header and the pixels.
    """
    rows = (b"\x00" + b"\xff\x00\x00\xff" * width) * height
    parts = (header(width, height), *more, pixels(rows), chunk(b"IEND", b""))
    return SIGNATURE + b"".join(parts)
