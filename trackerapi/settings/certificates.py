"""Trusted certificates, read together with the settings: a bad file raises early.

The ssl module is loaded for https:// addresses only.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trackerapi.errors import SettingsError, one_line
from trackerapi.files import read_regular

if TYPE_CHECKING:
    import ssl

SSL_CERT_FILE = "SSL_CERT_FILE"
SSL_KEY_LOG = "SSLKEYLOGFILE"
MAX_FILE_BYTES = 64 * 1024**2


def check_certificates(file: Path, setting: str) -> None:
    """Check that a file contains a certificate, without loading the ssl module.

    Raises:
        SettingsError: If the file cannot be read, or contains no certificate in PEM
            form.
    """
    try:
        has_certificate = b"-----BEGIN" in read_regular(file, MAX_FILE_BYTES)
    except OSError as error:
        reason = f"cannot read the certificates {file}: {error.strerror or error}"
        raise SettingsError(reason, setting) from None
    if not has_certificate:
        raise SettingsError(f"{file} contains no certificate in PEM form", setting)


def trust_in(file: Path, setting: str) -> "ssl.SSLContext":
    """Return a TLS context that trusts only the certificates of a file.

    Raises:
        SettingsError: If the file contains no usable certificates.
    """
    import ssl

    check_certificates(file, setting)
    try:
        return ssl.create_default_context(cafile=file)
    except OSError as error:  # such as ssl.SSLError
        reason = f"{file} contains no usable certificates ({one_line(str(error), 200)})"
        raise SettingsError(reason, setting) from None


def check_key_log(environment: Mapping[str, str]) -> None:
    """Check that the file of `SSLKEYLOGFILE` can be written.

    Each TLS context opens this file, and fails if the file cannot be written.

    Raises:
        SettingsError: If the file cannot be written.
    """
    file = environment.get(SSL_KEY_LOG)
    if not file:
        return
    # Open without blocking: `open()` of a pipe would wait for a reader.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
    try:
        os.close(os.open(file, flags, 0o600))
    except (OSError, ValueError) as error:
        reason = f"cannot write {one_line(file, 200)}: {one_line(str(error), 200)}"
        raise SettingsError(reason, SSL_KEY_LOG) from None
