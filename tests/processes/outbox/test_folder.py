"""Outbox folders: forked children, paths, file modes and contents."""

import getpass
import os
import platform
import socket
import stat
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.backend_jobs import deliver, stored
from tests.support.gateway import Gateway
from tests.support.outbox_folders import folder_content
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import Request, answering, http
from tests.support.scripts import PATIENCE_SECONDS, Scripts
from trackerapi import TrackerApi, TrackerJob
from trackerapi.outbox.file import OutboxFile

FORK_IN_A_SEARCH: Final = """\
import os, sys, threading
from pathlib import Path
from trackerapi import TrackerApi
from trackerapi.outbox.file import OutboxFile

outbox, claim = Path(sys.argv[1]), OutboxFile.claim
is_open, is_forked = threading.Event(), threading.Event()

def claim_slowly(path):
    file = claim(path)
    is_open.set()
    is_forked.wait(0.5)
    return file

with TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=outbox) as tracker:
    tracker.job("job").note("left")
(left,) = outbox.glob("*.outbox")
OutboxFile.claim = claim_slowly
tracker = TrackerApi("key", "http://127.0.0.1:9", outbox=outbox, shutdown_timeout=0)
tracker.job("job").note("new")
is_open.wait(30)
reader, writer = os.pipe()
is_there, tell = os.pipe()
if not os.fork():
    os.close(writer)
    os.write(tell, b".")
    os.read(reader, 1)  # lives on until its parent has ended
    os._exit(0)
is_forked.set()
os.read(is_there, 1)
tracker.close()
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(30)
print(claim(left) is not None)
"""


def test_child_forked_during_a_search_holds_no_leftover(
    tmp_path: Path,
) -> None:
    """A leftover file that the parent claims during a fork is released by the child."""
    done = subprocess.run(
        [sys.executable, "-c", FORK_IN_A_SEARCH, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )

    assert done.stdout == "True\n"


FORK_AFTER_THE_END: Final = """\
import os, sys
from trackerapi import TrackerApi

tracker = TrackerApi("key", sys.argv[2], outbox=sys.argv[1], shutdown_timeout=0)
tracker.job("job").note("left")
sys.stdin.readline()
tracker.close()
is_there, tell = os.pipe()
if not os.fork():
    os.write(tell, b".")
    sys.stdin.readline()  # lives on though its parent has ended
else:
    os.read(is_there, 1)
os._exit(0)
"""


def test_child_forked_after_a_close_holds_no_leftover(tmp_path: Path) -> None:
    """A child forked after `close()` holds no lock on the file of its parent."""
    ended, is_asked = threading.Event(), threading.Event()

    def answer(_: Request) -> bytes:
        is_asked.set()
        ended.wait(PATIENCE_SECONDS)
        return http(503, {})

    with answering(answer) as server:
        command = [sys.executable, "-c", FORK_AFTER_THE_END, str(tmp_path), server.url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert is_asked.wait(PATIENCE_SECONDS)
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.wait(PATIENCE_SECONDS) == 0
            (path,) = tmp_path.glob("*.outbox")
            file = OutboxFile.claim(path)
        ended.set()

    assert file is not None
    file.close()


@pytest.mark.parametrize("setting", ["TRACKERAPI_OUTBOX", "XDG_STATE_HOME"])
def test_script_that_changes_its_folder_keeps_its_outbox(
    scripts: Scripts, setting: str
) -> None:
    """A relative outbox path is resolved once, when the tracker is created."""
    if setting == "XDG_STATE_HOME":
        settings = {"TRACKERAPI_OUTBOX": "outbox", setting: "."}
    else:
        settings = {setting: "outbox"}
    output, errors = scripts.run(
        """\
        os.mkdir("elsewhere")
        tracker = TrackerApi(mode="offline")
        job = tracker.job(JOB)
        os.chdir("elsewhere")
        send(job, 5)
        os.chdir("/")
        send(job, 5)
        tracker.close()
        send(job, 5)
        """,
        **settings,
    )

    assert (output, errors) == ("", "")
    assert list((scripts.folder / "elsewhere").iterdir()) == []
    scripts.assert_all_arrive_once()


def test_user_without_a_home_folder_is_tracked_from_memory(
    backend: RunningBackend,
    tracker: TrackerApi,
    job: TrackerJob,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a home folder, events are delivered from memory."""
    monkeypatch.delenv("XDG_STATE_HOME")

    def no_home() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", no_home)
    with TrackerApi(backend.api_key, backend.base_url) as other:
        handle = other.job(job.provider_job_id)
        ids = [handle.send_event(kind="info") for _ in range(50)]
        deliver(other)
        ids.append(handle.send_event(kind="info"))

    assert [event.event_id for event in stored(tracker, job)] == ids


@pytest.mark.parametrize("umask", [0, 0o077, 0o022])
def test_files_and_folders_are_private(
    backend: RunningBackend, job: TrackerJob, tmp_path: Path, umask: int
) -> None:
    """Folders have mode 0700 and files 0600, for each umask."""
    outbox = tmp_path / "made" / "outbox"
    reported = threading.Event()
    options: dict[str, Any] = {"outbox": outbox, "on_problem": lambda _: reported.set()}
    before = os.umask(umask)
    try:
        for job_id in (job.provider_job_id, str(uuid.uuid4())):
            where = (backend.api_key, backend.base_url)
            with TrackerApi(*where, shutdown_timeout=30, **options) as tracker:
                tracker.job(job_id).send_event(kind="info")
        assert reported.wait(30)
    finally:
        os.umask(before)

    found = [outbox, *outbox.rglob("*")]
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in found}
    assert {p.suffix for p in found} >= {"", ".outbox", ".ack", ".held"}
    assert (outbox / "delivered").is_dir()
    assert {m for p, m in modes.items() if p.is_dir()} == {0o700}
    assert {m for p, m in modes.items() if p.is_file()} == {0o600}


def test_no_file_names_machine_or_user(
    gateway: Gateway,
    job: TrackerJob,
    outbox: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No file and no request contains the name of the machine or the user."""
    for name in ("USER", "LOGNAME", "USERNAME", "HOSTNAME", "HOST"):
        monkeypatch.setenv(name, f"canary-{name}")
    for module, name in (
        (socket, "gethostname"),
        (socket, "getfqdn"),
        (platform, "node"),
        (getpass, "getuser"),
    ):
        monkeypatch.setattr(module, name, lambda *_: "canary-name")
    uname = os.uname()
    fields = (uname[0], "canary-node", *uname[2:])
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(fields))
    reported = threading.Event()
    options: dict[str, Any] = {"outbox": outbox, "on_problem": lambda _: reported.set()}
    for job_id in (job.provider_job_id, str(uuid.uuid4())):
        key = gateway.backend.api_key
        with TrackerApi(key, gateway.url, shutdown_timeout=30, **options) as tracker:
            handle = tracker.job(job_id)
            handle.send_event(kind="info")
            handle.send_event(kind="error", detail="Traceback")
    assert reported.wait(30)

    assert {path.suffix for path in outbox.rglob("*")} >= {".outbox", ".ack", ".held"}
    real_names = [n for n in (socket.gethostname(), uname[1]) if len(n) > 3]
    for name in ("canary", *real_names):
        assert name.encode() not in folder_content(outbox)
    assert not [r for r in gateway.server.requests if "canary" in repr(r)]
