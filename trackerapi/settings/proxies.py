"""Choice of the proxy for an address, from environment variables.

httpx itself would read the variables of every scheme and each entry of NO_PROXY, and
would raise for an unreadable entry.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from trackerapi.settings.addresses import DEFAULT_PORTS, parse_ip

NO_PROXY = "NO_PROXY"

_NAME = re.compile(r"(?:\*?\.)?[^\s/:*\[\]@]+")


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """The proxy of one address.

    Attributes:
        proxy: Address of the proxy; None for a direct connection.
        variable: Variable that names the proxy; empty for a direct connection.
        unreadable: Entries of NO_PROXY that were ignored.
    """

    proxy: str | None = None
    variable: str = ""
    unreadable: tuple[str, ...] = ()


def proxy_for(address: str, environment: Mapping[str, str]) -> ProxyChoice:
    """Return the proxy for an address, by the rules of curl and httpx.

    `http_proxy` or `https_proxy` wins over `all_proxy`, and lower case wins over upper
    case. NO_PROXY lists the targets of direct connections: host names, IP addresses and
    networks. A host name includes its subdomains; `*` means all targets. Host names and
    IP addresses may have a port.

    Args:
        address: An http:// or https:// address.
        environment: Variables to read; a blank variable counts as not set.
    """
    target = urlsplit(address)
    # In a CGI script, HTTP_PROXY comes from the header `Proxy` of any client.
    is_cgi = "REQUEST_METHOD" in environment
    names = [f"{target.scheme}_proxy", f"{target.scheme.upper()}_PROXY"]
    names += ["all_proxy", "ALL_PROXY"]
    for name in names:
        proxy = environment.get(name, "").strip()
        if proxy and not (is_cgi and name == "HTTP_PROXY"):
            break
    else:
        return ProxyChoice()
    exempt = environment.get("no_proxy", "").strip() or environment.get(NO_PROXY, "")
    unreadable = []
    for entry in re.split(r"[\s,]+", exempt.strip(" ,")):
        try:
            if entry and _covers(entry, target):
                return ProxyChoice()
        except ValueError:
            unreadable.append(entry)
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    return ProxyChoice(proxy, name, tuple(unreadable))


def _covers(entry: str, target: SplitResult) -> bool:
    """Return whether an entry of NO_PROXY covers an address.

    Raises:
        ValueError: If the entry cannot be read.
    """
    if entry == "*":
        return True
    scheme, separator, rest = entry.rpartition("://")
    if separator and scheme.lower() not in {"all", target.scheme}:
        return False
    host = (target.hostname or "").rstrip(".")
    ip = parse_ip(host)
    if "/" in rest:
        from ipaddress import ip_network

        network = ip_network(rest, strict=False)
        return ip is not None and ip in network
    if parse_ip(rest) is not None:
        return ip == parse_ip(rest)
    parts = urlsplit(f"//{rest}")
    name, port = parts.hostname or "", parts.port
    if parse_ip(name) is None and not _NAME.fullmatch(name):
        raise ValueError(entry)
    if port not in {None, target.port or DEFAULT_PORTS[target.scheme]}:
        return False
    if ip is not None or parse_ip(name) is not None:
        return ip == parse_ip(name)
    suffix = name.removeprefix("*").rstrip(".")
    # An entry that begins with a dot covers only subdomains.
    domain = suffix if suffix.startswith(".") else f".{suffix}"
    return host == suffix or host.endswith(domain)
