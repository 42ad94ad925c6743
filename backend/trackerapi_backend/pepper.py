"""Pepper file: secrets with which an installation hashes keys and names of jobs.

The database contains the hashes but no secret. The file begins with the secret of API
keys. Two lines, each with a value in hexadecimal, may follow the secret:

- `previous`: secret that a running rotation replaces.
- `erasure`: secret of the names of erased jobs, which no rotation changes.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trackerapi_backend.settings import (
    PREFIX,
    SettingsError,
    read_secret,
    write_secret,
)

if TYPE_CHECKING:
    from pathlib import Path

LOST_PEPPER = (
    "if the pepper is lost, `trackerapi-backend migrate --accept-pepper` makes all keys"
    " invalid and the database usable"
)
_MISSING_PEPPER = (
    ": copy it from the host that made the first key of this database, or from a"
    f" backup; {LOST_PEPPER}"
)
_NO_PEPPER_YET = (
    ", and the database has no key: `trackerapi-backend key create` makes both"
    " the file and a key; copy the file to the other hosts"
)
_MIN_BYTES = 32
_INSTALLATION_BYTES = 8
_LAST_LINE = re.compile(rb"\s*\n(previous|erasure) ((?:[0-9a-f]{2})+)$")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Pepper:
    """Secrets of an installation.

    Attributes:
        current: Secret of the HMACs of new API keys.
        previous: Secret of older keys during a rotation; None outside of a rotation.
        erasure_key: Secret of the names of erased jobs.
    """

    current: bytes
    previous: bytes | None
    erasure_key: bytes

    @classmethod
    def parse(cls, content: bytes) -> Pepper:
        """Return the secrets in the content of a pepper file."""
        rest, lines = content.strip(), dict[bytes, bytes]()
        while last := _LAST_LINE.search(rest):
            lines[last[1]] = bytes.fromhex(last[2].decode())
            rest = rest[: last.start()]
        # Before the first rotation, the file has no line `erasure`: derive the secret.
        derived = hmac.digest(rest, b"erasure", hashlib.sha256)
        return cls(rest, lines.get(b"previous"), lines.get(b"erasure", derived))

    @property
    def fingerprints(self) -> tuple[str, ...]:
        """Texts that identify the secrets of keys without revealing them, newest first.

        A fingerprint is the HMAC of a fixed text. Each API key begins with `trk_`, so
        no fingerprint is the HMAC of a key.
        """
        return tuple(
            hmac.digest(secret, b"fingerprint", hashlib.sha256).hex()
            for secret in self._key_secrets
        )

    @property
    def installation(self) -> str:
        """Text that identifies the installation; no rotation changes the text.

        `hash_job_name()` puts the id of a provider before a name. So no job has this
        text as the HMAC of its name.
        """
        digest = hmac.digest(self.erasure_key, b"installation", hashlib.sha256)
        return digest[:_INSTALLATION_BYTES].hex()

    @property
    def _key_secrets(self) -> tuple[bytes, ...]:
        return (
            (self.current,) if self.previous is None else (self.current, self.previous)
        )

    def seal(self, api_key: str) -> dict[str, Any]:
        """Return the values of the columns of `api_keys` that identify a key."""
        return {
            "key_hmac": _key_hmac(self.current, api_key),
            "pepper": self.fingerprints[0],
        }

    def hash_job_name(self, provider_id: int, provider_job_id: str) -> bytes:
        """Return the HMAC of a job's name, which the database keeps after an erasure.

        Equal names of two providers have different HMACs.
        """
        name = f"{provider_id}:{provider_job_id}"
        return hmac.digest(self.erasure_key, name.encode(), hashlib.sha256)

    def find_fingerprint(self, api_key: str, stored_hmac: bytes) -> str | None:
        """Return the fingerprint of the secret that made a stored HMAC of a key.

        None if no secret made the HMAC. The duration does not reveal the result.
        """
        found = None
        for secret, fingerprint in zip(
            self._key_secrets, self.fingerprints, strict=True
        ):
            if hmac.compare_digest(_key_hmac(secret, api_key), stored_hmac):
                found = fingerprint
        return found


def _key_hmac(secret: bytes, api_key: str) -> bytes:
    return hmac.digest(secret, api_key.encode(), hashlib.sha256)


class PepperFile:
    """Pepper file of a process; `read()` reads a changed file again.

    A rotation needs no restart of servers, on this host or on hosts with a copy.

    Args:
        path: File of the secrets.

    Raises:
        SettingsError: If the file is missing, cannot be used or is too short.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pepper = _read(path)
        self._seen = self._identity()

    def read(self) -> Pepper:
        """Return the secrets.

        If the changed file cannot be used, log an error and return the earlier secrets.
        """
        identity = self._identity()
        if identity != self._seen:
            self._seen = identity
            try:
                self._pepper = _read(self.path)
            except SettingsError as error:
                _log.error("the earlier pepper stays in use: %s", error)
        return self._pepper

    def begin_rotation(self) -> None:
        """Add a new secret for new keys; keys of the current secret stay valid.

        Raises:
            SettingsError: If a rotation has not ended, or the file cannot be written.
        """
        pepper = self.read()
        if pepper.previous is not None:
            raise SettingsError(
                f"a rotation of {self.path} has not ended: `trackerapi-backend pepper"
                " finish` ends it"
            )
        new = secrets.token_hex(_MIN_BYTES).encode()
        self._write(replace(pepper, current=new, previous=pepper.current))

    def end_rotation(self) -> None:
        """Remove the previous secret: keys that still have it become invalid."""
        self._write(replace(self.read(), previous=None))

    def _write(self, pepper: Pepper) -> None:
        lines = [pepper.current, b"erasure " + pepper.erasure_key.hex().encode()]
        if pepper.previous is not None:
            lines.append(b"previous " + pepper.previous.hex().encode())
        try:
            write_secret(self.path, b"\n".join([*lines, b""]))
        except OSError as error:
            raise _unusable(self.path, error) from None

    def _identity(self) -> tuple[int, int, int] | None:
        """Return values that differ after a change of the file; None without a file."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size


def open_pepper_file(
    path: Path, *, create: bool = True, has_keys: bool = True
) -> PepperFile:
    """Return the pepper file of this installation.

    Args:
        path: File of the secrets.
        create: Whether to create a missing file, with a new secret.
        has_keys: Whether the database has API keys; decides the advice in the error
            about a missing file.

    Raises:
        SettingsError: If the file is missing, cannot be used or is too short.
    """
    try:
        if not path.exists():
            if not create:
                advice = _MISSING_PEPPER if has_keys else _NO_PEPPER_YET
                raise SettingsError(f"the pepper file {path} is missing{advice}")
            write_secret(path, secrets.token_hex(_MIN_BYTES).encode())
    except OSError as error:
        raise _unusable(path, error) from None
    return PepperFile(path)


def _read(path: Path) -> Pepper:
    try:
        pepper = Pepper.parse(read_secret(path))
    except OSError as error:
        raise _unusable(path, error) from None
    if len(pepper.current) < _MIN_BYTES:
        raise SettingsError(
            f"the pepper file {path} has less than {_MIN_BYTES} bytes:"
            f" delete it and restore its backup; {LOST_PEPPER}"
        )
    return pepper


def _unusable(path: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"the pepper file {path} cannot be used ({error.strerror}): make its"
        f" folder, let this user read the file, or name another file with"
        f" {PREFIX}PEPPER_FILE"
    )
