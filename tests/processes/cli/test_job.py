"""`trackerapi job start`, `finish`, `fail`, `cancel` and `token`."""

import json
import os
import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.faults import black_hole, key_refused
from tests.support.leftovers import UNKNOWN_CUSTOMER, Machine
from tests.support.scripted_server import KEY, NOWHERE
from trackerapi import TrackerApi
from trackerapi.arguments import MAX_DETAIL_LENGTH
from trackerapi.cli.exit_statuses import (
    FINE,
    HELD,
    KEY_REFUSED,
    REFUSED,
    UNPRINTED,
    USAGE,
)
from trackerapi.jobs.endings import JOB_FAILED
from trackerapi.settings.job_token import JobToken


@pytest.fixture
def job_id(machine: Machine) -> str:
    """Start a job with tag `import`; return its id."""
    return start(machine)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """Return a file with one configuration of two steps and a unique tag."""
    tag = f"pictures-{uuid.uuid4()}"
    steps = [
        {"tag": "convert", "name": "Convert them", "points": 3},
        {"tag": "send", "name": "Send them", "points": 1},
    ]
    config = {"tag": tag, "name": f"Pictures {tag}", "step_configurations": steps}
    path = tmp_path / "job_configurations.json"
    path.write_text(json.dumps({"job_configs": [config]}))
    return path


def tag_in(config_file: Path) -> str:
    """Return the tag of the only configuration of a file."""
    tag: str = json.loads(config_file.read_text())["job_configs"][0]["tag"]
    return tag


def start(
    machine: Machine, *arguments: str, tag: str = "import", **settings: str
) -> str:
    """Start a job for the customer of the backend; return the printed id."""
    customer = str(machine.backend.customer_id)
    done = machine.run(
        "job", "start", tag, "--customer", customer, *arguments, **settings
    )
    assert done.status == FINE, done.err
    return done.out.removesuffix("\n")


def kinds_of(machine: Machine, job_id: str) -> list[str]:
    """Return the kinds of the job's events, sorted by `occurred_at`."""
    events = sorted(machine.events(job_id), key=lambda event: event.occurred_at)
    return [event.kind for event in events]


def test_start_creates_a_running_job_and_prints_its_id(machine: Machine) -> None:
    """`job start` prints only the id; the job is running, with an explicit finish."""
    job_id = str(uuid.uuid4())

    assert start(machine, "--id", job_id) == job_id
    job = machine.get_job(job_id)
    assert (job.tag, job.customer_id) == ("import", machine.backend.customer_id)
    assert (job.status, job.finish) == ("running", "explicit")


def test_start_of_a_known_job_continues_it(machine: Machine, job_id: str) -> None:
    """A second start with the same id adds a `start` event to the same job."""
    before = machine.get_job(job_id)

    assert start(machine, "--id", job_id) == job_id
    after = machine.get_job(job_id)
    assert (after.id, after.status) == (before.id, "running")
    assert kinds_of(machine, job_id) == ["start", "start"]


def test_start_without_an_id_makes_one(machine: Machine) -> None:
    """Two starts without `--id` create two jobs with UUIDs as ids."""
    first, second = start(machine), start(machine)

    assert first != second
    assert str(uuid.UUID(first)) == first


def test_start_takes_steps_from_a_configuration_file(
    machine: Machine, config_file: Path
) -> None:
    """`job start --config` registers the configuration; its name is accepted as tag."""
    tag = tag_in(config_file)

    job_id = start(machine, "--config", str(config_file), tag=f"Pictures {tag}")

    job = machine.get_job(job_id)
    assert job.tag == tag
    assert [step.tag for step in job.steps] == ["convert", "send"]
    assert job.percent == 0


def test_start_with_finish_auto_succeeds_with_the_last_step(
    machine: Machine, config_file: Path
) -> None:
    """With `--finish auto`, the job succeeds when all steps are done."""
    tag = tag_in(config_file)
    job_id = start(machine, "--config", str(config_file), "--finish", "auto", tag=tag)

    for step in ("convert", "send"):
        assert (
            machine.run("event", "step", "--step", step, "--job", job_id).status == FINE
        )

    assert machine.get_job(job_id).status == "succeeded"


def test_start_keeps_metadata_with_its_types(machine: Machine) -> None:
    """Metadata keeps numbers and booleans; `--metadata` overrides `--metadata-json`."""
    pairs = ["--metadata", "size=3", "--metadata", "dry=true", "--metadata", "of=a=b"]

    job_id = start(machine, *pairs, "--metadata-json", '{"size": 1, "list": [1]}')

    metadata = machine.get_job(job_id).metadata
    assert metadata == {"size": 3, "dry": True, "of": "a=b", "list": [1]}


def test_start_names_the_job_for_the_customer(machine: Machine) -> None:
    """`--title` and `--reference` are stored, and `job show` prints both."""
    job_id = start(machine, "--title", "Brain MRI, 12 May", "--reference", "MR-7")

    job = machine.get_job(job_id)
    assert (job.title, job.reference) == ("Brain MRI, 12 May", "MR-7")
    shown = machine.run("job", "show", job_id).out
    assert "  title     Brain MRI, 12 May\n  reference MR-7\n" in shown


def test_finish_with_remarks_succeeds(machine: Machine, job_id: str) -> None:
    """`job finish --remarks` ends the job as succeeded; the remarks are its message."""
    done = machine.run("job", "finish", "--remarks", "3 left out", "--job", job_id)

    assert (done.status, done.out, done.err) == (FINE, "", "")
    assert machine.get_job(job_id).status == "succeeded"
    assert machine.messages(job_id)[-1] == "3 left out"


def test_cancel_has_a_reason(machine: Machine, job_id: str) -> None:
    """`job cancel` sets the status to "cancelled" and the reason as message."""
    machine.run("job", "cancel", "--reason", "ordered twice", "--job", job_id)

    assert machine.get_job(job_id).status == "cancelled"
    assert machine.messages(job_id)[-1] == "ordered twice"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], JOB_FAILED),
        (["--customer-text", "Two are broken."], "Two are broken."),
        (["--customer", "Two are broken."], "Two are broken."),
    ],
)
def test_fail_keeps_two_texts_apart(
    machine: Machine, job_id: str, arguments: list[str], message: str
) -> None:
    """The message is neutral or from `--customer-text`; the detail is separate."""
    machine.run("job", "fail", *arguments, "--detail", "line 12: no", "--job", job_id)

    assert machine.get_job(job_id).status == "failed"
    failure = machine.events(job_id)[-1]
    assert (failure.message, failure.detail) == (message, "line 12: no")


def test_fail_takes_the_end_of_a_log_from_stdin(machine: Machine, job_id: str) -> None:
    """A long detail keeps its begin and end, at the maximum length."""
    log = "begin\n" + "x" * 500_000 + "\nthe reason\n"

    done = machine.spawn("job", "fail", "--detail", "-", "--job", job_id, stdin=log)

    assert (done.status, done.err) == (FINE, "")
    detail = machine.events(job_id)[-1].detail or ""
    assert detail.startswith("begin\n")
    assert detail.endswith("\nthe reason")
    assert len(detail) == MAX_DETAIL_LENGTH


def test_job_is_found_by_the_variable(machine: Machine, job_id: str) -> None:
    """`job finish` without `--job` ends the job in `TRACKERAPI_JOB`."""
    assert machine.run("job", "finish", TRACKERAPI_JOB=job_id).status == FINE
    assert machine.get_job(job_id).status == "succeeded"


@pytest.mark.parametrize("source", ["variable", "option"])
def test_token_is_job_and_key_in_one(
    machine: Machine, job_id: str, source: str
) -> None:
    """A token replaces both the job id and the API key."""
    token = JobToken(machine.backend.api_key, job_id).as_text()
    arguments = ["--job", token] if source == "option" else []
    settings = {"TRACKERAPI_JOB": token} if source == "variable" else {}

    done = machine.run("job", "finish", *arguments, TRACKERAPI_API_KEY="", **settings)

    assert (done.status, done.err) == (FINE, "")
    assert machine.get_job(job_id).status == "succeeded"


def test_token_reports_to_its_job_only(machine: Machine, job_id: str) -> None:
    """The printed token reports to its job and is refused for another job."""
    made = machine.run("job", "token", "--job", job_id)
    assert (made.status, made.err) == (FINE, "")
    token_settings = {"TRACKERAPI_API_KEY": "", "TRACKERAPI_JOB": made.out.strip()}

    assert (
        machine.run("event", "info", "--message", "there", **token_settings).status
        == FINE
    )
    assert machine.messages(job_id)[-1] == "there"
    assert (
        machine.run("job", "show", start(machine), **token_settings).status == REFUSED
    )
    assert machine.run("job", "token", **token_settings).status == KEY_REFUSED


def test_token_expires_on_time(machine: Machine, job_id: str) -> None:
    """A token with a future expiry is valid; an expiry in the past is refused."""
    ends = ("job", "token", "--job", job_id, "--expires-at")
    soon = (datetime.now(UTC) + timedelta(days=300)).isoformat()
    made = machine.run(*ends, soon)
    token_settings = {"TRACKERAPI_API_KEY": "", "TRACKERAPI_JOB": made.out.strip()}
    late = machine.run(*ends, "2020-01-01T00:00:00Z")

    assert machine.run("verify", **token_settings).status == FINE
    assert (late.status, late.out) == (REFUSED, "")
    assert "/expires_at lies in the past" in late.err


def test_token_of_an_unknown_job_is_refused(machine: Machine) -> None:
    """A token for an unknown job ends with status 4 and names the job."""
    done = machine.run("job", "token", "--job", "no such job")

    assert done.status == REFUSED
    assert done.err == "trackerapi: this provider has no job 'no such job'\n"


def test_torn_token_is_refused_and_shown_nowhere(machine: Machine) -> None:
    """A truncated token ends with status 2 and is neither printed nor recorded."""
    torn = JobToken(machine.backend.api_key, "a job").as_text()[:-3]

    done = machine.run("job", "finish", TRACKERAPI_JOB=torn)

    assert done.status == USAGE
    assert done.err.startswith("trackerapi: TRACKERAPI_JOB: the token of the job")
    assert not machine.outbox.exists()


def test_start_without_a_backend_prints_the_id(
    machine: Machine, proxy: FaultProxy
) -> None:
    """`job start` prints an id during an outage; `sync` later delivers the records."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    with proxy.down():
        job_id = start(machine)
        assert machine.run("job", "finish", "--job", job_id).status == FINE

    assert machine.run("sync").status == FINE
    assert machine.get_job(job_id).status == "succeeded"
    assert kinds_of(machine, job_id) == ["start", "complete"]


def test_next_command_delivers_earlier_records(
    machine: Machine, proxy: FaultProxy
) -> None:
    """The first command after an outage delivers records of earlier commands."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    with proxy.down():
        job_id = start(machine)

    machine.run("job", "finish", "--job", job_id)

    assert kinds_of(machine, job_id) == ["start", "complete"]


def test_silent_backend_blocks_no_command_for_long(
    machine: Machine, proxy: FaultProxy
) -> None:
    """`TRACKERAPI_SHUTDOWN_TIMEOUT` limits the wait for a silent backend."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    machine.settings["TRACKERAPI_SHUTDOWN_TIMEOUT"] = "0.2"
    customer = str(machine.backend.customer_id)
    with proxy.failing(black_hole):
        begun = machine.spawn("job", "start", "import", "--customer", customer)
        job_id = begun.out.strip()
        ended = machine.spawn("job", "fail", "--job", job_id)

    assert (begun.status, ended.status) == (FINE, FINE)
    assert machine.run("sync").status == FINE
    assert machine.get_job(job_id).status == "failed"


def test_rejected_key_is_a_warning(machine: Machine, proxy: FaultProxy) -> None:
    """After an answer 401, commands warn and end with 0; `sync` delivers later."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    customer = str(machine.backend.customer_id)
    with proxy.failing(key_refused):
        begun = machine.run("job", "start", "import", "--customer", customer)
        job_id = begun.out.strip()
        ended = machine.run("job", "finish", "--job", job_id)

    assert (begun.status, ended.status) == (FINE, FINE)
    for done in (begun, ended):
        assert "refused the API key" in done.err
    assert machine.run("sync").status == FINE
    assert machine.get_job(job_id).status == "succeeded"


def test_unknown_key_is_a_warning(machine: Machine) -> None:
    """Commands with an unknown key warn and end with status 0."""
    job_id = start(machine, TRACKERAPI_API_KEY=KEY)
    done = machine.run("job", "finish", "--job", job_id, TRACKERAPI_API_KEY=KEY)

    assert done.status == FINE
    assert "refused the API key" in done.err


def test_rejected_job_is_held_with_a_warning(machine: Machine) -> None:
    """For an unknown customer, `job start` warns and prints the retry command."""
    customer = str(UNKNOWN_CUSTOMER)

    done = machine.run(
        "job", "start", "import", "--customer", customer, "--id", "refused"
    )

    assert (done.status, done.out) == (FINE, "refused\n")
    assert "trackerapi outbox retry --job 'refused'" in done.err
    assert machine.run("sync").status == HELD


def test_unwritable_outbox_is_a_warning(machine: Machine, tmp_path: Path) -> None:
    """If the outbox cannot be written, records are delivered from memory."""
    (tmp_path / "file").write_bytes(b"")
    nowhere = {"TRACKERAPI_OUTBOX": str(tmp_path / "file" / "outbox")}

    job_id = start(machine, **nowhere)
    done = machine.run("job", "finish", "--job", job_id, **nowhere)

    assert done.status == FINE
    assert machine.get_job(job_id).status == "succeeded"


def test_lost_records_are_a_warning(machine: Machine, tmp_path: Path) -> None:
    """Without outbox and backend, a warning counts the lost record; the status is 0."""
    (tmp_path / "file").write_bytes(b"")
    outbox = str(tmp_path / "file" / "outbox")

    done = machine.run(
        *("job", "finish", "--job", "a job"),
        TRACKERAPI_OUTBOX=outbox,
        TRACKERAPI_BASE_URL=NOWHERE,
    )

    assert done.status == FINE
    assert "1 record was lost: the outbox could not be written (" in done.err


def test_no_wait_leaves_delivery_to_the_next_command(
    machine: Machine, proxy: FaultProxy
) -> None:
    """`--no-wait` sends no request; the next command delivers the records."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = start(machine, "--no-wait")
    done = machine.run("job", "fail", "--no-wait", "--job", job_id)

    assert (done.status, done.err) == (FINE, "")
    assert proxy.connection_count == 0
    assert machine.run("event", "info", "--job", job_id).status == FINE
    assert kinds_of(machine, job_id) == ["start", "error", "info"]


def test_strict_setting_makes_no_command_fail(machine: Machine) -> None:
    """Commands ignore `TRACKERAPI_STRICT`: a rejected key still ends with status 0."""
    settings = {"TRACKERAPI_STRICT": "1", "TRACKERAPI_API_KEY": KEY}

    assert start(machine, "--id", "a job", **settings) == "a job"


def test_commands_do_nothing_where_tracking_is_off(machine: Machine) -> None:
    """With `TRACKERAPI_MODE=off`, `job start` only prints the id, without an outbox."""
    off = {
        "TRACKERAPI_MODE": "off",
        "TRACKERAPI_BASE_URL": "",
        "TRACKERAPI_API_KEY": "",
    }

    assert start(machine, "--id", "a job", "--no-wait", **off) == "a job"
    done = machine.run("job", "finish", "--job", "a job", **off)
    assert (done.status, done.err) == (FINE, "")
    assert not machine.outbox.exists()


def test_closed_stdout_and_stderr_do_no_harm(machine: Machine, job_id: str) -> None:
    """A command reports although stdin, stdout and stderr are closed."""
    command = machine.command("job", "finish", "--job", job_id)

    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command],
        env=machine.environment(),
        check=False,
    )

    assert done.returncode == FINE
    assert machine.get_job(job_id).status == "succeeded"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["start", "import"], "--customer"),
        (["start", "import", "--customer", "0"], "not the id of a customer: '0'"),
        (["start", "import", "--customer", "1", "--id", ""], "--id: must not be blank"),
        (["start", "import", "--customer", "1", "--title", " "], "--title: must not"),
        (["start", "import", "--customer", "1", "--title", "a\nb"], "title must not"),
        (["start", "import", "--customer", "1", "--reference", "x" * 101], "100"),
        (["start", "import", "--customer", "1", "--metadata", "x"], "not KEY=VALUE"),
        (["start", "import", "--customer", "1", "--metadata-json", "[]"], "object"),
        (["start", "import", "--customer", "1", "--config", "/no"], "/no"),
        (["finish"], "TRACKERAPI_JOB: no job; pass --job, or set this variable"),
        (["finish", "--job", "a\nb"], "control"),
        (["fail", "--outbox"], "--outbox"),
        (["token"], "TRACKERAPI_JOB: no job; pass --job, or set this variable"),
        (["token", "--job", "x", "--expires-at", "soon"], "not a time"),
        (["cancel", "--job", "a job", "--base-url", "ftp://x"], "base_url"),
    ],
)
def test_wrong_usage_is_one_line_and_status_two(
    machine: Machine, arguments: list[str], reason: str
) -> None:
    """A usage error ends with status 2, prints the reason and creates no outbox."""
    done = machine.run("job", *arguments)

    assert done.status == USAGE
    assert done.out == ""
    assert reason in done.err.splitlines()[-1]
    assert not machine.outbox.exists()


def test_start_names_the_nearest_tag_of_the_file(
    machine: Machine, config_file: Path
) -> None:
    """A misspelt tag ends with status 2; the message names the nearest tag."""
    tag = tag_in(config_file)

    done = machine.run(
        *("job", "start", tag[:-1], "--customer", "142", "--config", str(config_file))
    )

    assert done.status == USAGE
    assert f"did you mean {tag!r}?" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("missing", ["TRACKERAPI_BASE_URL", "TRACKERAPI_API_KEY"])
def test_missing_setting_is_one_line_and_status_two(
    machine: Machine, missing: str
) -> None:
    """A missing setting ends with status 2 and one line that names the variable."""
    done = machine.run("job", "finish", "--job", "a job", **{missing: ""})

    assert done.status == USAGE
    assert done.err.startswith(f"trackerapi: {missing}: no ")
    assert done.err.count("\n") == 1


def test_script_holds_the_id_as_the_help_prints_it(machine: Machine) -> None:
    """The example `export TRACKERAPI_JOB=$(trackerapi job start ...)` works."""
    script = (
        'export TRACKERAPI_JOB=$("$@" job start import --customer 142 --id "$ID")\n'
        '"$@" job finish\n'
    )
    job_id = str(uuid.uuid4())

    subprocess.run(
        ["sh", "-euc", script, "sh", *machine.command()],
        env={**machine.environment(), "ID": job_id, "PATH": os.environ["PATH"]},
        check=True,
    )

    assert machine.get_job(job_id).status == "succeeded"


def test_ascii_output_escapes_texts(machine: Machine) -> None:
    """With ASCII output, an id is printed as UTF-8, and other texts are escaped."""
    given = f"jöb-{uuid.uuid4()}"

    def answer(*arguments: str) -> str:
        return subprocess.run(
            machine.command("job", *arguments),
            env={**machine.environment(), "PYTHONIOENCODING": "ascii"},
            check=True,
            capture_output=True,
            encoding="utf-8",
        ).stdout

    customer = str(machine.backend.customer_id)
    printed = answer("start", "import", "--customer", customer, "--id", given)
    assert printed == f"{given}\n"
    assert given.replace("ö", "\\xf6") in answer("show", given)
    assert json.loads(answer("show", given, "--json"))["provider_job_id"] == given


@pytest.mark.parametrize("output", [">/dev/full", ">&-", "broken pipe"])
@pytest.mark.parametrize("command", ["token", "link"])
def test_unprinted_secret_is_an_error(
    machine: Machine, job_id: str, command: str, output: str
) -> None:
    """An unprinted token or link ends with status 1; the token is revoked."""
    reading, writing = os.pipe()
    os.close(reading)
    redirection = output if output.startswith(">") else ""
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh"]

    done = subprocess.run(
        [*shell, *machine.command("job", command, "--job", job_id)],
        env=machine.environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)

    assert done.returncode == UNPRINTED
    [line] = done.stderr.splitlines()
    assert f"the {command}" in line
    key, url = machine.backend.api_key, machine.backend.base_url
    with TrackerApi(key, url, mode="offline") as tracker:
        now = datetime.now(UTC)
        tokens = [each for each in tracker.admin.list_api_keys() if each.job_id]
        mine = [t for t in tokens if t.job_id == tracker.get_job(job_id).id]
    assert all(each.expires_at and each.expires_at <= now for each in mine)
    if command == "token" and output != ">&-":
        assert len(mine) == 1
        assert "it was ended" in line
