"""Recipes under `docs/recipes`: each page works as printed."""

import os
import shutil
import signal
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.backend import DemoBackend, start_backend
from scripts.project import ROOT
from tests.support.debian import need
from tests.support.documents import (
    PATIENCE_SECONDS,
    marked_blocks,
    reader_environment,
    run,
    write_files,
)
from tests.support.fault_proxy import FaultProxy
from tests.support.pod import Pod
from trackerapi import TrackerApi
from trackerapi.jobs.endings import JOB_FAILED
from trackerapi.models import Job, JobEvent

SNAKEMAKE = "snakemake==9.27.1"
RECIPES = ROOT / "docs/recipes"


class Reader:
    """Reader of a recipe: writes its files and runs its commands in one folder.

    Args:
        recipe: File name of the page.
        folder: Folder for the files and commands.
        backend: Destination of the reports.
    """

    def __init__(self, recipe: str, folder: Path, backend: DemoBackend) -> None:
        self.folder, self._backend = folder, backend
        self.blocks = marked_blocks(RECIPES / recipe)
        self.settings = {
            "TRACKERAPI_BASE_URL": backend.base_url,
            "TRACKERAPI_API_KEY": backend.api_key,
        }
        write_files(self.blocks, folder)

    def run_commands(self) -> str:
        """Run all commands of the page; return their standard output."""
        commands = [block.text for block in self.blocks if not block.file_name]
        return "".join(
            run(["bash", "-euc", command], self.folder, **self.settings)
            for command in commands
        )

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Start a command in a process group of its own."""
        environment = reader_environment(self.folder, **self.settings)
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def status_of(self, *command: str) -> int:
        """Run a command to its end; return its exit status."""
        process = self.start(*command)
        process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode

    def job(self, job_id: str) -> Job:
        """Return a job from the backend."""
        with TrackerApi(self._backend.api_key, self._backend.base_url) as tracker:
            return tracker.get_job(job_id)

    def events(self, job_id: str) -> list[JobEvent]:
        """Return the events of a job that the backend has stored."""
        with TrackerApi(self._backend.api_key, self._backend.base_url) as tracker:
            return list(tracker.job(job_id).events())


@pytest.fixture
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoBackend]:
    """Run one backend for each test: recipes use fixed job ids."""
    with start_backend(tmp_path_factory.mktemp("backend")) as own:
        yield own


@pytest.fixture(scope="session")
def snakemake_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the command snakemake.

    Without the command, skip the test; in CI, install Snakemake.
    """
    there = shutil.which("snakemake")
    if there:
        return Path(there).parent
    if not os.environ.get("CI"):
        pytest.skip("the command snakemake is missing")
    own = tmp_path_factory.mktemp("snakemake")
    venv.create(own, with_pip=True)
    pip = [own / "bin/python", "-m", "pip", "install", "--quiet", SNAKEMAKE]
    subprocess.run(pip, check=True)
    return own / "bin"


@pytest.fixture
def snakemake(snakemake_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the command snakemake to PATH."""
    path = os.pathsep.join([os.environ["PATH"], str(snakemake_folder)])
    monkeypatch.setenv("PATH", path)


@pytest.fixture
def shell(backend: DemoBackend, tmp_path: Path) -> Reader:
    """Return a reader of the recipe for shell scripts."""
    return Reader("shell_script.md", tmp_path, backend)


NIGHT = ("bash", "nightly_import.sh", "2026-11-25")
NIGHT_ID = "nightly-import-2026-11-25"


def test_shell_script_works_as_printed(shell: Reader) -> None:
    """The job succeeds, each step is done, and the output file is complete."""
    assert "Nightly import: succeeded, 100 %" in shell.run_commands()

    job = shell.job(NIGHT_ID)
    assert [step.status for step in job.steps] == ["done"] * 3
    assert (job.steps[1].completed, job.steps[1].total) == (200, 200)
    assert (shell.folder / "loaded.txt").read_text().endswith("order 200\n")


def test_failing_line_of_the_shell_script_fails_the_job(shell: Reader) -> None:
    """The script exits with 1; only the provider's details contain the command."""
    (shell.folder / "converted.txt").mkdir()

    assert shell.status_of(*NIGHT) == 1

    job = shell.job(NIGHT_ID)
    assert job.status == "failed"
    assert [step.status for step in job.steps] == ["done", "running", "not_run"]
    failure = shell.events(NIGHT_ID)[-1]
    assert failure.message == JOB_FAILED
    assert "sed 's/^/order /'" in (failure.detail or "")
    assert "status 1" in (failure.detail or "")


def test_rerun_of_the_shell_script_completes_the_failed_job(shell: Reader) -> None:
    """The same job succeeds in a rerun after the cause was fixed."""
    (shell.folder / "converted.txt").mkdir()
    assert shell.status_of(*NIGHT) == 1
    (shell.folder / "converted.txt").rmdir()

    assert shell.status_of(*NIGHT) == 0

    job = shell.job(NIGHT_ID)
    assert (job.status, job.percent) == ("succeeded", 100.0)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, "interrupted"), (signal.SIGINT, "cancelled")],
)
def test_stopped_shell_script_reports_the_kind_of_stop(
    shell: Reader, number: signal.Signals, status: str
) -> None:
    """A signal ends the script; SIGTERM makes the job interrupted, SIGINT cancelled."""
    orders = shell.folder / "orders.txt"
    os.mkfifo(orders)
    with shell.start(*NIGHT) as process:
        orders.read_bytes()
        with orders.open("wb"):  # The filter of the script waits for data now.
            os.killpg(process.pid, number)
            process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -number
    assert shell.job(NIGHT_ID).status == status


def test_shell_script_runs_unchanged_while_the_backend_is_down(shell: Reader) -> None:
    """The script exits with 0; `trackerapi sync` delivers its reports later."""
    with FaultProxy(shell.settings["TRACKERAPI_BASE_URL"]) as proxy:
        shell.settings["TRACKERAPI_BASE_URL"] = proxy.url
        with proxy.down():
            assert shell.status_of(*NIGHT) == 0
        assert shell.status_of("trackerapi", "sync") == 0

    assert (shell.folder / "loaded.txt").read_text().endswith("order 200\n")
    assert shell.job(NIGHT_ID).status == "succeeded"


def test_gnu_parallel_works_as_printed(backend: DemoBackend, tmp_path: Path) -> None:
    """All pictures are converted and counted, and the job succeeds."""
    need("parallel", "parallel")
    reader = Reader("gnu_parallel.md", tmp_path, backend)

    assert "Convert pictures: succeeded, 100 %" in reader.run_commands()

    steps = reader.job("pictures-7").steps
    assert (steps[0].completed, steps[0].total) == (20, 20)
    assert (tmp_path / "pictures/20.converted").read_text() == "PICTURE 20\n"


def test_picture_that_fails_under_gnu_parallel_fails_the_job(
    backend: DemoBackend, tmp_path: Path
) -> None:
    """The job fails with 19 of 20 pictures; the script exits with status 1."""
    need("parallel", "parallel")
    reader = Reader("gnu_parallel.md", tmp_path, backend)
    reader.run_commands()
    (tmp_path / "pictures/7.converted").unlink()
    (tmp_path / "pictures/7.converted").mkdir()

    assert reader.status_of("bash", "convert_all.sh", "8") == 1

    job = reader.job("pictures-8")
    assert job.status == "failed"
    assert (job.steps[0].completed, job.steps[0].total) == (19, 20)


@pytest.mark.usefixtures("snakemake")
def test_snakemake_works_as_printed(backend: DemoBackend, tmp_path: Path) -> None:
    """Reports of the rules for three samples add up to 3 of 3 units in one step."""
    reader = Reader("snakemake.md", tmp_path, backend)

    assert "Measure samples: succeeded, 100 %" in reader.run_commands()

    step = reader.job("samples-7").steps[0]
    assert (step.status, step.completed, step.total) == ("done", 3, 3)
    assert (tmp_path / "report.txt").read_text().count("measured") == 3


@pytest.mark.usefixtures("snakemake")
def test_failing_rule_of_snakemake_fails_the_job(
    backend: DemoBackend, tmp_path: Path
) -> None:
    """The customer's message is general; the provider's details contain the log."""
    reader = Reader("snakemake.md", tmp_path, backend)
    path = tmp_path / "Snakefile"
    path.write_text(path.read_text().replace("cat {input}", "cat no-such-file"))

    assert reader.status_of("snakemake", "--cores", "2") == 1

    assert reader.job("samples-7").status == "failed"
    failure = reader.events("samples-7")[-1]
    assert failure.message == JOB_FAILED
    assert "no-such-file" in (failure.detail or "")


@pytest.fixture
def kubernetes(backend: DemoBackend, tmp_path: Path) -> Reader:
    """Return a reader of the recipe for a Kubernetes pod."""
    return Reader("kubernetes_sidecar.md", tmp_path, backend)


def pod_of(reader: Reader) -> Pod:
    """Return the pod of the recipe."""
    manifest = (reader.folder / "pod.yaml").read_text()
    return Pod(manifest, reader.folder, reader.settings)


def assert_imported(reader: Reader) -> None:
    """Assert that all reports of the pod have arrived."""
    job = reader.job("import-7")
    assert job.status == "succeeded"
    newest = [event for event in reader.events("import-7") if event.kind == "progress"]
    assert (newest[-1].completed, newest[-1].total) == (500, 500)
    assert not list((reader.folder / "volume-outbox").glob("*.outbox"))


def test_sidecar_delivers_the_reports_of_both_containers(kubernetes: Reader) -> None:
    """Reports of two containers arrive through the volume before the pod ends."""
    pod_of(kubernetes).run()

    assert_imported(kubernetes)
    assert (kubernetes.folder / "work/orders.txt").read_text().count("\n") == 500


def test_restarted_container_completes_the_job_of_the_killed_one(
    kubernetes: Reader,
) -> None:
    """A container killed with SIGKILL and started again completes the job."""
    pod = pod_of(kubernetes)
    begin, work = pod.sequential_containers
    orders = kubernetes.folder / "work/orders.txt"
    orders.parent.mkdir()
    os.mkfifo(orders)
    with pod.running_sidecars():
        assert pod.start(begin).wait(PATIENCE_SECONDS) == 0
        killed = pod.start(work)
        with orders.open("rb") as data:
            assert data.read(1)
            os.killpg(killed.pid, signal.SIGKILL)
            killed.wait()
        orders.unlink()
        assert pod.start(work).wait(PATIENCE_SECONDS) == 0

    assert_imported(kubernetes)


def test_every_recipe_has_a_test() -> None:
    """This module tests each page of the folder."""
    followed = {"shell_script", "gnu_parallel", "snakemake", "kubernetes_sidecar"}

    assert {path.stem for path in RECIPES.glob("*.md")} == followed
