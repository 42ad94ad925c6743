"""Durability of acknowledged events: full disks, file-size limits, `kill -9`."""

from __future__ import annotations

import resource
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from backend.tests.support.disks import make_space, small_disk
from backend.tests.support.reporting import (
    ReportingThread,
    assert_all_stored,
    kill_while_reporting,
    report_from_threads,
)
from backend.tests.support.service import (
    prepare,
    problem_name,
    send_lines,
    serve_existing,
)

if TYPE_CHECKING:
    from pathlib import Path

FILE_LIMIT_BYTES = 10 * 1024 * 1024


def limit_file_sizes(process: subprocess.Popen[str], limit: int) -> None:
    """Limit the size of all files that a process writes, in bytes."""
    resource.prlimit(
        process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
    )


def assert_rejected_with_retry_after(threads: list[ReportingThread]) -> None:
    """Check that each rejected batch got status 503 with Retry-After."""
    answers = [answer for thread in threads for answer in thread.refused]
    assert {problem_name(answer) for answer in answers} == {"unavailable"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)


def test_backup_of_a_killed_server_has_all_acknowledged_events(
    tmp_path: Path,
) -> None:
    """A copied database with `-wal` file and pepper has each acknowledged event."""
    origin, copy = tmp_path / "origin", tmp_path / "copy"
    origin.mkdir()
    keys = prepare(origin)
    threads = kill_while_reporting(origin, keys)
    copy.mkdir()
    for name in ("backend.db", "backend.db-wal", "pepper"):
        shutil.copy(origin / name, copy)
    with serve_existing(copy, keys) as (_process, service):
        assert_all_stored(service, threads)


def test_acknowledged_events_survive_a_limit_of_file_sizes(
    tmp_path: Path,
) -> None:
    """Batches beyond the file-size limit get 503; after the limit is raised, 200."""
    keys = prepare(tmp_path)
    with serve_existing(tmp_path, keys) as (process, service):
        limit_file_sizes(process, FILE_LIMIT_BYTES)
        with report_from_threads(service) as threads:
            pass
        assert_rejected_with_retry_after(threads)
        assert_all_stored(service, threads)
        limit_file_sizes(process, resource.RLIM_INFINITY)
        with service.client() as api:
            assert send_lines(api, [_info(threads[0])]).json()["accepted"] == 1
        process.kill()
    with serve_existing(tmp_path, keys) as (_process, service):
        assert_all_stored(service, threads)


def test_acknowledged_events_survive_a_full_disk(tmp_path: Path) -> None:
    """Batches beyond the free space get 503; each acknowledged event is stored."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "disk"))
        keys = prepare(disk)
        with serve_existing(disk, keys) as (process, service):
            with report_from_threads(service) as threads:
                pass
            assert_rejected_with_retry_after(threads)
            assert_all_stored(service, threads)
            process.kill()
            process.wait()
        make_space(disk)
        with serve_existing(disk, keys) as (_process, service):
            assert_all_stored(service, threads)
            with service.client() as api:
                assert send_lines(api, [_info(threads[0])]).json()["accepted"] == 1


def _info(thread: ReportingThread) -> dict[str, Any]:
    return {"provider_job_id": thread.job["provider_job_id"], "kind": "info"}
