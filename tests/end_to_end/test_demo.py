"""Demo and mock script: results, kills, wrong options and missing settings."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from demo.backend import start_backend
from scripts.project import ROOT
from tests.support.documents import PATIENCE_SECONDS, PATIENT
from trackerapi import TrackerApi


def run_demo(module: str, *arguments: str, home: Path, **environment: str) -> str:
    """Run a module of the demo as a command; return its standard output."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(home), **PATIENT, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_demo_ends_at_100_and_leaves_nothing_running(tmp_path: Path) -> None:
    """The demo prints ten steps up to 100 percent and stops its backend at the end."""
    printed = run_demo("scripts.demo", "--pace", "0.02", home=tmp_path)

    percents = [float(each) for each in re.findall(r"^ *([\d.]+) %", printed, re.M)]
    assert len(percents) == 10
    assert percents == sorted(percents)
    assert percents[-1] == 100.0
    assert "The customer's page: http://127.0.0.1:" in printed
    port = re.findall(r"A backend runs at http://127.0.0.1:(\d+)", printed)[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_terminated_demo_leaves_nothing_running(tmp_path: Path) -> None:
    """SIGTERM in the middle of a job stops the backend that the demo started."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "scripts.demo", "--pace", "60"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert "Imaging study" in process.stdout.readline()
        process.terminate()
        assert process.wait(timeout=PATIENCE_SECONDS) == 128 + signal.SIGTERM

    port = re.findall(r"A backend runs at http://127.0.0.1:(\d+)", address)[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_mockscript_starts_a_backend_when_there_is_none(tmp_path: Path) -> None:
    """Without settings, the script starts a backend and prints a line about it."""
    printed = run_demo(
        "demo.mockscript", "--job", "nightly_import", "--pace", "0.02", home=tmp_path
    )

    assert "No backend is named or running: starting one" in printed
    assert "Nightly import: succeeded" in printed


def test_mockscript_finds_the_running_dev_backend(tmp_path: Path) -> None:
    """The script uses the running `dev` backend of the user's data folder."""
    folder = tmp_path / ".local/share/trackerapi-backend"
    folder.mkdir(parents=True)
    with start_backend(folder) as backend:
        printed = run_demo(
            "demo.mockscript", "--id", "found", "--pace", "0.02", home=tmp_path
        )
        with TrackerApi(api_key=backend.api_key, base_url=backend.base_url) as tracker:
            job = tracker.get_job("found")

    assert f"Reporting to the backend at {backend.base_url}" in printed
    assert (job.status, job.percent, job.customer_id) == ("succeeded", 100.0, 142)


@pytest.mark.parametrize("lines_before_the_kill", [1, 2, 5])
def test_rerun_of_a_killed_mockscript_shows_the_page_of_an_undisturbed_run(
    tmp_path: Path, lines_before_the_kill: int
) -> None:
    """The page after `kill -9` and a rerun equals the page of an undisturbed run."""
    with start_backend(tmp_path) as backend:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            **PATIENT,
            "TRACKERAPI_BASE_URL": backend.base_url,
            "TRACKERAPI_API_KEY": backend.api_key,
        }
        run = [sys.executable, "-u", "-m", "demo.mockscript", "--pace", "0.1", "--id"]
        with subprocess.Popen(
            [*run, "killed"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for _ in range(lines_before_the_kill):
                assert process.stdout.readline()
            process.kill()
        for job_id in ("killed", "undisturbed"):
            subprocess.run(
                [*run, job_id],
                cwd=ROOT,
                env=environment,
                check=True,
                timeout=PATIENCE_SECONDS,
                stdout=subprocess.DEVNULL,
            )
        with TrackerApi(api_key=backend.api_key, base_url=backend.base_url) as tracker:
            pages = [
                httpx.get(tracker.job(job_id).share_link(), timeout=60).text
                for job_id in ("killed", "undisturbed")
            ]

    # Times differ, and so does the address of the share link.
    varying = r"<time.*?</time>|/s/[\w-]+"
    killed, undisturbed = (re.sub(varying, "", page) for page in pages)
    assert "100 %" in undisturbed
    assert killed == undisturbed


@pytest.mark.parametrize(
    "arguments", [["--pace", "-1"], ["--pace", "x"], ["--pace", "nan"]]
)
def test_mockscript_refuses_an_invalid_pace(arguments: list[str]) -> None:
    """An invalid `--pace` exits with status 2 and a message without traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "demo.mockscript", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 2
    assert "argument --pace:" in done.stderr
    assert "Traceback" not in done.stderr


def test_mockscript_reports_a_missing_key_in_one_line(tmp_path: Path) -> None:
    """An address without a key exits with status 1 and a message of one line."""
    done = subprocess.run(
        [sys.executable, "-m", "demo.mockscript"],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "TRACKERAPI_BASE_URL": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("mockscript: TRACKERAPI_API_KEY: no API key")
    assert done.stderr.count("\n") == 1
