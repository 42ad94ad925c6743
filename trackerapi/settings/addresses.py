"""Addresses of backends and proxies: canonical spelling and validity."""

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from trackerapi.errors import SettingsError

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

MAX_ADDRESS_LENGTH = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}

_PLAIN_HOST = r"localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|[a-z0-9-]+(?=:\d)|\[[0-9a-f:]+\]"
_INCOMPLETE = re.compile(
    # No underscore: each key contains an underscore, and an error must not repeat a
    # key that was pasted as an address.
    rf"(?:(https?):)?/*((?:{_PLAIN_HOST})(?::\d{{1,5}})?(?:/[a-z0-9.-]*)*)",
    re.IGNORECASE,
)
_IPV4 = re.compile(r"\d+(?:\.\d+){3}")


def canonical_address(address: str) -> str:
    """Return the canonical spelling of an address, for comparisons.

    Scheme and host become lower case; a default port and slashes at the end are
    removed: `HTTP://LOCALHOST:80/` becomes `http://localhost`. A text without a host
    name is returned unchanged.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return address
    if not host:
        return address
    if ":" in host:
        host = f"[{host}]"
    user, at, _ = parts.netloc.rpartition("@")
    is_default = port in {None, DEFAULT_PORTS.get(parts.scheme)}
    netloc = f"{user}{at}{host}" + ("" if is_default else f":{port}")
    return parts._replace(netloc=netloc).geturl().rstrip("/")


def backend_address(text: str, setting: str) -> str:
    """Return the canonical spelling of a backend's address.

    Raises:
        SettingsError: If `text` is not an http:// or https:// address with a host
            name, or has a user, a query or a fragment.
    """
    parts = _split(text)
    if parts is None or parts.scheme not in DEFAULT_PORTS:
        raise SettingsError(
            f"not an http:// or https:// address with a host name{_hint(text)}", setting
        )
    if "@" in parts.netloc:
        raise SettingsError(
            "an address has no user or password; the key has its own setting", setting
        )
    if parts.query or parts.fragment:
        raise SettingsError("an address has no query (?) or fragment (#)", setting)
    return canonical_address(text)


def proxy_address(text: str, setting: str) -> str:
    """Return the address of a proxy, unchanged.

    Raises:
        SettingsError: If `text` is not an address with a host name, or its scheme is
            not http, https, socks5 or socks5h.
    """
    parts = _split(text)
    if parts is None or parts.scheme not in {*DEFAULT_PORTS, "socks5", "socks5h"}:
        raise SettingsError("not an http:// or https:// address of a proxy", setting)
    if parts.scheme not in DEFAULT_PORTS:
        from importlib.util import find_spec

        if find_spec("socksio") is None:
            raise SettingsError(
                "a SOCKS proxy needs one more package: pip install socksio", setting
            )
    return text


def parse_ip(text: str) -> "IPv4Address | IPv6Address | None":
    """Return `text` as an IP address; None for any other text."""
    from ipaddress import ip_address

    try:
        return ip_address(text)
    except ValueError:
        return None


def _hint(text: str) -> str:
    match = _INCOMPLETE.fullmatch(text)
    if match is None:
        return ""
    address = f"{match[1] or 'http'}://{match[2]}"
    is_other = address != text and _split(address) is not None
    return f"; did you mean {address}?" if is_other else ""


def _split(text: str) -> SplitResult | None:
    """Return the parts of an address; None for an address without a valid host."""
    try:
        parts = urlsplit(text)
        host = parts.hostname
        is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return None
    is_valid = is_valid and len(text) <= MAX_ADDRESS_LENGTH
    is_valid = is_valid and text.isprintable() and " " not in text
    return parts if is_valid and host and _is_host(host) else None


def _is_host(host: str) -> bool:
    if ":" in host or _IPV4.fullmatch(host):
        return parse_ip(host) is not None
    try:
        host.encode("ascii" if host.isascii() else "idna")
    except UnicodeError:
        return False
    return all(0 < len(label) < 64 for label in host.removesuffix(".").split("."))
