"""`trackerapi event`, with a real backend and without one."""

import uuid
from collections.abc import Mapping

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.leftovers import Machine
from tests.support.scripted_server import KEY
from trackerapi import JobConfigManager, TrackerApi
from trackerapi.cli.exit_statuses import FINE, USAGE
from trackerapi.models import JobEvent


@pytest.fixture
def job_id(machine: Machine) -> str:
    """Return the id of a job with two steps; set `TRACKERAPI_JOB` to the id."""
    made = str(uuid.uuid4())
    steps = [
        {"tag": "convert", "name": "Convert", "points": 3},
        {"tag": "send", "name": "Send", "points": 1},
    ]
    document = {"tag": made, "name": "Pictures", "step_configurations": steps}
    config = JobConfigManager(configs=[document]).get_job_config(made)
    with TrackerApi(machine.backend.api_key, machine.backend.base_url) as tracker:
        tracker.create_job(made, machine.backend.customer_id, made, config=config)
    machine.settings["TRACKERAPI_JOB"] = made
    return made


def newest(machine: Machine, job_id: str) -> JobEvent:
    """Return the newest event of a job, read from the backend."""
    return machine.events(job_id)[-1]


@pytest.mark.parametrize(
    ("arguments", "members"),
    [
        (["start", "--step", "convert"], {"kind": "start", "tag": "convert"}),
        (
            ["progress", "--step", "convert", "--completed", "40", "--total", "120"],
            {"kind": "progress", "completed": 40, "total": 120},
        ),
        (
            ["progress", "--step", "convert", "--completed", "0"],
            {"completed": 0, "total": None},
        ),
        (["progress", "--step", "convert", "--fraction", "0.5"], {"fraction": 0.5}),
        (["step", "--step", "convert"], {"kind": "step", "tag": "convert"}),
        (
            ["skip", "--step", "send", "--message", "Nobody asked"],
            {"kind": "skip", "message": "Nobody asked"},
        ),
        (
            ["error", "--step", "send", "--retrying", "--detail", "no route"],
            {"kind": "error", "retrying": True, "detail": "no route", "message": None},
        ),
        (
            ["progress", "--step", "send", "--completed", "9", "--failed", "2"],
            {"completed": 9, "failed": 2},
        ),
        (
            ["error", "--step", "send", "--retrying", "--max-attempts", "5"],
            {"retrying": True, "max_attempts": 5},
        ),
        (["info", "--message", "Hello"], {"kind": "info", "tag": None}),
        (["heartbeat"], {"kind": "heartbeat"}),
        (["weighed"], {"kind": "weighed"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_event_arrives_as_it_was_given(
    machine: Machine, job_id: str, arguments: list[str], members: Mapping[str, object]
) -> None:
    """Each option sets one member of the stored event; the command prints nothing."""
    done = machine.run("event", *arguments)

    assert (done.status, done.out, done.err) == (FINE, "", "")
    event = newest(machine, job_id)
    assert {name: getattr(event, name) for name in members} == members


def test_events_change_the_percentage(machine: Machine, job_id: str) -> None:
    """Progress and done events of a step change the percentage of the job."""
    machine.run("event", "progress", "--step", "convert", "--completed=1", "--total=2")
    assert machine.get_job(job_id).percent == 37.5
    machine.run("event", "step", "--step", "convert")
    assert machine.get_job(job_id).percent == 75.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3.5", -3.5),
        ("1e3", 1000.0),
        ("true", True),
        ("false", False),
        ("007", "007"),
        ("True", "True"),
        ("null", "null"),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("12345678901234567890", "12345678901234567890"),
        ("a=b", "a=b"),
        ("", ""),
        ("four words of text", "four words of text"),
    ],
)
def test_metadata_keeps_its_type(
    machine: Machine, job_id: str, text: str, value: object
) -> None:
    """Numbers, `true` and `false` are stored with their type, other values as text."""
    machine.run("event", "info", "--metadata", f"key={text}")

    metadata = newest(machine, job_id).event_metadata
    assert metadata == {"key": value}
    assert type(metadata["key"]) is type(value)


def test_metadata_comes_from_pairs_and_an_object(machine: Machine, job_id: str) -> None:
    """`--metadata` overrides the same key in `--metadata-json`."""
    arguments = ["--metadata-json", '{"a": 1, "b": [true, null]}', "--metadata", "a=2"]

    machine.run("event", "info", *arguments, "--metadata", "c=3")

    assert newest(machine, job_id).event_metadata == {"a": 2, "b": [True, None], "c": 3}


def test_detail_can_come_from_stdin(machine: Machine, job_id: str) -> None:
    """With `--detail -`, the detail is read from standard input."""
    done = machine.spawn("event", "info", "--detail", "-", stdin="two\nlines\n")

    assert done.status == FINE
    assert newest(machine, job_id).detail == "two\nlines"


def test_parts_of_a_step_add_up(machine: Machine, job_id: str) -> None:
    """Counts of two parts add up; a new count of part `a` replaces its old count."""
    for part, count in (("a", 3), ("b", 4), ("a", 5)):
        units = ["--completed", str(count), "--total", "20", "--part", part]
        assert (
            machine.run("event", "progress", "--step", "convert", *units).status == FINE
        )

    step = machine.get_job(job_id).steps[0]
    assert (step.completed, step.total) == (9, 20)


def test_interruption_by_hand_pauses_the_job(machine: Machine, job_id: str) -> None:
    """After `event interrupt`, the status of the job is "interrupted"."""
    assert machine.run("event", "start", "--step", "convert").status == FINE

    assert machine.run("event", "interrupt").status == FINE

    assert machine.get_job(job_id).status == "interrupted"


def test_complete_of_the_last_step_counts_as_step(
    machine: Machine, job_id: str
) -> None:
    """`event complete --step` sets the step to done and prints no warning."""
    done = machine.run("event", "complete", "--step", "convert")

    assert (done.status, done.err) == (FINE, "")
    assert machine.get_job(job_id).steps[0].status == "done"


def test_misspelt_kind_is_warned_about_and_sent(machine: Machine, job_id: str) -> None:
    """A misspelt kind is stored unchanged, and a warning names the nearest kind."""
    done = machine.run("event", "stepp", "--step", "convert")

    assert done.status == FINE
    assert "did you mean 'step'?" in done.err
    assert newest(machine, job_id).kind == "stepp"


def test_events_of_an_outage_keep_their_order(
    machine: Machine, job_id: str, proxy: FaultProxy
) -> None:
    """Events recorded during an outage are delivered in order by a later `sync`."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    with proxy.down():
        for number in range(3):
            done = machine.run("event", "info", "--message", f"line {number}")
            assert done.status == FINE
            assert "not delivered yet: 1 record stays in" in done.err

    assert machine.run("sync").status == FINE
    assert machine.messages(job_id) == ["line 0", "line 1", "line 2"]


def test_event_with_a_wrong_key_stays_undelivered(
    machine: Machine, job_id: str
) -> None:
    """With a rejected key, the event stays undelivered and the exit status is 0."""
    done = machine.run("event", "info", TRACKERAPI_API_KEY=KEY)

    assert done.status == FINE
    assert "refused the API key" in done.err
    assert [file["waiting"] for file in machine.files] == [1]


def test_event_of_an_unknown_job_is_deferred(machine: Machine) -> None:
    """An event of an unknown job ends with status 0: the job may be created later."""
    done = machine.run("event", "info", "--job", str(uuid.uuid4()))

    assert done.status == FINE


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "KIND"),
        (["step"], "'step' is about a step; name it by --step"),
        (["progress", "--fraction", "0.5"], "name it by --step"),
        (["error", "--retrying"], "name it by --step"),
        (["cancel", "--step", "a"], "'cancel' is about the job; leave out --step"),
        (
            ["interrupt", "--step", "a"],
            "'interrupt' is about the job; leave out --step",
        ),
        (
            ["progress", "--step", "a", "--fraction", "1", "--completed", "2"],
            "not both",
        ),
        (["progress", "--step", "a", "--fraction", "1.5"], "fraction must be 0 to 1"),
        (
            ["progress", "--step", "a", "--completed", "-1"],
            "completed must be 0",
        ),
        (["progress", "--step", "a", "--completed", "x"], "not a number: 'x'"),
        (["progress", "--step", "a", "--failed", "-1"], "failed must be 0"),
        (
            ["error", "--step", "a", "--retrying", "--max-attempts", "0"],
            "not a whole number above 0: '0'",
        ),
        (
            ["error", "--step", "a", "--retrying", f"--max-attempts={10**20}"],
            f"max_attempts must be at most 9,007,199,254,740,991, got {10**20}",
        ),
        (["info", "--metadata", "=x"], "not KEY=VALUE: '=x'"),
        (["info", "--metadata-json", "{"], "not an object in JSON: '{'"),
        (["info", "--step", "a\nb"], "tag must not be blank or contain control"),
        (["i" * 101], "kind must have 1 to 100 characters"),
    ],
)
def test_wrong_usage_ends_with_status_two(
    machine: Machine, job_id: str, arguments: list[str], reason: str
) -> None:
    """A usage error ends with status 2, prints the reason and records nothing."""
    done = machine.run("event", *arguments)

    assert done.status == USAGE
    assert reason in done.err.splitlines()[-1]
    assert machine.paths == []


def test_event_without_a_job_names_the_variable(machine: Machine) -> None:
    """Without a job, the error names `--job` and `TRACKERAPI_JOB`."""
    done = machine.run("event", "info")

    assert done.status == USAGE
    assert done.err == (
        "trackerapi: TRACKERAPI_JOB: no job; pass --job, or set this variable\n"
    )
