"""An imaging study whose steps run in a gateway process and two worker processes.

Run it with `python -m demo.pipeline`. The gateway receives and checks the images. Two
workers, which have only the backend's address and a job token, find the organs. Then
the gateway writes the report. With `--crash`, a worker is killed, and all workers are
started again. To see a crash of the gateway, kill it and run it again with the same
`--id` and `--folder`: the gateway continues with the first unfinished step.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from demo.backend import DemoBackend, find_or_start_backend
from demo.pipeline_worker import SCANS, WORKERS, results_of, scans_of
from trackerapi import (
    JobConfigManager,
    TrackerApi,
    TrackerError,
    TrackerJob,
    TrackerStep,
)

CONFIGURATIONS = Path(__file__).with_name("job_configurations.json")
BLURRED = 7
ATTEMPTS_NEEDED = 3
STATUS_OF_A_CRASH = 70


class Study:
    """One study and its files.

    Args:
        job: Handle of the study's job.
        folder: Folder of the study's files.
        base_url: Address of the backend, for the workers.
        is_crashing: Whether the first worker is killed in the middle of its work.
    """

    def __init__(
        self, job: TrackerJob, folder: Path, base_url: str, *, is_crashing: bool
    ) -> None:
        self.job, self.folder = job, folder
        self.base_url, self.is_crashing = base_url, is_crashing

    def receive(self, step: TrackerStep) -> None:
        """Receive the images."""
        for number in step.track(range(SCANS)):
            (self.folder / f"scan-{number:02}.dat").write_bytes(os.urandom(64))

    def check_quality(self, step: TrackerStep) -> None:
        """Leave out blurred images."""
        for scan in step.track(scans_of(self.folder)):
            if int(scan.stem[-2:]) % 10 == BLURRED:
                step.item_failed(scan.name, customer="A blurred image was left out.")
                scan.unlink()

    def convert(self, step: TrackerStep) -> None:
        """Convert the images; the first two attempts fail with a ConnectionError."""
        scans = scans_of(self.folder)
        for attempt in step.attempts(5, on=(ConnectionError,), wait_seconds=0.01):
            with attempt:
                step.detail("converting", attempt=attempt.number)
                if attempt.number < ATTEMPTS_NEEDED:
                    raise ConnectionError("the archive hung up")
        step.metadata["Images"] = len(scans)

    def segment(self, step: TrackerStep) -> None:
        """Find the organs in worker processes; start them again after a crash."""
        step.total = len(scans_of(self.folder))
        token = self.job.token()
        for attempt in step.attempts(
            3, on=(subprocess.CalledProcessError,), wait_seconds=0.1
        ):
            with attempt:
                crashing = attempt.number if self.is_crashing else 0
                workers = [
                    self._start(share, token, is_crashing=(share, crashing) == (0, 1))
                    for share in range(WORKERS)
                ]
                # Wait for all workers before the next attempt: two workers with the
                # same share would measure each image twice.
                statuses = [worker.wait() for worker in workers]
                if any(statuses):
                    raise subprocess.CalledProcessError(max(statuses), "worker")

    def compare(self, step: TrackerStep) -> None:
        """Skip the comparison: the demo has no earlier study."""
        step.skip("There is no earlier study.")

    def report(self, step: TrackerStep) -> None:
        """Write the found organs to a file."""
        found = [path.read_text() for path in results_of(self.folder)]
        (self.folder / "report.txt").write_text("\n".join(found))
        step.note(f"{len(found)} images were measured.")

    def do_nothing(self, _step: TrackerStep) -> None:
        """Do nothing; this is the work of steps without their own method."""

    def _start(
        self, share: int, token: str, *, is_crashing: bool
    ) -> "subprocess.Popen[bytes]":
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TRACKERAPI_BASE_URL": self.base_url,
            "TRACKERAPI_JOB": token,
            "TRACKERAPI_OUTBOX": str(self.folder / f"outbox-{share}"),
        }
        crash = ["--crash"] if is_crashing else []
        command = [sys.executable, "-m", "demo.pipeline_worker", *crash]
        return subprocess.Popen(
            [*command, str(share), str(self.folder)], env=environment
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study; return 0 if the study succeeded, else 1."""
    options = build_parser().parse_args(argv)
    try:
        with find_or_start_backend(os.environ) as backend:
            return run(backend, options)
    except (TrackerError, OSError) as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.pipeline",
        description="Run a study in a gateway and two workers.",
    )
    parser.add_argument("--id", metavar="ID", help="id of a study to continue")
    parser.add_argument("--folder", type=Path, help="folder of the files of the study")
    parser.add_argument(
        "--crash", action="store_true", help="kill a worker in its work"
    )
    parser.add_argument(
        "--crash-after", metavar="STEP", help="end without clean-up after this step"
    )
    return parser


def run(backend: DemoBackend, options: argparse.Namespace) -> int:
    """Run the study; return 0 if the study succeeded, else 1."""
    JobConfigManager(configurations_file=CONFIGURATIONS)
    study_id = options.id or f"study-{uuid.uuid4()}"
    folder: Path = options.folder or Path(tempfile.mkdtemp(prefix="study-"))
    folder.mkdir(parents=True, exist_ok=True)
    with TrackerApi(api_key=backend.api_key, base_url=backend.base_url) as tracker:
        with tracker.run_job(study_id, backend.customer_id, "imaging_study") as job:
            print(f"Study {study_id} in {folder}")
            print(f"The customer's page: {job.share_link()}", flush=True)
            study = Study(job, folder, tracker.base_url, is_crashing=options.crash)
            for step in job.steps.values():
                # A step that an earlier run finished is not ready.
                if not step.is_ready:
                    continue
                work: Callable[[TrackerStep], None]
                work = getattr(study, step.tag, study.do_nothing)
                with step:
                    work(step)
                print(f"{step.tag}: {step.status}", flush=True)
                if step.tag == options.crash_after:
                    os._exit(STATUS_OF_A_CRASH)
        tracker.flush()
        result = job.fetch()
    print(f"{result.name}: {result.status}, {result.percent:g} %")
    return 0 if result.status == "succeeded" else 1


if __name__ == "__main__":
    raise SystemExit(main())
