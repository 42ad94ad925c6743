"""Parallel kills, and the counts of their outcomes."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from scripts.proving.kills import (
    KillSetup,
    Outcome,
    job_calls,
    kill_at_random,
    kill_job,
    kill_sync,
    sync_calls,
)
from trackerapi import TrackerApi

_PROGRESS_SECONDS: Final = 10.0


class OutcomeCounts:
    """Counts outcomes and prints progress; safe to share between threads.

    Args:
        title: Name of the count in the output.
        expected: Number of expected outcomes.

    Attributes:
        outcomes: Outcomes so far, in the order of arrival.
    """

    def __init__(self, title: str, expected: int) -> None:
        self.outcomes: list[Outcome] = []
        self._title, self._expected = title, expected
        self._lock = threading.Lock()
        self._began = self._printed_at = time.monotonic()
        print(f"== {title}: {expected:,} kills", flush=True)

    @property
    def wrong(self) -> list[Outcome]:
        """Outcomes with a fault."""
        return [outcome for outcome in self.outcomes if outcome.wrong]

    def add(self, outcome: Outcome) -> None:
        """Add an outcome; print it if it has a fault."""
        with self._lock:
            self.outcomes.append(outcome)
            if outcome.wrong:
                at = f" ({outcome.moment})" if outcome.moment else ""
                print(f"   WRONG: {outcome.what}{at}: {outcome.wrong}", flush=True)
            now = time.monotonic()
            if now - self._printed_at >= _PROGRESS_SECONDS:
                self._printed_at = now
                print(
                    f"   {len(self.outcomes):,} of {self._expected:,} after "
                    f"{now - self._began:.0f} s, {len(self.wrong)} wrong",
                    flush=True,
                )

    def finish(self) -> bool:
        """Print the counts; return whether all outcomes are without a fault."""
        moments = Counter(o.moment.rstrip("+") for o in self.outcomes if o.moment)
        named = ", ".join(f"{count:,} {name}" for name, count in moments.most_common())
        killed = sum(moments.values())
        print(
            f"   {killed:,} killed ({named}), "
            f"{len(self.outcomes) - killed:,} ended before; "
            f"{len(self.wrong)} wrong; {time.monotonic() - self._began:.0f} s",
            flush=True,
        )
        return not self.wrong


class Proof:
    """Runs kills in parallel threads, called lanes.

    Args:
        setup: Backend and folder for the jobs.
        tracker: Tracker for read calls.
        lanes: Number of kills at the same time.
    """

    def __init__(self, setup: KillSetup, tracker: TrackerApi, lanes: int) -> None:
        self._setup, self._tracker, self._lanes = setup, tracker, lanes

    def kill_job_at_calls(self, sample: int | None = None) -> OutcomeCounts:
        """Kill the job at each of its calls, or at a sample of them."""
        calls = job_calls(self._setup)
        return self._at_calls("The job, at its calls", calls, kill_job, sample)

    def kill_sync_at_calls(self, sample: int | None = None) -> OutcomeCounts:
        """Kill a sync at each of its calls, or at a sample of them."""
        calls = sync_calls(self._setup)
        return self._at_calls("A sync, at its calls", calls, kill_sync, sample)

    def kill_at_random(self, count: int, seed: int) -> OutcomeCounts:
        """Kill jobs at random times."""
        counts = OutcomeCounts(f"Jobs, at random times (--seed {seed})", count)
        shares = [
            count * (lane + 1) // self._lanes - count * lane // self._lanes
            for lane in range(self._lanes)
        ]

        def run(lane: int) -> None:
            for outcome in kill_at_random(
                self._setup, self._tracker, lane, shares[lane], seed
            ):
                counts.add(outcome)

        self._run_in_lanes(run, range(self._lanes))
        return counts

    def _at_calls(
        self,
        title: str,
        calls: Sequence[str],
        kill: Callable[[KillSetup, TrackerApi, int], Outcome],
        sample: int | None,
    ) -> OutcomeCounts:
        places = spread(len(calls), sample)
        counts = OutcomeCounts(f"{title} ({len(calls):,} in all)", len(places))
        self._run_in_lanes(
            lambda place: counts.add(kill(self._setup, self._tracker, place)), places
        )
        return counts

    def _run_in_lanes(self, task: Callable[[int], None], places: Iterable[int]) -> None:
        with ThreadPoolExecutor(self._lanes) as pool:
            for done in [pool.submit(task, place) for place in places]:
                done.result()


def spread(count: int, sample: int | None) -> list[int]:
    """Return the numbers 1 to `count`, or `sample` of them spread evenly."""
    if sample is None or sample >= count:
        return list(range(1, count + 1))
    # Include the first and last call: files are created, moved and deleted there.
    step = (count - 1) / max(sample - 1, 1)
    return sorted({1 + round(number * step) for number in range(sample)})


def new_seed() -> int:
    """Return a seed that is short enough to be typed."""
    return random.SystemRandom().randrange(10_000)
