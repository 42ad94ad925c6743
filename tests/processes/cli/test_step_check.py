"""Warnings of commands about steps that the job's configuration does not have."""

import threading
import uuid

import pytest

from tests.support.leftovers import PATIENCE_SECONDS, Machine
from tests.support.scripted_server import KEY, OWNER, Request, answering, http
from trackerapi import JobConfigManager, TrackerApi
from trackerapi.cli.exit_statuses import FINE

WARNING = (
    "trackerapi: job {tag!r} has no step 'say_helo' (did you mean 'say_hello'?). "
    "Recorded as is; it does not change the progress\n"
)


@pytest.fixture
def tag() -> str:
    """Return the tag of a new configuration."""
    return f"greeting-{uuid.uuid4()}"


@pytest.fixture
def job_id(machine: Machine, tag: str) -> str:
    """Create a job with the steps `say_hello` and `say_bye`; return its id."""
    steps = [
        {"tag": "say_hello", "name": "Say Hello", "points": 1},
        {"tag": "say_bye", "name": "Say Bye", "points": 1},
    ]
    document = {"tag": tag, "name": "Greeting", "step_configurations": steps}
    config = JobConfigManager(configs=[document]).get_job_config(tag)
    made = str(uuid.uuid4())
    with TrackerApi(
        machine.backend.api_key, machine.backend.base_url, outbox=machine.outbox / "own"
    ) as tracker:
        tracker.create_job(made, machine.backend.customer_id, tag, config=config)
    return made


PATIENT = {"TRACKERAPI_SHUTDOWN_TIMEOUT": "60"}
"""Time limit for delivery and check: on a busy machine the default is too short."""

COMMANDS = {
    "event": ["event", "step", "--step", "{step}", "--job", "{job}"],
    "progress": [
        *("event", "progress", "--step", "{step}", "--fraction", "0.5"),
        *("--job", "{job}"),
    ],
    "track": ["track", "--step", "{step}", "--job", "{job}"],
    "run": ["run", "--step", "{step}", "--job", "{job}", "--", "true"],
}


def command(name: str, step: str, job_id: str) -> list[str]:
    """Return the command line `COMMANDS[name]` for this step and job."""
    return [word.format(step=step, job=job_id) for word in COMMANDS[name]]


@pytest.mark.parametrize("name", COMMANDS)
def test_misspelt_step_is_warned_about_and_sent(
    machine: Machine, job_id: str, tag: str, name: str
) -> None:
    """An unknown step is recorded as is, and one warning names the nearest step."""
    done = machine.spawn(*command(name, "say_helo", job_id), **PATIENT)

    assert (done.status, done.out) == (FINE, "")
    assert done.err == WARNING.format(tag=tag)
    assert {event.tag for event in machine.events(job_id)} == {"say_helo"}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("step", ["say_hello", "Say Hello"])
def test_known_step_prints_nothing(
    machine: Machine, job_id: str, name: str, step: str
) -> None:
    """The tag and the display name of a step are accepted without a warning."""
    done = machine.spawn(*command(name, step, job_id), **PATIENT)

    assert (done.status, done.out, done.err) == (FINE, "", "")
    assert {event.tag for event in machine.events(job_id)} == {"say_hello"}


def test_step_without_a_near_one_has_no_hint(
    machine: Machine, job_id: str, tag: str
) -> None:
    """The warning about an unknown step has no hint if no step has a similar name."""
    done = machine.run("event", "step", "--step", "xyz", "--job", job_id, **PATIENT)

    assert done.status == FINE
    assert done.err.startswith(f"trackerapi: job {tag!r} has no step 'xyz'. ")


def test_job_without_steps_accepts_any(machine: Machine) -> None:
    """A job without a configuration accepts any step without a warning."""
    customer = str(machine.backend.customer_id)
    made = machine.run("job", "start", "import", "--customer", customer).out.strip()

    done = machine.run("event", "step", "--step", "anything", "--job", made, **PATIENT)

    assert (done.status, done.err) == (FINE, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_unanswered_check_prints_no_warning(
    machine: Machine, job_id: str, name: str
) -> None:
    """Without the `read` scope or in offline mode, steps are not checked."""
    with TrackerApi(machine.backend.api_key, machine.backend.base_url) as tracker:
        key = tracker.admin.create_api_key("reports", scopes=["ingest"]).api_key

    done = machine.spawn(
        *command(name, "say_helo", job_id), TRACKERAPI_API_KEY=key, **PATIENT
    )
    off = machine.spawn(*command(name, "say_helo", job_id), TRACKERAPI_MODE="offline")

    assert (done.status, done.out, done.err) == (FINE, "", "")
    assert (off.status, off.out, off.err) == (FINE, "", "")


def test_check_does_not_wait_longer_than_delivery(machine: Machine) -> None:
    """The command ends although the request for the steps is never answered."""
    release, asked = threading.Event(), threading.Event()

    def reply(request: Request) -> bytes:
        if request.method == "POST":
            return http(200, {"accepted": 1, "duplicates": 0, "rejected": []})
        if request.target.startswith("/api-keys"):
            return http(200, OWNER)
        asked.set()
        release.wait(PATIENCE_SECONDS)
        return http(503, b"")

    with answering(reply) as server:
        settings = {"TRACKERAPI_BASE_URL": server.url, "TRACKERAPI_API_KEY": KEY}
        done = machine.spawn(*command("event", "say_helo", "a job"), **settings)
        release.set()

    assert (done.status, done.out, done.err) == (FINE, "", "")
    assert asked.is_set()
