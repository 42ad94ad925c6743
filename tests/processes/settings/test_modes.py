"""Modes, settings and folder of delivery, what progress costs, and what is told."""

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from tests.processes.test_failure_table import (
    SLACK_SECONDS,
    Road,
    always,
    below_a_file,
    new_job,
    road_to,
    silent,
    stored,
)
from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, Request
from trackerapi import (
    BackendError,
    DeliveryProblem,
    DeliveryReport,
    JobConfig,
    SettingsError,
    TrackerApi,
    TrackerJob,
)
from trackerapi.outbox.folder import default_folder
from trackerapi.settings.settings import Settings

URL: Final = "http://127.0.0.1:9"
_PAUSE: Final = threading.Event()


@pytest.fixture
def road(backend: RunningBackend) -> Iterator[Road]:
    """Open a road to the backend, on which requests fail as a test says."""
    with road_to(backend) as opened:
        yield opened


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Return a folder for an outbox."""
    return tmp_path / "outbox"


def records(outbox: Path) -> list[dict[str, Any]]:
    """Return what stands in the files of an outbox, without their headers."""
    found: list[dict[str, Any]] = []
    for path in sorted(outbox.glob("*.outbox")):
        found += map(json.loads, path.read_text().splitlines()[1:])
    return found


def await_true(is_so: Callable[[], bool], seconds: float) -> None:
    """Look at what nobody tells of until it is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "did not come in time"
        _PAUSE.wait(0.01)


# off

OFF: Final = """\
import json, sys, threading
from trackerapi import TrackerApi
before = set(sys.modules)
with TrackerApi({argument}) as tracker:
    job = tracker.create_job("off", 142, "undescribed", metadata={{"a": 1}})
    ids = [job.send_event(kind="progress", name="one", fraction=0.5)]
    ids += [tracker.job("off").send_event(kind="complete")]
    waiting = [tracker.flush().waiting, tracker.delivery().waiting]
loaded = sorted(set(sys.modules) - before)
print(json.dumps([ids, waiting, threading.active_count(), loaded]))
"""


def run_off(tmp_path: Path, argument: str, **settings: str) -> list[str]:
    """Run a script that is not tracked; return the modules that it has loaded."""
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFF.format(argument=argument)],
        env={"HOME": str(home), "PATH": os.environ["PATH"], **settings},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    ids, waiting, thread_count, loaded = json.loads(done.stdout)
    assert (ids, waiting, thread_count) == (["", ""], [0, 0], 1)
    assert done.stderr == ""
    assert list(home.iterdir()) == []
    modules: list[str] = loaded
    return modules


@pytest.mark.parametrize(
    ("argument", "settings"),
    [("mode='off'", {}), ("", {"TRACKERAPI_MODE": "off"})],
    ids=["argument", "environment"],
)
def test_off_needs_nothing_and_does_nothing(
    tmp_path: Path, argument: str, settings: dict[str, str]
) -> None:
    """Without key and address a script runs: no thread, no file, nothing foreign."""
    loaded = run_off(tmp_path, argument, **settings)

    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert foreign <= {"trackerapi"}
    assert not [name for name in loaded if name.startswith("trackerapi.wire")]
    assert not {"ssl", "http.client", "asyncio"} & set(loaded)


def test_off_loads_no_delivery(tmp_path: Path) -> None:
    """What does nothing costs nothing: neither outbox nor courier is loaded."""
    loaded = run_off(tmp_path, "mode='off'")

    parts = {"outbox.outbox", "outbox.file", "delivery.delivery", "delivery.loop"}
    parts |= {"delivery.batches", "delivery.passes"}
    assert not {f"trackerapi.{part}" for part in parts} & set(loaded)


def test_question_to_a_tracker_that_is_off_says_so() -> None:
    """A question has no answer then, and names the setting."""
    with TrackerApi(mode="off") as tracker, pytest.raises(BackendError) as caught:
        tracker.get_job("off")

    assert "TRACKERAPI_MODE" in str(caught.value)


# offline


def test_offline_records_and_connects_to_nobody(
    road: Road, config: JobConfig, outbox: Path
) -> None:
    """Nothing leaves the machine, not even by flush() and close()."""
    key = road.backend.api_key
    with TrackerApi(key, road.url, mode="offline", outbox=outbox) as offline:
        job = new_job(offline, config)
        ids = [job.send_event(kind="step", name="say_hello")]
        ids += [job.send_event(kind="info") for _ in range(10)]
        began = time.monotonic()
        report = offline.flush(timeout=3600)
    seconds = time.monotonic() - began

    assert seconds <= SLACK_SECONDS
    assert (report.waiting, report.delivered) == (12, 0)
    assert road.server.connection_count == 0
    creation, *events = records(outbox)
    assert creation["create_job"]["provider_job_id"] == job.provider_job_id
    assert [event["event_id"] for event in events] == ids


@pytest.mark.parametrize("how", ["flush", "close", "new event"])
def test_later_online_tracker_delivers_what_was_recorded_offline(
    road: Road, tracker: TrackerApi, config: JobConfig, outbox: Path, how: str
) -> None:
    """The same key, online, brings what offline runs have left, by any of its ways."""
    where: dict[str, Any] = {
        "api_key": road.backend.api_key,
        "base_url": road.url,
        "outbox": outbox,
    }
    with TrackerApi(**where, mode="offline") as offline:
        job = new_job(offline, config)
        ids = [job.send_event(kind="step", name=n) for n in ("say_hello", "say_bye")]
    arrived = threading.Event()

    def fault(request: Request) -> None:
        if ids[-1].encode() in request.body:
            arrived.set()

    road.fault = fault
    with TrackerApi(**where) as online:
        if how == "flush":
            deliver(online)
        else:
            ids.append(online.job(job.provider_job_id).send_event(kind="info"))
            if how == "new event":
                assert arrived.wait(30)

    arrived_ids = [event.event_id for event in stored(tracker, job)]
    assert sorted(arrived_ids) == sorted(ids)
    assert tracker.get_job(job.provider_job_id).percent == 57.14


def test_offline_needs_no_key(outbox: Path) -> None:
    """A machine that never reaches the backend holds no key of it."""
    with TrackerApi(base_url=URL, mode="offline", outbox=outbox) as tracker:
        event_id = tracker.job("keyless").send_event(kind="info")

    assert [event["event_id"] for event in records(outbox)] == [event_id]


def test_key_of_another_form_delivers_what_it_has_recorded_offline(
    road: Road, tracker: TrackerApi, job: TrackerJob, outbox: Path
) -> None:
    """A key without a public part finds its records again, like any other."""
    road.lends_key = True
    where: dict[str, Any] = {"api_key": "key.of-another/form=", "base_url": road.url}
    with TrackerApi(**where, outbox=outbox, mode="offline") as offline:
        event_id = offline.job(job.provider_job_id).send_event(kind="info")
    with TrackerApi(**where, outbox=outbox) as online:
        online.flush(timeout=30)

    assert [event.event_id for event in stored(tracker, job)] == [event_id]


def test_records_for_one_backend_are_never_sent_to_another(
    road: Road, backend: RunningBackend, outbox: Path
) -> None:
    """A folder that two destinations share mixes nothing, whoever comes first."""
    key = backend.api_key
    with TrackerApi(key, URL, mode="offline", outbox=outbox) as elsewhere:
        elsewhere.job("elsewhere").send_event(kind="info")
    before = records(outbox)
    with TrackerApi(key, road.url, outbox=outbox) as online:
        online.flush(timeout=30)

    assert road.count("POST", "/events/batch") == 0
    assert records(outbox) == before


# settings


def test_defaults_of_delivery() -> None:
    """A tracker delivers, waits 2 s at its end, and may fill 1 GiB."""
    settings = Settings.resolve({"api_key": KEY, "base_url": URL}, {})

    assert settings.mode == "online"
    assert settings.shutdown_timeout_seconds == 2.0
    assert settings.outbox is None
    assert settings.fsync is False
    assert settings.outbox_limit_bytes == 1024**3


VARIABLES: Final = {
    "mode": ("TRACKERAPI_MODE", "offline"),
    "outbox": ("TRACKERAPI_OUTBOX", "/var/outbox"),
    "shutdown_timeout": ("TRACKERAPI_SHUTDOWN_TIMEOUT", "0.5"),
}


@pytest.mark.parametrize("given", ["environment", "argument"])
def test_argument_of_delivery_goes_before_its_variable(given: str) -> None:
    """What the script says wins; what surrounds it is read otherwise."""
    environment = dict(VARIABLES.values())
    arguments: dict[str, object] = {"api_key": KEY, "base_url": URL}
    wanted: tuple[object, ...] = ("offline", Path("/var/outbox"), 0.5)
    if given == "argument":
        arguments |= {"mode": "online", "outbox": "/elsewhere", "shutdown_timeout": 0}
        wanted = ("online", Path("/elsewhere"), 0.0)
    settings = Settings.resolve(arguments, environment)

    found = (settings.mode, settings.outbox, settings.shutdown_timeout_seconds)
    assert found == wanted


def test_settings_of_delivery_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variables reach the outbox itself, and a tilde is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TRACKERAPI_OUTBOX", "~/mine")
    monkeypatch.setenv("TRACKERAPI_MODE", " Offline ")
    with TrackerApi(KEY, URL, fsync=True, outbox_limit_bytes=2**20) as tracker:
        event_id = tracker.job("settings").send_event(kind="info")

    assert [each["event_id"] for each in records(tmp_path / "mine")] == [event_id]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TRACKERAPI_MODE", "sometimes"),
        ("TRACKERAPI_OUTBOX", "~nobody-here/outbox"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "soon"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "-1"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "nan"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "inf"),
        ("TRACKERAPI_SHUTDOWN_TIMEOUT", "3601"),
    ],
)
def test_bad_variable_of_delivery_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """The error names the variable that has to change."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        TrackerApi(KEY, URL)
    assert caught.value.setting == variable


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("mode", "sometimes"),
        ("mode", 1),
        ("outbox", " "),
        ("outbox", 5),
        ("outbox", "nul\0"),
        ("outbox", "~nobody-here/outbox"),
        ("shutdown_timeout", -0.1),
        ("shutdown_timeout", True),
        ("shutdown_timeout", "soon"),
        ("shutdown_timeout", float("nan")),
        ("shutdown_timeout", [1]),
        ("fsync", 1),
        ("fsync", "yes"),
        ("outbox_limit_bytes", 0),
        ("outbox_limit_bytes", -1),
        ("outbox_limit_bytes", 65_535),
        ("outbox_limit_bytes", 1e9),
        ("outbox_limit_bytes", True),
    ],
)
def test_bad_argument_of_delivery_is_refused_by_name(
    argument: str, value: object
) -> None:
    """The error names the argument that has to change."""
    with pytest.raises(SettingsError) as caught:
        TrackerApi(KEY, URL, **{argument: value})  # type: ignore[arg-type]
    assert caught.value.setting == argument


@pytest.mark.parametrize("argument", ["before_send", "on_problem"])
def test_what_cannot_be_called_is_refused_by_name(argument: str) -> None:
    """A wrong callback is told at once and not at the first event."""
    with pytest.raises(TypeError, match=f"{argument} must be callable, got str"):
        TrackerApi(KEY, URL, **{argument: "print"})  # type: ignore[arg-type]


def test_making_and_asking_a_tracker_opens_nothing(road: Road, outbox: Path) -> None:
    """Neither the constructor, a handle, nor delivery() makes file, thread or call."""
    before = threading.active_count()
    with TrackerApi(KEY, road.url, outbox=outbox) as tracker:
        tracker.job("nothing yet")
        report = tracker.delivery()

        assert threading.active_count() == before
    assert report == DeliveryReport()
    assert road.server.connection_count == 0
    assert not outbox.exists()


# folder

PLATFORMS: Final = {"linux": Unix, "darwin": MacOS}


@pytest.mark.parametrize("state", [None, "", " ", "/var/state", "state", "~/state"])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_default_folder_is_that_of_platformdirs(
    monkeypatch: pytest.MonkeyPatch, platform: str, state: str | None
) -> None:
    """Where users and administrators look for it, they find it."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    if state is not None:
        monkeypatch.setenv("XDG_STATE_HOME", state)

    wanted = PLATFORMS[platform]("trackerapi", appauthor=False).user_state_path
    assert default_folder(platform=platform) == wanted


def test_user_without_a_home_folder_is_tracked_from_memory(
    backend: RunningBackend,
    tracker: TrackerApi,
    job: TrackerJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is no place for an outbox, events arrive all the same."""
    monkeypatch.delenv("XDG_STATE_HOME")

    def no_home() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", no_home)
    with TrackerApi(backend.api_key, backend.base_url) as homeless:
        handle = homeless.job(job.provider_job_id)
        ids = [handle.send_event(kind="info") for _ in range(50)]
        deliver(homeless)
        ids.append(handle.send_event(kind="info"))

    assert [event.event_id for event in stored(tracker, job)] == ids


@pytest.mark.parametrize("umask", [0, 0o077, 0o022])
def test_files_and_folders_are_the_users_alone(
    backend: RunningBackend, job: TrackerJob, tmp_path: Path, umask: int
) -> None:
    """Whatever the umask, nobody else reads or changes what waits or was delivered."""
    outbox = tmp_path / "made" / "outbox"
    told = threading.Event()
    options: dict[str, Any] = {"outbox": outbox, "on_problem": lambda _: told.set()}
    before = os.umask(umask)
    try:
        for job_id in (job.provider_job_id, str(uuid.uuid4())):
            where = (backend.api_key, backend.base_url)
            with TrackerApi(*where, shutdown_timeout=30, **options) as tracker:
                tracker.job(job_id).send_event(kind="info")
        assert told.wait(30)
    finally:
        os.umask(before)

    found = [outbox, *outbox.rglob("*")]
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in found}
    assert {p.suffix for p in found} >= {"", ".outbox", ".ack", ".held"}
    assert (outbox / "delivered").is_dir()
    assert {m for p, m in modes.items() if p.is_dir()} == {0o700}
    assert {m for p, m in modes.items() if p.is_file()} == {0o600}


# progress


def test_progress_costs_a_record_a_second_however_often_it_is_told(
    outbox: Path,
) -> None:
    """A tight loop of updates writes at most one a second, the first and the last."""
    count = 100_000
    began = time.monotonic()
    with TrackerApi(KEY, URL, mode="offline", outbox=outbox) as tracker:
        job = tracker.job("loop")
        for done in range(count):
            job.send_event(kind="progress", name="one", completed=done, total=count)
            if done % 10 == 0:
                job.send_event(kind="heartbeat")
    seconds = time.monotonic() - began

    written = records(outbox)
    progress = [each["completed"] for each in written if each["kind"] == "progress"]
    assert len(progress) <= seconds + 2
    assert len(written) - len(progress) <= seconds + 2
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, count - 1)


@pytest.mark.parametrize("kind", ["progress", "heartbeat"])
def test_newest_of_its_kind_arrives_within_a_second(
    road: Road, job: TrackerJob, kind: str
) -> None:
    """A job that reports no more is seen where it stands, a second later."""
    arrived = threading.Event()
    newest = ""

    def fault(request: Request) -> None:
        if newest and newest.encode() in request.body:
            arrived.set()

    road.fault = fault
    with TrackerApi(road.backend.api_key, road.url) as tracker:
        handle = tracker.job(job.provider_job_id)
        handle.send_event(kind="info")
        deliver(tracker)  # to get ready for it is not measured
        for _ in range(100):
            newest = handle.send_event(kind=kind, message="newest")

        assert arrived.wait(1.0 + SLACK_SECONDS)


def test_newest_progress_is_written_within_a_second_offline(outbox: Path) -> None:
    """Nothing but time is needed for the newest to be safe from a kill."""
    with TrackerApi(KEY, URL, mode="offline", outbox=outbox) as tracker:
        job = tracker.job("offline")
        for _ in range(100):
            newest = job.send_event(kind="progress", name="one", fraction=0.5)

        await_true(
            lambda: records(outbox)[-1]["event_id"] == newest, 1.0 + SLACK_SECONDS
        )


@pytest.mark.parametrize(
    "following",
    [
        {"kind": "step", "name": "one"},
        {"kind": "error", "name": "one", "retrying": True},
        {"kind": "info", "name": "one"},
        {"kind": "complete"},
    ],
    ids=str,
)
def test_newest_progress_stands_before_the_next_event(
    outbox: Path, following: dict[str, Any]
) -> None:
    """What a step has reached stands before what follows, of the step or the job."""
    with TrackerApi(KEY, URL, mode="offline", outbox=outbox) as tracker:
        job = tracker.job("order")
        for done in range(5):
            job.send_event(kind="progress", name="one", completed=done)
        last = job.send_event(**following)
        written = records(outbox)

    assert [each.get("completed") for each in written] == [0, 4, None]
    assert written[-1]["event_id"] == last
    times = [each["occurred_at"] for each in written]
    assert times == sorted(times)


@pytest.mark.parametrize("end", ["close", "flush", "with"])
def test_last_progress_of_each_step_and_job_is_kept_at_the_end(
    outbox: Path, end: str
) -> None:
    """Steps and jobs are conflated apart, and none loses its last word."""
    wanted: set[str] = set()
    with TrackerApi(KEY, URL, mode="offline", outbox=outbox) as tracker:
        for job_id in ("left", "right"):
            job = tracker.job(job_id)
            for step in ("one", "two", None):
                for done in range(10):
                    last = job.send_event(kind="progress", name=step, completed=done)
                wanted.add(last)
        if end == "close":
            tracker.close()
        elif end == "flush":
            tracker.flush(timeout=0)
            assert wanted <= {each["event_id"] for each in records(outbox)}

    assert wanted <= {each["event_id"] for each in records(outbox)}
    assert len(records(outbox)) <= 12 + 6


def test_event_of_another_step_does_not_wait_for_progress(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """The backend ends with the newest of one step and all of another."""
    for done in range(100):
        job.send_event(kind="progress", name="say_hello", completed=done, total=200)
        job.send_event(kind="info", name="say_bye")
    deliver(tracker)

    kinds = Counter(event.kind for event in stored(tracker, job))
    assert kinds["info"] == 100
    assert kinds["progress"] < 50
    assert job.fetch().steps[0].completed == 99


# what is told


def test_report_counts_what_was_delivered(
    backend: RunningBackend, config: JobConfig
) -> None:
    """Events count as delivered, creations do not; nothing waits or is wrong then."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        job = new_job(tracker, config)
        for _ in range(3):
            job.send_event(kind="info")
        report = tracker.flush(timeout=30)

        assert report == DeliveryReport(delivered=3)
        assert tracker.delivery() == report
        job.send_event(kind="info")
        assert tracker.flush(timeout=30).delivered == 4


def test_report_counts_what_others_have_left(
    backend: RunningBackend, job: TrackerJob, outbox: Path
) -> None:
    """What another process has recorded counts for who delivers it."""
    where: dict[str, Any] = {"api_key": backend.api_key, "base_url": backend.base_url}
    with TrackerApi(**where, mode="offline", outbox=outbox) as left:
        for _ in range(3):
            left.job(job.provider_job_id).send_event(kind="info")
    with TrackerApi(**where, outbox=outbox) as following:
        assert following.flush(timeout=30) == DeliveryReport(delivered=3)


def test_report_says_since_when_and_why_something_waits(
    road: Road, config: JobConfig
) -> None:
    """While the backend is down a report has all that one would ask, and after not."""
    moment = datetime.now(UTC) - timedelta(hours=1)
    road.fault = always(b"")
    options: dict[str, Any] = {"api_key": road.backend.api_key, "base_url": road.url}
    with TrackerApi(**options, shutdown_timeout=0) as tracker:
        job = new_job(tracker, config)
        job.send_event(kind="info", occurred_at=moment)
        job.send_event(kind="info")
        down = tracker.flush(timeout=0.2)
        seen = tracker.delivery()
        road.fault = None
        deliver(tracker)
        up = tracker.delivery()

    assert (down.delivered, down.waiting, down.held) == (0, 3, 0)
    assert down.oldest_waiting_at == moment
    assert down.last_error
    assert "127.0.0.1" in down.last_error
    assert (seen.waiting, seen.oldest_waiting_at) == (3, moment)
    assert up == DeliveryReport(delivered=2)


@pytest.mark.parametrize("where", ["memory", "unknown job"])
def test_report_says_since_when_something_waits_wherever_it_does(
    road: Road, tmp_path: Path, where: str
) -> None:
    """The oldest event is told of, also where no outbox file holds it."""
    moment = datetime.now(UTC) - timedelta(hours=1)
    outbox = below_a_file(tmp_path) if where == "memory" else tmp_path / "outbox"
    road.fault = always(b"") if where == "memory" else None
    key = road.backend.api_key
    with TrackerApi(key, road.url, outbox=outbox, shutdown_timeout=0) as tracker:
        job = tracker.job(str(uuid.uuid4()))
        job.send_event(kind="info", occurred_at=moment)
        job.send_event(kind="info")
        report = tracker.flush(timeout=0.5)

    assert report.waiting == 2
    assert report.oldest_waiting_at == moment


def test_full_outbox_drops_the_oldest_of_what_may_go_and_counts_it(
    outbox: Path,
) -> None:
    """More than the limit costs old lines of the timeline, and never a step."""
    options: dict[str, Any] = {"outbox": outbox, "outbox_limit_bytes": 64 * 1024}
    ids: dict[str, list[str]] = {"step": [], "info": []}
    with TrackerApi(KEY, URL, mode="offline", **options) as tracker:
        job = tracker.job("full")
        for number in range(5000):
            kind = "step" if number % 100 == 0 else "info"
            ids[kind].append(job.send_event(kind=kind, name=f"step {number}"))
            if number % 250 == 0:  # no faster than room can be made
                await_true(lambda: tracker.delivery().waiting < 500, 60)
        await_true(lambda: tracker.delivery().waiting < 1000, 60)

        def is_settled() -> bool:
            # The courier may be about to put the last thinner file into its place.
            with contextlib.suppress(FileNotFoundError, ValueError):
                return tracker.delivery().waiting == len(records(outbox))
            return False

        await_true(is_settled, 60)
    # Only now: until the end, the courier may have been about to drop some more.
    report = tracker.delivery()

    kept = [each["event_id"] for each in records(outbox)]
    assert sum(p.stat().st_size for p in outbox.iterdir()) <= 2 * 64 * 1024
    assert len(kept) == len(set(kept))
    assert sum(report.dropped.values()) == 5000 - len(kept)
    assert set(ids["step"]) <= set(kept)
    assert ids["info"][-1] in kept
    assert ids["info"][0] not in kept


@pytest.mark.parametrize("timeout", [0, 0.3])
def test_flush_waits_no_longer_than_told(
    road: Road, job: TrackerJob, timeout: float
) -> None:
    """A backend that says nothing holds flush() for its timeout and no more."""
    ended = threading.Event()
    road.fault = silent(ended)
    key = road.backend.api_key
    with TrackerApi(key, road.url, shutdown_timeout=0) as tracker:
        tracker.job(job.provider_job_id).send_event(kind="info")
        began = time.monotonic()
        report = tracker.flush(timeout=timeout)
        seconds = time.monotonic() - began
        began = time.monotonic()
        looked = tracker.delivery()
        seconds_to_look = time.monotonic() - began
        ended.set()

    assert seconds <= timeout + SLACK_SECONDS
    assert seconds_to_look <= SLACK_SECONDS
    assert report.waiting == looked.waiting == 1


@pytest.mark.parametrize(
    ("timeout", "error"), [(-1, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_flush_refuses_what_is_no_time(timeout: Any, error: type[Exception]) -> None:
    """A wrong argument is a mistake of the script, and is raised."""
    with TrackerApi(KEY, URL, mode="offline") as tracker, pytest.raises(error):
        tracker.flush(timeout=timeout)


def test_problem_is_told_once_of_each_kind(
    road: Road, config: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback hears of each kind once, in the words of the log."""
    told: list[DeliveryProblem] = []
    road.fault = always(b"")
    key = road.backend.api_key
    with TrackerApi(
        key, road.url, on_problem=told.append, shutdown_timeout=0
    ) as tracker:
        for _ in range(2):
            job = new_job(tracker, config)
            for _ in range(3):
                job.send_event(kind="info", metadata={"At": object()})
                job.send_event(kind="step", name="say_helo")
        tracker.flush(timeout=0.5)

    assert Counter(problem.kind for problem in told) == {
        "unreachable": 1,
        "metadata": 1,
        "step": 1,
    }
    assert all(problem.message in caplog.messages for problem in told)


def test_callback_that_raises_breaks_neither_job_nor_delivery(
    road: Road, config: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in the author's callback is logged, in whichever thread it comes up."""
    told = {kind: threading.Event() for kind in ("unreachable", "job-unknown")}
    threads: set[str] = set()

    def raising(problem: DeliveryProblem) -> None:
        threads.add(threading.current_thread().name)
        told.get(problem.kind, threading.Event()).set()
        raise RuntimeError("of the author")

    road.fault = always(b"")
    with TrackerApi(road.backend.api_key, road.url, on_problem=raising) as tracker:
        tracker.job(str(uuid.uuid4())).send_event(kind="info")
        assert told["unreachable"].wait(30)  # by the courier
        job = new_job(tracker, config)
        ids = [job.send_event(kind="info", metadata={"At": object()})]
        road.fault = None
        tracker.flush(timeout=1.0)
        assert told["job-unknown"].wait(30)  # by the courier, who goes on

        await_true(lambda: bool(stored(tracker, job)), 30)
        assert [event.event_id for event in stored(tracker, job)] == ids
    assert threads == {threading.current_thread().name, "trackerapi-courier"}
    assert "on_problem raised" in caplog.text
