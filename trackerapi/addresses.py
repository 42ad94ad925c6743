"""Addresses of backends: one spelling each, and what makes one usable."""

from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_address(address: str) -> str:
    """Return the one spelling of an address, by which addresses are compared.

    Scheme and host in lower case, without a default port and without slashes at the
    end: `HTTP://LOCALHOST:80/` is `http://localhost`. A text that is no address with
    a host name is returned as it is.
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
    is_default = port in {None, _DEFAULT_PORTS.get(parts.scheme)}
    netloc = f"{user}{at}{host}" + ("" if is_default else f":{port}")
    return parts._replace(netloc=netloc).geturl().rstrip("/")
