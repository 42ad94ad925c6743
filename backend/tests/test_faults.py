"""Faults during ingest: each acknowledged event is stored once, states are right."""

from __future__ import annotations

import os
import random
import time
from contextlib import closing
from typing import TYPE_CHECKING

from backend.tests.support.hot_jobs import HotJobs
from backend.tests.support.postgres import new_database
from backend.tests.support.servers import Servers

if TYPE_CHECKING:
    from pathlib import Path

KILL_ROUNDS = int(os.environ.get("KILL_ROUNDS", "3"))
"""Number of kills in each test; `scripts/prove.sh` sets a larger number."""

ROUND_SECONDS = 1.5
"""Latest moment of a kill, in seconds after the first event."""

SLOW_COMMITS = """
import time
from sqlalchemy import event
from sqlalchemy.engine import Engine

event.listen(Engine, "commit", lambda _db: time.sleep(0.02))
"""
"""Makes most kills hit a transaction before its COMMIT: an event that the server has
acknowledged too early is lost then."""


def kill_during_ingest(folder: Path, url: str | None, *, processes: int) -> None:
    """Kill a process at random moments of the ingest; check the store each time."""
    servers = Servers(folder, url, count=processes, prelude=SLOW_COMMITS)
    with closing(servers):
        jobs = HotJobs(servers.services)
        with jobs.reporters():
            for number in range(KILL_ROUNDS):
                jobs.wait_for_events(1)
                time.sleep(random.uniform(0, ROUND_SECONDS))  # noqa: S311 -- no secret
                servers.kill(number % processes)
                if processes > 1:
                    jobs.wait_for_events(1)
                jobs.assert_stored(folder, url, ended=False)
                servers.restart(number % processes)
            jobs.wait_for_events(1)
        servers.close()
        jobs.assert_stored(folder, url, ended=True)


def test_killed_server_keeps_acknowledged_events(
    tmp_path: Path, database_url: str | None
) -> None:
    """After each `kill -9`, the store has each acknowledged event once."""
    kill_during_ingest(tmp_path, database_url, processes=1)


def test_killed_server_beside_another_keeps_acknowledged_events(
    tmp_path: Path, postgres: str
) -> None:
    """After each `kill -9` of one of two processes, the other acknowledges reports."""
    with new_database(postgres) as url:
        kill_during_ingest(tmp_path, url, processes=2)
