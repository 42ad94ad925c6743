"""One job in several workers: tokens, attached handles, forked children."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.support.backend_jobs import deliver
from tests.support.recorded_jobs import progress, recorded
from tests.support.running_backend import RunningBackend
from trackerapi import (
    AuthenticationError,
    BackendRejected,
    JobConfig,
    SettingsError,
    TrackerApi,
    TrackerJob,
)

WORKER = """
import sys
from trackerapi import TrackerApi
with TrackerApi() as tracker:
    with tracker.attach() as job:
        step = job.step("segment")
        for _ in range(250):
            step.advance()
        if sys.argv[1] == "finish":
            job.complete()
"""

POOL = """
import multiprocessing, sys
from trackerapi import TrackerApi
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
step = tracker.job("job").step("segment", total=1000)

def work(count):
    for _ in range(count):
        step.advance()
    return step.completed

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    step.advance(10)
    with multiprocessing.Pool(3) as pool:
        pool.map(work, [90] * 11, chunksize=1)
        pool.close()
        pool.join()
"""

ATTACHED_POOL = """
import multiprocessing, sys
from trackerapi import TrackerApi
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
step = tracker.attach("job", part=sys.argv[2]).step("segment", total=200)

def work(count):
    step.advance(count)

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    with multiprocessing.Pool(1) as pool:
        pool.map(work, [100])
        pool.close()
        pool.join()
"""

SHARE_OF_A_CHILD = """
import os, sys
from trackerapi import TrackerApi
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
step = tracker.job("job").step("segment")
for share in (0.1, 0.2):
    step.fraction = share
child = os.fork()
if not child:
    step.fraction = 0.9
    tracker.close()
    os._exit(0)
os.waitpid(child, 0)
"""


@pytest.fixture
def shared(tracker: TrackerApi, config: JobConfig) -> TrackerJob:
    """Create a job in the backend for several workers."""
    return tracker.run_job(f"shared-{uuid.uuid4()}", 142, config.tag)


def start_worker(
    backend: RunningBackend, token: str, outbox: Path, end: str
) -> subprocess.Popen[bytes]:
    """Start `WORKER`; its only settings of the backend are address and token."""
    environment = {
        "PATH": os.environ["PATH"],
        "TRACKERAPI_BASE_URL": backend.base_url,
        "TRACKERAPI_JOB": token,
        "TRACKERAPI_OUTBOX": str(outbox),
        "TRACKERAPI_SHUTDOWN_TIMEOUT": "60",
    }
    command = [sys.executable, "-W", "error", "-c", WORKER, end]
    return subprocess.Popen(command, env=environment)


def test_eight_workers_add_up_exactly(
    backend: RunningBackend, tracker: TrackerApi, shared: TrackerJob, tmp_path: Path
) -> None:
    """Counts of eight processes with two outboxes add up to 2,000 units."""
    with shared:
        shared.step("segment", total=2000).start()
        token = shared.token()
        workers = [
            start_worker(backend, token, tmp_path / f"outbox-{number % 2}", "leave")
            for number in range(8)
        ]
        assert [one.wait(timeout=180) for one in workers] == [0] * 8
        deliver(tracker)
        step = shared.fetch().steps[1]
        assert (step.completed, step.total, step.fraction) == (2000, 2000, 1)
        assert shared.fetch().status == "running"
        shared.step("segment").done()


def test_two_finishers_make_one_finish(
    backend: RunningBackend, tracker: TrackerApi, shared: TrackerJob, tmp_path: Path
) -> None:
    """If two workers complete a job, the earlier `complete` sets `finished_at`."""
    shared.send_event(kind="start")
    deliver(tracker)
    token = shared.token()
    workers = [
        start_worker(backend, token, tmp_path / f"outbox-{number}", "finish")
        for number in range(2)
    ]
    assert [one.wait(timeout=180) for one in workers] == [0, 0]
    finished = shared.fetch()
    ends = [event for event in shared.events() if event.kind == "complete"]

    assert (finished.status, finished.percent) == ("succeeded", 100)
    assert len(ends) == 2
    assert finished.finished_at == min(event.occurred_at for event in ends)


def test_token_is_good_for_its_job_alone(
    backend: RunningBackend, tracker: TrackerApi, shared: TrackerJob, config: JobConfig
) -> None:
    """A job token reads and reports only its own job and cannot use `admin`."""
    other = tracker.create_job(f"other-{uuid.uuid4()}", 142, config.tag)
    token = shared.token()

    with TrackerApi(token, backend.base_url) as elsewhere:
        assert elsewhere.attach(token).fetch().provider_job_id == shared.provider_job_id
        assert elsewhere.verify_api_key().provider_job_id == shared.provider_job_id
        assert [job.provider_job_id for job in elsewhere.list_jobs()] == [
            shared.provider_job_id
        ]
        with pytest.raises(BackendRejected):
            elsewhere.get_job(other.provider_job_id)
        with pytest.raises(AuthenticationError):
            list(elsewhere.admin.list_customers())
        with pytest.raises(AuthenticationError):
            elsewhere.admin.create_api_key("more", ["ingest"])
        elsewhere.job(other.provider_job_id).send_event(kind="complete")
        elsewhere.flush(timeout=5)

    assert other.fetch().status == "pending"


def test_token_can_be_revoked(
    backend: RunningBackend, tracker: TrackerApi, shared: TrackerJob
) -> None:
    """`list_api_keys()` lists a token with its job; an expired token is rejected."""
    token = shared.token()
    (key,) = [
        key for key in tracker.admin.list_api_keys() if key.job_id == shared.fetch().id
    ]
    tracker.admin.expire_api_key(key.key_id)

    with TrackerApi(token, backend.base_url) as elsewhere:
        with pytest.raises(AuthenticationError):
            elsewhere.attach(token).fetch()


def test_token_shows_in_no_text(
    backend: RunningBackend, shared: TrackerJob, tmp_path: Path
) -> None:
    """The secret of a token appears in no repr and in no file of the outbox."""
    token = shared.token()
    secret = token.partition(".")[0].split("_")[2]
    outbox = tmp_path / "outbox"
    with TrackerApi(token, backend.base_url, outbox=outbox) as elsewhere:
        job = elsewhere.attach(token)
        job.note("here")
        texts = [repr(elsewhere), repr(job), repr(job.step("load"))]
    written = b"".join(p.read_bytes() for p in outbox.rglob("*") if p.is_file())

    assert secret not in "".join(texts)
    assert secret.encode() not in written
    assert b"here" in written


def test_leftovers_of_other_jobs_are_not_delivered_by_a_token(
    backend: RunningBackend, tracker: TrackerApi, shared: TrackerJob, tmp_path: Path
) -> None:
    """A tracker with a token delivers only leftovers and events of its own job."""
    outbox = tmp_path / "outbox"
    key = backend.api_key
    with TrackerApi(key, backend.base_url, mode="offline", outbox=outbox) as left:
        left.job(shared.provider_job_id).note("of the provider")
    with TrackerApi(shared.token(), backend.base_url, outbox=outbox) as elsewhere:
        elsewhere.attach(shared.provider_job_id).note("of the worker")
        report = elsewhere.flush()
    assert (report.delivered, report.waiting) == (1, 0)
    with TrackerApi(key, backend.base_url, outbox=outbox) as again:
        report = again.flush()

    assert (report.delivered, report.waiting) == (1, 0)


def test_attached_handle_does_not_end_the_job(
    recorder: TrackerApi, outbox: Path
) -> None:
    """An attached handle's block reports no begin and no end, only a failure."""
    with recorder.attach("job") as job:
        job.step("load").advance()
    with pytest.raises(ValueError, match="broken"), recorder.attach("job"):
        raise ValueError("broken")

    assert [e["kind"] for e in recorded(outbox)] == ["progress", "error"]


def test_part_may_be_named(recorder: TrackerApi, outbox: Path) -> None:
    """`part` names the worker in progress events; without it, a name is generated."""
    recorder.attach("job", part="worker-3").step("load").advance(5)
    recorder.attach("job").step("segment").advance(5)

    named, made = recorded(outbox)
    assert named["part"] == "worker-3"
    assert made["part"] not in {"worker-3", ""}
    with pytest.raises(ValueError, match="part must"):
        recorder.attach("job", part=" ")


def test_attach_without_a_job_raises(
    recorder: TrackerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`attach()` reads `TRACKERAPI_JOB` and raises SettingsError without a job."""
    with pytest.raises(SettingsError, match="TRACKERAPI_JOB: no job"):
        recorder.attach()
    monkeypatch.setenv("TRACKERAPI_JOB", "import-42")
    assert recorder.attach().provider_job_id == "import-42"


def test_workers_of_a_pool_add_up(outbox: Path) -> None:
    """Each forked worker of a pool reports its own count as a separate part."""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", POOL, str(outbox)], check=True, timeout=60
    )

    newest = {
        event.get("part"): event["completed"]
        for event in recorded(outbox)
        if event["kind"] == "progress"
    }
    assert sum(newest.values()) == 1000
    assert newest[None] == 10
    assert all(part is None or "PoolWorker" in part for part in newest)
    assert progress(outbox, "segment")[-1][1] == 1000


@pytest.mark.parametrize("workers", [("one", "two"), ("o" * 100, "t" * 100)])
def test_pool_workers_of_attached_workers_add_up(
    outbox: Path, workers: tuple[str, str]
) -> None:
    """Pool workers of two attached workers are counted as two different parts."""
    for worker in workers:
        command = [sys.executable, "-W", "error", "-c", ATTACHED_POOL, str(outbox)]
        subprocess.run([*command, worker], check=True, timeout=60)

    newest = {
        event["part"]: event["completed"]
        for event in recorded(outbox)
        if event["kind"] == "progress"
    }
    assert sum(newest.values()) == 200


def test_fraction_of_a_forked_child_is_reported(outbox: Path) -> None:
    """A fraction set in a forked child is reported beside the parent's fractions."""
    command = [sys.executable, "-W", "error", "-c", SHARE_OF_A_CHILD, str(outbox)]
    subprocess.run(command, check=True, timeout=60)

    assert {event["fraction"] for event in recorded(outbox)} == {0.1, 0.2, 0.9}


TWIN_CONTAINER = """
import os, sys
from types import SimpleNamespace
os.uname = lambda: SimpleNamespace(nodename="worker")
os.getpid = lambda: 1
from trackerapi import TrackerApi
with TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1]) as t:
    t.attach("job").step("segment").advance(int(sys.argv[2]))
"""

FORKED_TREE = """
import multiprocessing, os, sys
from trackerapi import TrackerApi
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
step = tracker.job("job").step("segment")
multiprocessing.set_start_method("fork")

def count():
    step.advance(1)
    tracker.close()

def forked(work):
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def pool():
    worker = multiprocessing.Process(target=grandchild, name="worker")
    worker.start()
    worker.join()
    assert worker.exitcode == 0

def grandchild():
    count()
    forked(count)

for _ in range(2):
    forked(count)
    forked(pool)
pool()
odd = multiprocessing.Process(target=count, name="line\\n" + "x" * 200)
odd.start()
odd.join()
assert odd.exitcode == 0
"""


def newest_counts(outbox: Path) -> dict[str | None, float]:
    """Return the newest completed count of each part; None is the main part."""
    return {
        event.get("part"): event["completed"]
        for event in recorded(outbox)
        if event["kind"] == "progress"
    }


def test_containers_of_one_host_name_and_process_id_add_up(outbox: Path) -> None:
    """Two containers that are both process 1 of the host `worker` count 4 + 3 units."""
    for units in ("4", "3"):
        command = [sys.executable, "-c", TWIN_CONTAINER, str(outbox), units]
        subprocess.run(command, check=True, timeout=60)

    assert sorted(newest_counts(outbox).values()) == [3, 4]


def test_handles_of_one_process_add_up(recorder: TrackerApi, outbox: Path) -> None:
    """Two handles attached in one process report their counts as separate parts."""
    for units in (4, 3):
        recorder.attach("job").step("load").advance(units)

    assert sorted(newest_counts(outbox).values()) == [3, 4]


def test_every_process_of_a_tree_of_forks_has_a_part(outbox: Path) -> None:
    """Each of nine processes in a tree of forks reports its count as its own part."""
    command = [sys.executable, "-c", FORKED_TREE, str(outbox)]
    subprocess.run(command, check=True, timeout=60)

    counts = newest_counts(outbox)
    assert len(counts) == 9
    assert set(counts.values()) == {1}
    assert "worker" in counts


@pytest.mark.parametrize("length", [4, 10, 30, 60])
def test_beginning_of_a_token_is_never_the_id_of_a_job(
    tracker: TrackerApi, shared: TrackerJob, length: int
) -> None:
    """A token that was cut raises SettingsError; no part of it reaches the outbox."""
    beginning = shared.token()[:length]
    with pytest.raises(SettingsError, match="copy the whole token") as raised:
        tracker.attach(beginning)
    assert beginning not in str(raised.value)
