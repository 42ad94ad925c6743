"""Proxies: client and scheme of forwarded requests, the public address of a server."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.network.forwarding import ForwardedRequests
from trackerapi_backend.network.listeners import require_public_address
from trackerapi_backend.settings import SettingsError, settings_from

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    command_here,
    error_line,
    first_line,
    new_job,
    prepare,
    start_command,
    variables_of,
)

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "TRACKERAPI_BACKEND_"
FOR, PROTO = "X-Forwarded-For", "X-Forwarded-Proto"
PROXIES = "10.0.0.1,10.1.0.0/16,fd00::/8"
DATABASE = {f"{PREFIX}DATABASE": "/data/backend.db"}


def forwarded(
    proxies: str | None, peer: str | None, *headers: tuple[str, str]
) -> tuple[str | None, str]:
    """Return client and scheme that the application gets for a request.

    Args:
        proxies: Setting of the trusted proxies; None for the default.
        peer: Address of the peer; None for a UNIX socket.
        headers: Headers of the request.
    """
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope)

    settings = settings_from({"trusted_proxies": proxies}, DATABASE)
    scope = {
        "type": "http",
        "client": None if peer is None else (peer, 1234),
        "scheme": "http",
        "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in headers],
    }
    wrapped: Any = ForwardedRequests(app, settings.trusted_proxies)
    asyncio.run(wrapped(scope, None, None))
    [scope] = seen
    return scope["client"] and scope["client"][0], scope["scheme"]


@pytest.mark.parametrize(
    ("proxies", "peer", "header", "client"),
    [
        (None, "127.0.0.1", "192.0.2.1", "192.0.2.1"),
        (None, "127.9.9.9", "192.0.2.1", "192.0.2.1"),
        (None, "::1", "2001:db8::1", "2001:db8::1"),
        (None, "::ffff:127.0.0.1", "192.0.2.1", "192.0.2.1"),
        (None, None, "192.0.2.1", "192.0.2.1"),
        (None, None, "", None),
        (None, "10.0.0.1", "192.0.2.1", "10.0.0.1"),
        (None, "192.0.2.9", "192.0.2.1", "192.0.2.9"),
        (PROXIES, "127.0.0.1", "192.0.2.1", "127.0.0.1"),
        (PROXIES, "10.0.0.1", "192.0.2.1", "192.0.2.1"),
        (PROXIES, "10.0.0.2", "192.0.2.1", "10.0.0.2"),
        (PROXIES, "10.1.200.2", "192.0.2.1", "192.0.2.1"),
        (PROXIES, "fd12::5", "2001:DB8:0::1", "2001:db8::1"),
        (PROXIES, "fd12::5", "[2001:db8::1]:4711", "2001:db8::1"),
        (PROXIES, "10.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
        (PROXIES, "10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
        # Several hops: the last address that is no proxy.
        (PROXIES, "10.0.0.1", "192.0.2.1, 10.1.0.7, fd00::1", "192.0.2.1"),
        (PROXIES, "10.0.0.1", "198.51.100.1, 192.0.2.1, 10.1.0.7", "192.0.2.1"),
        (PROXIES, "10.0.0.1", "10.1.0.1, 10.1.0.2", "10.1.0.1"),
        ("0.0.0.0/0", "203.0.113.5", "192.0.2.1", "192.0.2.1"),
        # Items that the client has made up.
        (PROXIES, "10.0.0.1", "10.1.0.9, 192.0.2.1", "192.0.2.1"),
        (PROXIES, "10.0.0.1", "10.0.0.1, 192.0.2.1, 10.1.0.7", "192.0.2.1"),
        (PROXIES, "10.0.0.1", "unknown, 10.1.0.7", "10.1.0.7"),
        (PROXIES, "10.0.0.1", "192.0.2.1, unknown", "10.0.0.1"),
        (PROXIES, "10.0.0.1", "", "10.0.0.1"),
        (PROXIES, "10.0.0.1", ", ,", "10.0.0.1"),
        (PROXIES, "10.0.0.1", "\xff", "10.0.0.1"),
        (PROXIES, "10.0.0.1", "10.0.0.1.example.org", "10.0.0.1"),
    ],
)
def test_client_comes_from_trusted_proxies_alone(
    proxies: str | None, peer: str | None, header: str, client: str | None
) -> None:
    """The client is the last address that is not the address of a trusted proxy."""
    assert forwarded(proxies, peer, (FOR, header))[0] == client


def test_several_headers_are_one_chain() -> None:
    """Several `X-Forwarded-For` headers are read as one list."""
    headers = (FOR, "198.51.100.1"), (FOR, "192.0.2.1"), (FOR, "10.1.0.7")
    assert forwarded(PROXIES, "10.0.0.1", *headers)[0] == "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "header", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "http", "http"),
        ("10.0.0.1", "javascript", "http"),
        ("10.0.0.1", "", "http"),
        ("127.0.0.1", "https", "http"),
        (None, "https", "https"),
    ],
)
def test_scheme_comes_from_trusted_proxies_alone(
    peer: str | None, header: str, scheme: str
) -> None:
    """`X-Forwarded-Proto` counts if a trusted proxy has sent `http` or `https`."""
    assert forwarded(PROXIES, peer, (PROTO, header))[1] == scheme


@pytest.mark.parametrize(
    "proxies",
    ["*", "proxy.example.org", "10.0.0.1/8", "10.0.0.1,", ",", "10.0.0.0/33", "::g"],
)
@pytest.mark.parametrize("is_argument", [True, False])
def test_invalid_proxy_is_an_error(proxies: str, is_argument: bool) -> None:
    """The error names the setting and shows valid values."""
    name = "--trusted-proxies" if is_argument else f"{PREFIX}TRUSTED_PROXIES"
    arguments = {"trusted_proxies": proxies} if is_argument else {}
    environment = DATABASE if is_argument else DATABASE | {name: proxies}
    with pytest.raises(SettingsError, match=f"{name} must be .* 10.0.0.5"):
        settings_from(arguments, environment)


def test_variable_of_uvicorn_has_no_effect(tmp_path: Path) -> None:
    """`FORWARDED_ALLOW_IPS` has no effect: the scheme of a link stays `http`."""
    key = prepare(tmp_path)["all"]
    environment = variables_of(tmp_path) | {"FORWARDED_ALLOW_IPS": "*"}
    with (
        start_command(
            *("serve", "--port", "0", "--trusted-proxies", "10.0.0.1"),
            environment=environment,
        ) as process,
        httpx.Client(
            base_url=first_line(process).split()[-1],
            headers={"X-API-Key": key, PROTO: "https"},
            timeout=MAX_WAIT_SECONDS,
        ) as api,
    ):
        link = api.post(f"/jobs/{new_job(api)['id']}/share-links", json={}).json()
    assert httpx.URL(link["url"]).scheme == "http"


def test_server_for_other_machines_needs_a_public_address(tmp_path: Path) -> None:
    """The error of `serve` names the address, the setting, and an example."""
    prepare(tmp_path)
    result = command_here(
        *("serve", "--host", "0.0.0.0", "--port", "0"),  # noqa: S104
        environment=variables_of(tmp_path),
    )
    error = error_line(result)
    assert error.startswith("http://0.0.0.0:")
    assert "--public-base-url" in error
    assert f"{PREFIX}PUBLIC_BASE_URL" in error
    assert "https://tracker.example.org" in error


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::", "unix"])
def test_public_address_is_needed_unless_the_socket_is_on_loopback(
    tmp_path: Path, host: str
) -> None:
    """Sockets of systemd follow the same rule; a UNIX socket is for a proxy."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if host == "unix":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "socket"))
    elif family == socket.AF_INET6 and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    else:
        listener = socket.create_server((host, 0), family=family)
    with closing(listener):
        if host in ("::", "unix"):
            with pytest.raises(SettingsError, match="--public-base-url"):
                require_public_address([listener])
        else:
            require_public_address([listener])
