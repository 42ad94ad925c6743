"""`trackerapi job show`, `job list` and `job link`, with a real backend."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.leftovers import PATIENCE_SECONDS, Machine
from tests.support.scripted_server import KEY, OWNER, Request, answering, http
from trackerapi import JobConfigManager, TrackerApi
from trackerapi.cli.exit_statuses import FINE, KEY_REFUSED, REFUSED, UNAVAILABLE, USAGE

STEPS = [
    {"tag": "load", "name": "Load it", "points": 1, "units": "files"},
    {"tag": "send", "name": "Send it", "points": 1},
]


def tracker_at(machine: Machine) -> TrackerApi:
    """Return a tracker for the backend of the machine, with a separate outbox."""
    return TrackerApi(
        machine.backend.api_key, machine.backend.base_url, outbox=machine.outbox / "own"
    )


def new_job(machine: Machine, *events: dict[str, Any], tag: str | None = None) -> str:
    """Create a job of two steps and report `events`; return the id of the job."""
    made, tag = str(uuid.uuid4()), tag or f"import-{uuid.uuid4()}"
    document = {"tag": tag, "name": "An import", "step_configurations": STEPS}
    config = JobConfigManager(configs=[document]).get_job_config(tag)
    with tracker_at(machine) as tracker:
        customer = machine.backend.customer_id
        job = tracker.create_job(made, customer, tag, config=config)
        for event in events:
            job.send_event(**event)
    return made


FAILURE = {
    "kind": "error",
    "name": "load",
    "message": "Two files cannot be opened.",
    "detail": "Traceback (most recent call last):\n\tFile \x1b]0;x\x07\nOSError",
}


def test_failed_job_shows_its_reason(machine: Machine) -> None:
    """A failed job shows message and detail of its newest final error."""
    older = {"kind": "error", "name": "load", "message": "Older."}
    again = {"kind": "start", "name": "load"}
    retried = {"kind": "error", "name": "load", "retrying": True, "message": "Not it."}
    job_id = new_job(machine, older, again, retried, again, FAILURE)

    done = machine.run("job", "show", job_id)

    assert (done.status, done.err) == (FINE, "")
    assert done.out.startswith("An import: failed, ")
    assert ", step Load it\n" in done.out
    assert "  the customer reads:\n    Two files cannot be opened.\n" in done.out
    assert "    Traceback (most recent call last):\n" in done.out
    assert done.out.endswith("\n    OSError\n")
    assert "Older." not in done.out + done.err
    assert "Not it." not in done.out
    assert "\x1b" not in done.out


@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        ("complete", "succeeded", "left out"),
        ("cancel", "cancelled", "not reached"),
        ("error", "failed", "not reached"),
        ("interrupt", "interrupted", "pending"),
    ],
)
def test_unreached_step_has_the_status_of_the_end(
    machine: Machine, end: str, status: str, words: str
) -> None:
    """The kind of end sets the label of an unreached step, such as "left out"."""
    job_id = new_job(machine, {"kind": "step", "name": "load"}, {"kind": end})

    shown = machine.run("job", "show", job_id).out

    assert shown.startswith(f"An import: {status}, ")
    assert f"[{words:>7}]  Send it\n" in shown


@pytest.mark.parametrize("stop", ["interrupt", "info"])
@pytest.mark.parametrize("end", ["complete", "error"])
def test_unfinished_step_reads_not_finished(
    machine: Machine, stop: str, end: str
) -> None:
    """An unfinished step of an ended job is shown as "not finished"."""
    begun = {"kind": "progress", "name": "load", "completed": 3, "total": 10}
    job_id = new_job(machine, begun, {"kind": stop}, {"kind": end})

    assert (
        "[not finished]  Load it  3 of 10 files\n"
        in machine.run("job", "show", job_id).out
    )


def test_large_numbers_of_a_step_are_shown_in_digits(machine: Machine) -> None:
    """Counts are printed in digits with commas: 1,500,000 of 2,000,000."""
    counted = {"kind": "progress", "name": "load"} | {
        "completed": 1_500_000,
        "total": 2_000_000,
    }
    shown = machine.run("job", "show", new_job(machine, counted)).out

    assert "Load it  1,500,000 of 2,000,000 files\n" in shown


def test_list_finds_interrupted_jobs(machine: Machine) -> None:
    """`job list --status interrupted` lists interrupted jobs only."""
    tag = f"import-{uuid.uuid4()}"
    job_id = new_job(machine, {"kind": "start"}, {"kind": "interrupt"}, tag=tag)
    new_job(machine, {"kind": "start"}, tag=tag)

    found = list_jobs(machine, "--tag", tag, "--status", "interrupted")

    assert [job["provider_job_id"] for job in found] == [job_id]


@pytest.mark.parametrize(
    ("event", "word"),
    [
        ({"kind": "cancel", "message": "Ordered twice."}, "cancelled"),
        ({"kind": "error", "detail": "Status 3."}, "failed"),
    ],
)
def test_reason_of_the_job_itself_is_shown(
    machine: Machine, event: dict[str, Any], word: str
) -> None:
    """`job show` prints the reason of a cancellation or a failure without a step."""
    done = machine.run("job", "show", new_job(machine, event))

    assert done.out.startswith(f"An import: {word}, ")
    assert (event.get("message") or event["detail"]) in done.out


def test_failure_without_a_reason_is_marked(machine: Machine) -> None:
    """If an error has neither message nor detail, the output says so."""
    done = machine.run("job", "show", new_job(machine, {"kind": "error"}))

    assert "no reason was reported" in done.out


def test_json_escapes_control_characters(machine: Machine) -> None:
    """Control characters in JSON are escaped; parsing returns the original text."""
    texts = "\x1b[2J \x9b2J \u202e \x7f ü\U0001f600"
    job_id = new_job(machine, {"kind": "error", "message": texts})

    done = machine.spawn("job", "show", job_id, "--json", PYTHONIOENCODING="utf-8")

    assert done.json["reason"]["message"] == texts
    assert all(c.isprintable() or c == "\n" for c in done.out)
    assert "ü\U0001f600" in done.out


def test_job_without_trouble_shows_no_reason(machine: Machine) -> None:
    """A job that runs again after an error is shown without the error."""
    job_id = new_job(machine, FAILURE, {"kind": "start", "name": "load"})

    done = machine.run("job", "show", job_id)

    assert done.out.startswith("An import: running")
    assert "Two files" not in done.out


def test_events_are_listed_in_order(machine: Machine) -> None:
    """`--events` prints one line per event: time, kind, step and texts."""
    progress = {"kind": "progress", "name": "load", "completed": 250340}
    job_id = new_job(machine, {"kind": "start", "name": "load"}, progress, FAILURE)

    done = machine.run("job", "show", job_id, "--events")

    heading, *lines = done.out[done.out.index("TIME ") :].splitlines()
    assert heading.split() == ["TIME", "KIND", "STEP", "WHAT", "WAS", "REPORTED"]
    assert [line.split()[3] for line in lines] == ["start", "progress", "error"]
    assert [line[27:].split()[1:3] for line in lines] == [["Load", "it"]] * 3
    assert lines[1].endswith("  250,340 files")
    assert "  Two files cannot be opened.; Traceback (most recent" in lines[2]


def test_metadata_of_events_is_listed(machine: Machine) -> None:
    """Metadata is printed as key=value; values other than text are JSON."""
    metadata = {"Message": "Hello", "Sizes": [1, 2.5], "Näme": None}
    job_id = new_job(machine, {"kind": "step", "name": "load", "metadata": metadata})

    done = machine.run("job", "show", job_id, "--events")

    assert done.out.endswith("  Message=Hello; Sizes=[1, 2.5]; Näme=null\n")


def test_statuses_of_steps_stand_in_one_column(machine: Machine) -> None:
    """All step statuses are right-aligned to the width of the longest status."""
    job_id = new_job(machine, {"kind": "step", "name": "load"}, {"kind": "cancel"})

    done = machine.run("job", "show", job_id)

    assert "  [       done]  Load it\n" in done.out
    assert "  [not reached]  Send it\n" in done.out


def test_blank_job_is_not_that_of_the_environment(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blank `--job` ends with status 2, although `TRACKERAPI_JOB` is set."""
    monkeypatch.setenv("TRACKERAPI_JOB", new_job(machine))

    done = machine.run("job", "link", "--job", " ")

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.endswith("error: argument --job: must not be blank\n")


@pytest.mark.parametrize("command", ["show", "list", "link"])
def test_help_lists_the_exit_statuses(machine: Machine, command: str) -> None:
    """The help lists each exit status of a read command."""
    done = machine.run("job", command, "--help")

    words = " ".join(done.out.split())
    assert "exit status: 0 done, 1 the backend was not reached" in words
    assert "3 the backend refused the key, 4 the backend refused the request" in words


def test_job_as_json_has_reason_and_events(machine: Machine) -> None:
    """JSON has the members of `Job` and the reason; `--events` adds the events."""
    job_id = new_job(machine, FAILURE)

    plain = machine.run("job", "show", job_id, "--json").json
    whole = machine.run("job", "show", job_id, "--json", "--events").json

    assert (plain["status"], plain["reason"]["detail"]) == ("failed", FAILURE["detail"])
    assert "events" not in plain
    assert [event["kind"] for event in whole["events"]] == ["error"]
    assert whole["events"][0] == whole["reason"]
    healthy = machine.run("job", "show", new_job(machine), "--json").json
    assert healthy["reason"] is None


@pytest.fixture
def tag(machine: Machine) -> str:
    """Create a pending, a running and a failed job; return their common tag."""
    made = f"import-{uuid.uuid4()}"
    for events in ([], [{"kind": "start"}], [{"kind": "error"}]):
        new_job(machine, *events, tag=made)
    return made


def list_jobs(machine: Machine, *arguments: str) -> list[dict[str, Any]]:
    """Return the parsed output of `job list --json`."""
    done = machine.run("job", "list", "--json", *arguments)
    assert (done.status, done.err) == (FINE, "")
    jobs: list[dict[str, Any]] = done.json
    return jobs


def test_list_is_narrowed_by_each_filter(machine: Machine, tag: str) -> None:
    """`job list` filters by tag, customer and statuses, with the newest job first."""
    jobs = list_jobs(machine, "--tag", tag)

    assert [job["status"] for job in jobs] == ["failed", "running", "pending"]
    assert list_jobs(machine, "--tag", tag, "--customer", "142") == jobs
    assert list_jobs(machine, "--tag", tag, "--status", "running") == jobs[1:2]
    either = ("--status", "failed", "--status", "pending")
    assert list_jobs(machine, "--tag", tag, *either) == [jobs[0], jobs[2]]
    for limit in (2, 10**20):
        some = list_jobs(machine, "--tag", tag, "--limit", str(limit))
        assert some == jobs[:limit]
    assert list_jobs(machine, "--tag", "no such tag") == []


def test_list_is_a_table_for_people(machine: Machine, tag: str) -> None:
    """`job list` prints a heading and one line per job, or "no such job"."""
    done = machine.run("job", "list", "--tag", tag)

    heading, *lines = done.out.splitlines()
    assert heading.split() == ["ID", "STATUS", "PERCENT", "CUSTOMER", "TAG", "CREATED"]
    assert [line.split()[1:6] for line in lines] == [
        [status, "0", "%", str(machine.backend.customer_id), tag]
        for status in ("failed", "running", "pending")
    ]
    empty = machine.run("job", "list", "--tag", "no such tag")
    assert (empty.status, empty.out) == (FINE, "no such job\n")


def job_document(number: int) -> dict[str, Any]:
    """Return a job as a JSON document of the backend."""
    document = {
        "id": number,
        "provider_job_id": f"job-{number}",
        "customer_id": 1,
        "tag": "import",
        "name": "Import",
        "configuration_id": None,
        "finish": "auto",
        "status": "running",
        "percent": None,
        "steps": [],
        "metadata": {},
        "event_count": 0,
        "created_at": "9999-12-31T23:59:59Z",
        "version": 0,
    }
    times = ("started_at", "finished_at", "last_event_at", "last_occurred_at")
    return {**document, **dict.fromkeys(times)}


def pages(request: Request) -> bytes:
    """Answer a page of 200 jobs, a page of one job, then status 400."""
    if "cursor=second" in request.target:
        return http(200, {"items": [job_document(201)], "next_cursor": "third"})
    if "cursor=third" in request.target:
        return http(400, b"")
    items = [job_document(n) for n in range(1, 201)]
    return http(200, {"items": items, "next_cursor": "second"})


def test_list_with_a_failing_page_ends_with_status_1(machine: Machine) -> None:
    """`job list` without a limit reads all pages, and fails with the third page."""
    with answering(pages) as server:
        settings = {"TRACKERAPI_BASE_URL": server.url, "TRACKERAPI_API_KEY": KEY}
        done = machine.spawn("job", "list", **settings)

    assert done.status == UNAVAILABLE


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "UTC"])
def test_long_list_is_read_page_by_page(machine: Machine, zone: str) -> None:
    """`--limit 201` reads two pages and not the failing third page."""
    with answering(pages) as server:
        settings = {"TRACKERAPI_BASE_URL": server.url, "TRACKERAPI_API_KEY": KEY}
        some = machine.spawn("job", "list", "--limit", "201", TZ=zone, **settings)
        as_json = machine.spawn("job", "list", "--json", "--limit", "201", **settings)

    assert some.status == FINE
    lines = some.out.splitlines()
    assert len(lines) == 202
    local = (
        "9999-12-31 18:59:59 -0500" if "York" in zone else "9999-12-31 23:59:59 +0000"
    )
    assert lines[-1].endswith(local)
    assert len(as_json.json) == 201


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Kiritimati"])
def test_last_time_of_the_calendar_is_shown(machine: Machine, zone: str) -> None:
    """A time whose local time would be in the year 10000 is printed in UTC."""
    owner = {**OWNER, "expires_at": "9999-12-31T23:59:59Z"}
    with answering(lambda _: http(200, owner)) as server:
        settings = {"TRACKERAPI_BASE_URL": server.url, "TRACKERAPI_API_KEY": KEY}
        done = machine.spawn("verify", TZ=zone, **settings)

    assert (done.status, done.err) == (FINE, "")
    assert "expires   9999-12-31 23:59:59 +0000\n" in done.out


@pytest.mark.parametrize("how", ["position", "option", "variable"])
def test_link_opens_the_page(machine: Machine, how: str) -> None:
    """The command prints the address of the customer's page and nothing else."""
    job_id = new_job(machine)
    arguments = {"position": [job_id], "option": ["--job", job_id]}.get(how, [])
    settings = {"TRACKERAPI_JOB": job_id} if how == "variable" else {}

    done = machine.run("job", "link", *arguments, **settings)

    assert (done.status, done.err) == (FINE, "")
    page = httpx.get(done.out.removesuffix("\n"), timeout=PATIENCE_SECONDS)
    assert (page.status_code, "An import" in page.text) == (200, True)


def test_link_has_label_and_language(machine: Machine) -> None:
    """`job link --label --language` makes a link with both."""
    job_id = new_job(machine)
    options = ("--label", "For the ward", "--language", "de")

    done = machine.run("job", "link", job_id, *options)

    assert (done.status, done.err) == (FINE, "")
    with tracker_at(machine) as tracker:
        [link] = tracker.job(job_id).share_links()
    assert (link.label, link.language) == ("For the ward", "de")


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC"])
def test_link_expires_on_time(machine: Machine, zone: str) -> None:
    """`--expires-at` sets the expiry of the link, in any local time zone."""
    job_id = new_job(machine)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=300)

    done = machine.spawn(
        "job", "link", job_id, "--expires-at", ends.isoformat(), TZ=zone
    )

    assert (done.status, done.err) == (FINE, "")
    with tracker_at(machine) as tracker:
        [link] = tracker.job(job_id).share_links()
    assert link.expires_at == ends


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["link"], USAGE),
        (["link", "a", "--job", "b"], USAGE),
        (["link", "a", "--expires-at", "tomorrow"], USAGE),
        (["link", "a", "--language", "fr"], USAGE),
        (["link", "a", "--label", ""], USAGE),
        (["link", "a", "--expires-at", "9999-12-31T23:59:59-01:00"], USAGE),
        (["link", "no such job"], REFUSED),
        (["list", "--limit", "0"], USAGE),
        (["list", "--limit", "-1"], USAGE),
        (["list", "--limit", "1" * 5000], USAGE),
        (["list", "--customer", "1" * 5000], USAGE),
        (["list", "--customer", "0"], USAGE),
        (["list", "--status", "nonsense"], USAGE),
        (["list", "a-word"], USAGE),
        (["list", "--tag", ""], USAGE),
        (["list", "--tag", "\udcff"], USAGE),
        (["link", ""], USAGE),
        (["show", "--events"], USAGE),
    ],
)
def test_wrong_usage_prints_no_result(
    machine: Machine, arguments: list[str], status: int
) -> None:
    """A wrong argument or unknown job ends with status 2 or 4, and no result."""
    done = machine.run("job", *arguments)

    assert (done.status, done.out) == (status, "")
    assert done.err


def test_token_of_a_job_makes_no_link(machine: Machine) -> None:
    """`job link` with a job token ends with status 3."""
    job_id = new_job(machine)
    token = machine.run("job", "token", "--job", job_id).out.strip()
    token_settings = {"TRACKERAPI_API_KEY": "", "TRACKERAPI_JOB": token}

    assert machine.run("job", "link", **token_settings).status == KEY_REFUSED


def test_json_of_a_list_can_be_read_line_by_line(machine: Machine, tag: str) -> None:
    """`job list --json` prints an indented array with one object per job."""
    done = machine.run("job", "list", "--json", "--tag", tag)

    assert done.out.startswith("[\n  {\n")
    assert done.out.endswith("  }\n]\n")
    assert len(json.loads(done.out)) == 3
