"""Certificates, proxies and retries work together on every kind of call."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from trackerapi_client.api.customers import create_customer
from trackerapi_client.models import CustomerInput

from tests.scripted_server import (
    CUSTOMER,
    KEY,
    OWNER,
    Request,
    ScriptedServer,
    answering,
    http,
    problem,
)
from tests.tunnel import Tunnel, tunnel
from trackerapi import TrackerApi
from trackerapi.errors import BackendUnavailable, SettingsError


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate for this machine that signs itself."""

    certificate: Path
    key: Path

    def server_side(self) -> ssl.SSLContext:
        """Return what a server with this certificate needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing = "the program openssl, which makes certificates, is not here"
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
    """Run a proxy."""
    with tunnel() as running:
        yield running


class Busy:
    """Answers each kind of request well, the first time with "not now"."""

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
    """Run a backend behind TLS that is busy at first."""
    with ScriptedServer(Busy(), tls=authority.server_side()) as running:
        yield running


def ask(tracker: TrackerApi) -> None:
    """Ask a question through the layer by hand."""
    tracker.verify_api_key()


def change(tracker: TrackerApi) -> None:
    """Change something through the layer by hand."""
    tracker.admin.create_customer()


def change_raw(tracker: TrackerApi) -> None:
    """Change something through the generated call."""
    create_customer.sync(client=tracker.client, body=CustomerInput())


Call = Callable[[TrackerApi], None]
every_call = pytest.mark.parametrize("call", [ask, change, change_raw])
every_route = pytest.mark.parametrize(
    "route", ["direct", "argument", "environment", "exempt"]
)


def options_for(
    route: str, proxy: Tunnel, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Set the environment for `route`; return the arguments for it."""
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
    """Trust, route and repeats hold at once, whichever way the call is made."""
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
def test_unknown_certificate_is_refused_with_the_mend(
    route: str,
    call: Call,
    server: ScriptedServer,
    proxy: Tunnel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No request leaves for a backend that cannot prove who it is."""
    options = options_for(route, proxy, monkeypatch)

    with TrackerApi(KEY, server.url, **options) as tracker:
        with pytest.raises(BackendUnavailable) as caught:
            call(tracker)

    assert "certificate of the backend is not trusted" in caught.value.reason
    assert "TRACKERAPI_CA_FILE" in caught.value.reason
    assert not caught.value.exchange.was_sent
    assert server.connection_count == 1  # no repeat makes a certificate good
    assert server.requests == []


def test_report_takes_the_same_way_as_a_question(
    authority: Authority, proxy: Tunnel
) -> None:
    """Reports have a client of their own with the same trust and proxy."""
    report = http(200, {"accepted": 1, "duplicates": 0, "rejected": []})

    with ScriptedServer(lambda _: report, tls=authority.server_side()) as server:
        with TrackerApi(
            KEY, server.url, ca_file=authority.certificate, proxy=proxy.url
        ) as tracker:
            tracker.job("job-1").send_event(kind="info")

    assert len(server.requests) == 1
    assert proxy.targets == [f"127.0.0.1:{server.port}"]


def test_certificate_of_another_host_is_refused(
    authority: Authority, server: ScriptedServer
) -> None:
    """A trusted authority is not enough: the name has to be right."""
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
    """A proxy for plain HTTP is asked with the whole address, and again when busy."""
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


def test_proxy_that_refuses_is_told_without_its_password() -> None:
    """The reason points to the proxy; its secret stays out of the text."""
    with answering(http(407, b"", "text/html")) as proxy:
        with_password = proxy.url.replace("//", "//user:canary@")
        with TrackerApi(KEY, "https://tracker.invalid", proxy=with_password) as tracker:
            with pytest.raises(BackendUnavailable, match="proxy") as caught:
                tracker.verify_api_key()

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("call", [ask, change_raw])
def test_certificates_that_cannot_be_read_are_a_setting_to_mend(
    call: Call, tmp_path: Path
) -> None:
    """A broken file of certificates is told by its setting, not by a foreign error."""
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nbroken\n")

    with pytest.raises(SettingsError, match="usable certificates") as caught:
        with TrackerApi(KEY, "https://tracker.invalid", ca_file=broken) as tracker:
            call(tracker)

    assert caught.value.setting == "TRACKERAPI_CA_FILE"


@pytest.mark.parametrize("call", [ask, change_raw])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://proxy.invalid:1080"),
        ("ALL_PROXY", "ftp://proxy.invalid"),
        ("HTTPS_PROXY", "http://proxy.invalid:port"),
    ],
)
def test_proxy_variable_that_cannot_work_is_a_setting_to_mend(
    variable: str, value: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the surroundings that cannot be used is told as a setting."""
    monkeypatch.setenv(variable, value)

    with TrackerApi(KEY, "https://tracker.invalid") as tracker:
        with pytest.raises(SettingsError, match="proxy"):
            call(tracker)


def test_usual_variable_for_certificates_is_a_setting_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing file of the surroundings is told by the name of its variable."""
    monkeypatch.setenv("SSL_CERT_FILE", "/missing.pem")

    with TrackerApi(KEY, "https://tracker.invalid") as tracker:
        with pytest.raises(SettingsError, match=r"/missing\.pem") as caught:
            ask(tracker)

    assert caught.value.setting == "SSL_CERT_FILE"


def test_address_that_no_name_server_takes_is_a_setting_to_mend() -> None:
    """A host that only httpx knows to be impossible is told by its variable."""
    with TrackerApi(
        KEY, "http://\N{LATIN SMALL LETTER U WITH DIAERESIS}..x"
    ) as tracker:
        with pytest.raises(SettingsError) as caught:
            ask(tracker)

    assert caught.value.setting == "TRACKERAPI_BASE_URL"
