"""API keys and share tokens: format, scopes and stored hashes.

A key is `trk_<key id>_<secret>_<check>`. The store has only an HMAC of the key under
the pepper of this installation. A fast hash is safe: the secret has 256 random bits.
A job token is a key that is bound to one job.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass

SCOPES = ("ingest", "read", "admin")
JOB_TOKEN_SCOPES = ("ingest", "read")

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_ID_LENGTH = 8
_SECRET_LENGTH = 43
_CHECK_LENGTH = 6
_MAX_KEY_LENGTH = 200
_SHARE_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """New API key with its secret, which is not stored.

    Attributes:
        key_id: Public part of the key.
        api_key: Whole key, with the secret.
    """

    key_id: str
    api_key: str

    def __repr__(self) -> str:
        return f"NewKey({self.key_id})"


def generate_key() -> NewKey:
    """Return a new random key."""
    key_id = _random_text(_KEY_ID_LENGTH)
    start = f"trk_{key_id}_{_random_text(_SECRET_LENGTH)}"
    return NewKey(key_id, f"{start}_{_check(start)}")


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _check(start: str) -> str:
    """Return the check characters of a key, which reveal a mistyped key."""
    rest, letters = zlib.crc32(start.encode()), ""
    for _ in range(_CHECK_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        letters = _ALPHABET[digit] + letters
    return letters


def parse_key_id(api_key: str) -> str | None:
    """Return the public part of a key; None if the text is not a well-formed key."""
    start, _, check = api_key.rpartition("_")
    parts = start.split("_")
    is_key = (
        len(api_key) <= _MAX_KEY_LENGTH
        and api_key.isascii()
        and len(parts) == 3
        and parts[0] == "trk"
        and hmac.compare_digest(check, _check(start))
    )
    return parts[1] if is_key else None


def generate_share_token() -> str:
    """Return a new random share token."""
    return secrets.token_urlsafe(_SHARE_TOKEN_BYTES)


def hash_secret(secret: str) -> bytes:
    """Return the hash of a random secret, such as a share token.

    The secret needs no pepper, because nobody can guess 256 random bits.
    """
    return hashlib.sha256(secret.encode()).digest()
