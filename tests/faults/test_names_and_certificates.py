"""Names that nobody knows and certificates that nobody trusts cost no event."""

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy, Welcome
from tests.support.faults import by_tls, in_garbage
from tests.support.preludes.names import NAME, SERVER, NameServer
from tests.support.proof_runs import (
    EXIT_SECONDS,
    FLUSHED,
    HOUR,
    PRINTED,
    Lab,
    Pictures,
    missing,
)


@pytest.fixture
def named_lab(lab: Lab) -> Lab:
    """Return a lab whose job knows the proxy by a name that is looked up."""
    lab.base_url = f"http://{NAME}:{lab.proxy.port}"
    lab.prelude = "tests.support.preludes.names"
    return lab


def test_events_arrive_once_after_the_name_was_unknown_in_mid_run(
    named_lab: Lab, undisturbed: Pictures
) -> None:
    """A name that is not found for a while costs no event."""
    with NameServer(knows=True) as names:
        named_lab.settings[SERVER] = str(names.port)
        with named_lab.start("--flush", "30") as job:
            job.pass_gate("phase 1")
            job.await_gate("phase 2")
            # A connection that is only just being opened would outlive the hanging up.
            named_lab.await_delivered()
            names.knows = False
            named_lab.proxy.hang_up()
            job.let_on()
            job.await_gate("phase 3")
            names.await_questions(4)
            names.knows = True
            job.let_on()
            job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    named_lab.assert_all_arrived(undisturbed)


def test_job_whose_backend_has_an_unknown_name_is_the_same_job(
    named_lab: Lab, undisturbed: Pictures
) -> None:
    """Output and status are unchanged, the exit waits not, a later sync brings all."""
    with NameServer(knows=False) as names:
        named_lab.settings[SERVER] = str(names.port)
        with named_lab.start(TRACKERAPI_SHUTDOWN_TIMEOUT=HOUR) as job:
            exit_seconds = job.run_through()
        assert tuple(job.printed) == PRINTED
        assert exit_seconds <= EXIT_SECONDS
        names.knows = True
        named_lab.sync()

    named_lab.assert_all_arrived(undisturbed)


@pytest.fixture(scope="module")
def certify(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Return what makes a certificate for this machine, in one file with its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("the program openssl, which makes certificates, is not here")

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
def trusted(certify: Callable[[], Path]) -> Path:
    """Make the certificate that jobs trust."""
    return certify()


@pytest.fixture(scope="module")
def strange(certify: Callable[[], Path]) -> Path:
    """Make a certificate that nobody trusts."""
    return certify()


@pytest.fixture
def secure_lab(lab: Lab, trusted: Path) -> Lab:
    """Return a lab whose job speaks TLS with the proxy."""
    lab.base_url = f"https://127.0.0.1:{lab.proxy.port}"
    lab.settings["TRACKERAPI_CA_FILE"] = str(trusted)
    lab.proxy.welcome = welcome_with(trusted)
    return lab


def welcome_with(certificate: Path) -> Welcome:
    """Return a welcome by TLS with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return by_tls(context)


def wrong_welcome(kind: str, strange: Path) -> Welcome:
    """Return a welcome that no client may accept."""
    return in_garbage if kind == "garbage" else welcome_with(strange)


WRONG = ("garbage", "self-signed")


@pytest.mark.parametrize("kind", WRONG)
def test_events_arrive_once_after_tls_failed_in_mid_run(
    secure_lab: Lab, undisturbed: Pictures, strange: Path, kind: str
) -> None:
    """Connections that cannot be trusted for a while cost no event, and get none."""
    proxy: FaultProxy = secure_lab.proxy
    with secure_lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with proxy.welcoming(wrong_welcome(kind, strange)):
            before, requests = proxy.connection_count, len(proxy.requests)
            job.let_on()
            job.await_gate("phase 3")
            proxy.await_connections(2, since=before)
            assert len(proxy.requests) == requests
        job.let_on()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    secure_lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("kind", WRONG)
def test_job_whose_backend_cannot_be_trusted_is_the_same_job(
    secure_lab: Lab, undisturbed: Pictures, strange: Path, kind: str
) -> None:
    """Output and status are unchanged, the exit waits not, a later sync brings all."""
    with secure_lab.proxy.welcoming(wrong_welcome(kind, strange)):
        with secure_lab.start(TRACKERAPI_SHUTDOWN_TIMEOUT=HOUR) as job:
            exit_seconds = job.run_through()
        assert not secure_lab.proxy.requests

    assert tuple(job.printed) == PRINTED
    assert exit_seconds <= EXIT_SECONDS
    secure_lab.sync()
    secure_lab.assert_all_arrived(undisturbed)
