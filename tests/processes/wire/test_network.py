"""Certificates, proxies and retries of read calls, changes and reports."""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from trackerapi_client.api.customers import create_customer
from trackerapi_client.models import CustomerInput

from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import (
    CUSTOMER,
    KEY,
    OWNER,
    Request,
    ScriptedServer,
    answering,
    http,
    problem,
)
from tests.support.tunnel import Tunnel, tunnel
from trackerapi import AsyncTrackerApi, TrackerApi
from trackerapi.errors import BackendUnavailable, SettingsError


@dataclass(frozen=True, slots=True)
class Authority:
    """Self-signed certificate for this machine."""

    certificate: Path
    key: Path

    def server_side(self) -> ssl.SSLContext:
        """Return the TLS context of a server with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a self-signed certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing = "openssl is not installed: it creates the test certificate"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    folder = tmp_path_factory.mktemp("authority")
    made = Authority(folder / "certificate.pem", folder / "key.pem")
    command = [openssl, "req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"]
    command += ["-subj", "/CN=tracker", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture
def proxy() -> Iterator[Tunnel]:
    """Run a proxy that tunnels connections."""
    with tunnel() as running:
        yield running


class Busy:
    """Answer function: 429 for the first request, then success."""

    def __init__(self) -> None:
        self.was_busy = False

    def __call__(self, request: Request) -> bytes:
        """Answer `request`."""
        if not self.was_busy:
            self.was_busy = True
            return problem(429)
        return http(200, OWNER) if request.method == "GET" else http(201, CUSTOMER)


@pytest.fixture
def server(authority: Authority) -> Iterator[ScriptedServer]:
    """Run a backend behind TLS that first answers 429."""
    with ScriptedServer(Busy(), tls=authority.server_side()) as running:
        yield running


def ask(tracker: TrackerApi) -> None:
    """Send a read call by `TrackerApi`."""
    tracker.verify_api_key()


def change(tracker: TrackerApi) -> None:
    """Create a customer by `TrackerApi`."""
    tracker.admin.create_customer()


def change_raw(tracker: TrackerApi) -> None:
    """Create a customer by the generated client."""
    create_customer.sync(client=tracker.client, body=CustomerInput())


Call = Callable[[TrackerApi], None]
every_call = pytest.mark.parametrize("call", [ask, change, change_raw])
every_route = pytest.mark.parametrize(
    "route", ["direct", "argument", "environment", "exempt"]
)


def options_for(
    route: str, proxy: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Set the environment for `route`; return the tracker arguments for `route`."""
    if route in {"environment", "exempt"}:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    if route == "exempt":
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return {"proxy": proxy.url} if route == "argument" else {}


@every_call
@every_route
@pytest.mark.parametrize("trust", ["ca_file", "anything"])
def test_trusted_backend_is_reached_and_retried(
    trust: str,
    route: str,
    call: Call,
    authority: Authority,
    server: ScriptedServer,
    proxy: Tunnel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each kind of call uses certificate and proxy, and is repeated after 429."""
    options = options_for(route, proxy, monkeypatch)
    trusted = {"ca_file": authority.certificate} if trust == "ca_file" else {}

    with TrackerApi(
        KEY, server.url, verify=trust == "ca_file", **trusted, **options
    ) as tracker:
        call(tracker)

    assert len(server.requests) == 2
    is_proxied = route in {"argument", "environment"}
    assert set(proxy.targets) == ({f"127.0.0.1:{server.port}"} if is_proxied else set())


@every_call
@every_route
def test_unknown_certificate_is_rejected_with_the_fix(
    route: str,
    call: Call,
    server: ScriptedServer,
    proxy: Tunnel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error for an unknown certificate has the fix; no request is sent."""
    options = options_for(route, proxy, monkeypatch)

    with TrackerApi(KEY, server.url, **options) as tracker:
        with pytest.raises(BackendUnavailable) as caught:
            call(tracker)

    assert "certificate of the backend is not trusted" in caught.value.reason
    assert "TRACKERAPI_CA_FILE" in caught.value.reason
    assert not caught.value.exchange.was_sent
    assert server.connection_count == 1  # no retry after a certificate error
    assert server.requests == []


def test_report_uses_certificate_and_proxy_too(
    authority: Authority, proxy: Tunnel
) -> None:
    """The client for reports uses the same certificate and proxy as read calls."""
    report = http(200, {"accepted": 1, "duplicates": 0, "rejected": []})

    with ScriptedServer(lambda _: report, tls=authority.server_side()) as server:
        with TrackerApi(
            KEY, server.url, ca_file=authority.certificate, proxy=proxy.url
        ) as tracker:
            tracker.job("job-1").send_event(kind="info")

    assert len(server.requests) == 1
    assert proxy.targets == [f"127.0.0.1:{server.port}"]


def test_certificate_of_another_host_is_rejected(
    authority: Authority, server: ScriptedServer
) -> None:
    """A trusted certificate for another host name is rejected."""
    url = f"https://localhost:{server.port}"

    with TrackerApi(KEY, url, ca_file=authority.certificate) as tracker:
        with pytest.raises(BackendUnavailable):
            ask(tracker)

    assert server.requests == []


@every_call
@pytest.mark.parametrize("route", ["argument", "environment"])
def test_plain_request_goes_through_the_proxy(
    route: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy for plain HTTP receives the whole address, again after 429."""
    with answering(Busy()) as proxy:
        if route == "environment":
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
        options = {"proxy": proxy.url} if route == "argument" else {}
        with TrackerApi(KEY, "http://tracker.invalid", **options) as tracker:
            call(tracker)

    targets = [
        request.target.partition("tracker.invalid")[0] for request in proxy.requests
    ]
    assert targets == ["http://", "http://"]


def test_error_of_a_proxy_shows_no_password() -> None:
    """The error for a proxy's answer 407 does not contain the proxy password."""
    with answering(http(407, b"", "text/html")) as proxy:
        with_password = proxy.url.replace("//", "//user:canary@")
        options = {"proxy": with_password, "timeout_seconds": 1}
        with TrackerApi(KEY, "https://tracker.invalid", **options) as tracker:
            with pytest.raises(BackendUnavailable, match="proxy") as caught:
                tracker.verify_api_key()

    assert "canary" not in str(caught.value)


PROXY_VARIABLES = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"]


@pytest.mark.parametrize("setting", [*PROXY_VARIABLES, "https_proxy", "proxy"])
@pytest.mark.parametrize("user", ["", "user:canary@"])
def test_proxy_that_cannot_be_reached_is_named(
    setting: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error for an unreachable proxy names its variable and host, no password."""
    for name in (*PROXY_VARIABLES, "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    scheme = "https" if setting.lower() == "https_proxy" else "http"
    # The port stays taken, and nobody listens: each connection is refused.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        proxy = f"http://{user}127.0.0.1:{port}"
        options = {"proxy": proxy} if setting == "proxy" else {}
        if not options:
            monkeypatch.setenv(setting, proxy)
        with TrackerApi(
            KEY, f"{scheme}://tracker.invalid", timeout_seconds=1, **options
        ) as tracker:
            with pytest.raises(BackendUnavailable) as caught:
                tracker.verify_api_key()

    message = str(caught.value)
    assert f"through the proxy http://127.0.0.1:{port} (from {setting})" in message
    assert "is the proxy right and up?" in message
    assert "canary" not in message


Maker = Callable[..., TrackerApi | AsyncTrackerApi]
every_maker = pytest.mark.parametrize("make", [TrackerApi, AsyncTrackerApi])


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """Return a file with invalid certificates."""
    path = tmp_path / "broken.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nbroken\n")
    return path


@every_maker
def test_unreadable_certificates_raise_in_the_constructor(
    make: Maker, broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the constructor names the setting of the certificate file."""
    with pytest.raises(SettingsError, match="usable certificates") as caught:
        make(KEY, "https://tracker.invalid", ca_file=broken)
    assert caught.value.setting == "ca_file"

    monkeypatch.setenv("TRACKERAPI_CA_FILE", str(broken))
    with pytest.raises(SettingsError, match="usable certificates") as caught:
        make(KEY, "https://tracker.invalid")
    assert caught.value.setting == "TRACKERAPI_CA_FILE"


BAD_PROXIES = [
    ("ALL_PROXY", "socks5://proxy.invalid:1080"),
    ("ALL_PROXY", "ftp://proxy.invalid"),
    ("HTTPS_PROXY", "http://proxy.invalid:port"),
    ("https_proxy", "http://"),
    ("all_proxy", "http://[::1"),
    ("HTTPS_PROXY", "proxy.invalid:99999"),
    ("HTTPS_PROXY", "http://user:canary@proxy..invalid"),
    ("HTTPS_PROXY", "x" * 100_000),
]


@every_maker
@pytest.mark.parametrize(("variable", "value"), BAD_PROXIES)
def test_invalid_proxy_variable_raises_in_the_constructor(
    variable: str, value: str, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the constructor names the variable and shows no password."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match="proxy") as caught:
        make(KEY, "https://tracker.invalid")

    assert caught.value.setting == variable
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("variable", "value"), BAD_PROXIES)
def test_proxy_variables_are_ignored_for_an_exempt_address(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address in NO_PROXY is reached in spite of invalid proxy variables."""
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("NO_PROXY", "fd00::/8,127.0.0.1,[::1")
    with answering(Busy()) as server:
        with TrackerApi(KEY, server.url) as tracker:
            ask(tracker)

    assert len(server.requests) == 2


def test_proxy_of_another_scheme_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An invalid HTTPS_PROXY is ignored for an http:// address."""
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://")
    with answering(Busy()) as server:
        with TrackerApi(KEY, server.url) as tracker:
            ask(tracker)

    assert len(server.requests) == 2


BAD_TLS_VARIABLES = [
    ("SSL_CERT_FILE", "/missing.pem"),
    ("SSL_CERT_FILE", "/dev/null"),
    ("SSLKEYLOGFILE", "/missing/folder/log"),
    ("SSLKEYLOGFILE", "/"),
]


@every_maker
@pytest.mark.parametrize(("variable", "value"), BAD_TLS_VARIABLES)
def test_tls_variable_with_a_bad_file_raises_in_the_constructor(
    variable: str, value: str, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of the constructor names the variable with the unusable file."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        make(KEY, "https://tracker.invalid")
    assert caught.value.setting == variable

    monkeypatch.setenv("HTTP_PROXY", "https://proxy.invalid")
    with pytest.raises(SettingsError) as caught:
        make(KEY, "http://tracker.invalid")
    assert caught.value.setting == variable


@pytest.mark.parametrize(("variable", "value"), BAD_TLS_VARIABLES)
def test_tls_variables_are_ignored_for_plain_http(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invalid TLS variables are ignored for an http:// address."""
    monkeypatch.setenv(variable, value)
    with answering(Busy()) as server:
        with TrackerApi(KEY, server.url) as tracker:
            ask(tracker)

    assert len(server.requests) == 2


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "TRACKERAPI_CA_FILE"])
def test_certificates_of_a_variable_are_trusted(
    name: str,
    authority: Authority,
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The certificates of a variable are read once, in the constructor."""
    copy = tmp_path / "copy.pem"
    shutil.copy(authority.certificate, copy)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, "copy.pem")

    with TrackerApi(KEY, server.url) as tracker:
        monkeypatch.chdir("/")
        copy.unlink()
        ask(tracker)

    assert len(server.requests) == 2


def test_client_for_plain_http_trusts_no_certificate(server: ScriptedServer) -> None:
    """The client of an http:// backend trusts no certificate of another server."""
    with TrackerApi(KEY, "http://127.0.0.1:9") as tracker:
        with pytest.raises(BackendUnavailable, match="not trusted"):
            tracker.client.get_httpx_client().get(server.url)


def test_https_to_a_server_of_plain_http_has_a_hint(backend: RunningBackend) -> None:
    """The reason names plain HTTP as the cause, without the text of OpenSSL."""
    url = backend.base_url.replace("http:", "https:")
    with TrackerApi(backend.api_key, url, timeout_seconds=3) as tracker:
        with pytest.raises(BackendUnavailable) as caught:
            tracker.verify_api_key()

    assert caught.value.reason == (
        "cannot connect by https; the server may speak http:// only"
    )


@every_maker
@pytest.mark.parametrize(
    "host",
    [
        "\N{LATIN SMALL LETTER U WITH DIAERESIS}..x",
        "x" * 64,
        "tracker..example",
        "999.0.0.1",
        "[::zz]",
    ],
)
def test_impossible_host_name_raises_in_the_constructor(
    make: Maker, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error for a host name that cannot exist names the variable."""
    monkeypatch.setenv("TRACKERAPI_BASE_URL", f"http://{host}")

    with pytest.raises(SettingsError) as caught:
        make(KEY)

    assert caught.value.setting == "TRACKERAPI_BASE_URL"
