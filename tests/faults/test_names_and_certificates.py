"""Unknown host names and untrusted certificates: no event is lost."""

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy, Handshake
from tests.support.faults import garbage_handshake, tls_handshake
from tests.support.preludes.names import NAME, PORT_VARIABLE, NameServer
from tests.support.proof_runs import (
    EXIT_SECONDS,
    FLUSHED,
    HOUR,
    PRINTED,
    Lab,
    Pictures,
    skip_or_fail,
)


@pytest.fixture
def named_lab(lab: Lab) -> Lab:
    """Return a lab whose processes look up the name of the proxy."""
    lab.base_url = f"http://{NAME}:{lab.proxy.port}"
    lab.prelude = "tests.support.preludes.names"
    return lab


def test_events_arrive_once_after_the_name_was_unknown_in_mid_run(
    named_lab: Lab, undisturbed: Pictures
) -> None:
    """Events reported while the host name is unknown arrive once it is known again."""
    with NameServer(resolves=True) as names:
        named_lab.settings[PORT_VARIABLE] = str(names.port)
        with named_lab.start("--flush", "30") as job:
            job.pass_gate("phase 1")
            job.await_gate("phase 2")
            # A connection that is being opened would survive `abort_connections()`.
            named_lab.await_delivered()
            names.resolves = False
            named_lab.proxy.abort_connections()
            job.open_gate()
            job.await_gate("phase 3")
            names.await_queries(4)
            names.resolves = True
            job.open_gate()
            job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    named_lab.assert_all_arrived(undisturbed)


def test_job_whose_backend_has_an_unknown_name_runs_unchanged(
    named_lab: Lab, undisturbed: Pictures
) -> None:
    """Output and exit status are unchanged; a sync afterwards delivers all events."""
    with NameServer(resolves=False) as names:
        named_lab.settings[PORT_VARIABLE] = str(names.port)
        with named_lab.start(TRACKERAPI_SHUTDOWN_TIMEOUT=HOUR) as job:
            exit_seconds = job.run_through()
        assert tuple(job.printed) == PRINTED
        assert exit_seconds <= EXIT_SECONDS
        names.resolves = True
        named_lab.sync()

    named_lab.assert_all_arrived(undisturbed)


@pytest.fixture(scope="module")
def make_certificate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Return a function that creates a certificate with its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        skip_or_fail("the program openssl is missing: it creates the certificates")

    def make() -> Path:
        file = tmp_path_factory.mktemp("certificate") / "both.pem"
        command = [str(openssl), "req", "-x509", "-nodes", "-days", "2"]
        command += ["-newkey", "rsa:2048", "-subj", "/CN=tracker"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", str(file), "-out", str(file.with_suffix(".crt"))]
        subprocess.run(command, check=True, capture_output=True)
        with file.open("a", encoding="ascii") as both:
            both.write(file.with_suffix(".crt").read_text(encoding="ascii"))
        return file

    return make


@pytest.fixture(scope="module")
def trusted(make_certificate: Callable[[], Path]) -> Path:
    """Create the certificate that jobs trust."""
    return make_certificate()


@pytest.fixture(scope="module")
def untrusted(make_certificate: Callable[[], Path]) -> Path:
    """Create a certificate that jobs do not trust."""
    return make_certificate()


@pytest.fixture
def secure_lab(lab: Lab, trusted: Path) -> Lab:
    """Return a lab whose job speaks TLS with the proxy."""
    lab.base_url = f"https://127.0.0.1:{lab.proxy.port}"
    lab.settings["TRACKERAPI_CA_FILE"] = str(trusted)
    lab.proxy.handshake = handshake_with(trusted)
    return lab


def handshake_with(certificate: Path) -> Handshake:
    """Return a TLS handshake with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return tls_handshake(context)


def wrong_handshake(kind: str, untrusted: Path) -> Handshake:
    """Return a handshake that clients must refuse."""
    return garbage_handshake if kind == "garbage" else handshake_with(untrusted)


WRONG = ("garbage", "self-signed")


@pytest.mark.parametrize("kind", WRONG)
def test_events_arrive_once_after_tls_failed_in_mid_run(
    secure_lab: Lab, undisturbed: Pictures, untrusted: Path, kind: str
) -> None:
    """An untrusted server receives no request, and no event is lost."""
    proxy: FaultProxy = secure_lab.proxy
    with secure_lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with proxy.with_handshake(wrong_handshake(kind, untrusted)):
            before, requests = proxy.connection_count, len(proxy.requests)
            job.open_gate()
            job.await_gate("phase 3")
            proxy.await_connections(2, since=before)
            assert len(proxy.requests) == requests
        job.open_gate()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    secure_lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("kind", WRONG)
def test_job_whose_backend_is_untrusted_runs_unchanged(
    secure_lab: Lab, undisturbed: Pictures, untrusted: Path, kind: str
) -> None:
    """Output and exit status are unchanged; a sync afterwards delivers all events."""
    with secure_lab.proxy.with_handshake(wrong_handshake(kind, untrusted)):
        with secure_lab.start(TRACKERAPI_SHUTDOWN_TIMEOUT=HOUR) as job:
            exit_seconds = job.run_through()
        assert not secure_lab.proxy.requests

    assert tuple(job.printed) == PRINTED
    assert exit_seconds <= EXIT_SECONDS
    secure_lab.sync()
    secure_lab.assert_all_arrived(undisturbed)
