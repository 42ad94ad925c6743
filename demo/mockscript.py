"""A job script that simulates its work and reports every step.

Run it with `python -m demo.mockscript`. The script reports to the backend that the
environment names, else to a running `trackerapi-backend dev`, else to a new backend,
which ends with the script.
"""

import argparse
import os
import random
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from demo.backend import DemoBackend, find_or_start_backend
from trackerapi import JobConfig, JobConfigManager, TrackerApi, TrackerError, TrackerJob

CONFIGURATIONS = Path(__file__).with_name("job_configurations.json")
UNITS = 200
UPDATES_A_STEP = 4
MAX_PACE_SECONDS = 3600


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; return 0 if it succeeded, 130 after Ctrl-C, else 1."""
    options = build_parser().parse_args(argv)
    try:
        with find_or_start_backend(os.environ) as backend:
            return run(backend, options)
    except (TrackerError, ValueError) as error:
        print(f"mockscript: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.mockscript",
        description="Run a job that simulates its work, and report its steps.",
    )
    tags = JobConfigManager(configurations_file=CONFIGURATIONS).tags
    parser.add_argument(
        "--job",
        choices=tags,
        default=tags[0],
        help="tag of the job (default: %(default)s)",
    )
    parser.add_argument(
        "--id", metavar="ID", help="id of a job to continue or to start"
    )
    parser.add_argument(
        "--pace",
        type=seconds,
        default=1.0,
        metavar="SECONDS",
        help="duration of a step (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, help="seed of the random durations")
    return parser


def seconds(text: str) -> float:
    """Return the duration of a text; raise for a number out of range."""
    number = float(text)
    if not 0 <= number <= MAX_PACE_SECONDS:
        raise argparse.ArgumentTypeError(f"not 0 to {MAX_PACE_SECONDS} seconds")
    return number


def run(backend: DemoBackend, options: argparse.Namespace) -> int:
    """Report the job to `backend`; return 0 if the job succeeded, else 1."""
    dice = random.Random(options.seed)  # noqa: S311 - only varies the pace
    manager = JobConfigManager(configurations_file=CONFIGURATIONS)
    config = manager.get_job_config(options.job)
    provider_job_id = options.id or f"demo-{uuid.uuid4()}"

    with TrackerApi(api_key=backend.api_key, base_url=backend.base_url) as tracker:
        job = tracker.create_job(
            provider_job_id=provider_job_id,
            customer_id=backend.customer_id,
            tag=config.name,
        )
        print(f"{config.name} {provider_job_id}")
        print(f"The customer's page: {job.share_link()}", flush=True)
        # Deliver the reports of an earlier run first. The demo waits for delivery,
        # because it reads its reports back; other jobs need not wait.
        tracker.flush()
        before = job.fetch()
        for number in range(len(config.step_configurations)):
            if before.steps[number].status in {"done", "skipped"}:
                continue
            work_on_step(job, config, number, options.pace, dice)
            tracker.flush()
            now = tracker.get_job(provider_job_id)
            step = now.steps[number]
            print(f"{now.percent:6.2f} %  {step.name}: {step.status}", flush=True)
        result = tracker.get_job(provider_job_id)

    print(f"{result.name}: {result.status}")
    return 0 if result.status == "succeeded" else 1


def work_on_step(
    job: TrackerJob, config: JobConfig, number: int, pace: float, dice: random.Random
) -> None:
    """Simulate the work of one step, and report its progress."""
    step = config.step_configurations[number]
    job.send_event(kind="start", name=step.tag)
    for update in range(1, UPDATES_A_STEP):
        time.sleep(pace / UPDATES_A_STEP * dice.uniform(0.8, 1.2))
        completed = UNITS * update // UPDATES_A_STEP
        job.send_event(kind="progress", name=step.tag, completed=completed, total=UNITS)
    time.sleep(pace / UPDATES_A_STEP)
    job.send_event(
        kind="step",
        name=step.tag,
        message=f"All {UNITS} parts are done",
        metadata={key.name: UNITS for key in step.metadata_configurations},
    )


if __name__ == "__main__":
    raise SystemExit(main())
