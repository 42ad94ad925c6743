"""Checks of percent and status: the rows of the table `projection.json`.

All rows run together, so that the table needs few requests. Each row has a job. A batch
reports the next event of each row, and a list of jobs then returns the new states.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

from trackerapi_backend.conformance.expectations import Mismatch, expect, expect_all
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trackerapi_backend.conformance.session import Session

group = Group("projection")

TABLE: Mapping[str, Any] = json.loads(
    files("trackerapi_backend.conformance").joinpath("projection.json").read_bytes()
)
# The contract rejects a configuration without steps.
CASES: Sequence[Mapping[str, Any]] = [
    case for case in TABLE["cases"] if case["points"] != {}
]
BEFORE: Mapping[str, Any] = TABLE["cells"]["before"]
# The events that change no status form one row, and its jobs receive all of them.
CELL_ROWS: Sequence[Mapping[str, Any]] = [
    *(
        {"events": [row["event"]], "after": row["after"]}
        for row in TABLE["cells"]["rows"]
        if row["after"]
    ),
    {
        "events": [row["event"] for row in TABLE["cells"]["rows"] if not row["after"]],
        "after": {},
    },
]
# A single event has no reverse order.
LATE_CASES = [case for case in CASES if len(case["events"]) > 1]
MAX_LINES = 1000
MAX_LIST_PAGES = 50

Job = dict[str, Any]
Events = list[dict[str, Any]]


class _Histories:
    """Jobs of one customer; a batch reports events of many of the jobs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._customer_id = session.new_customer()["id"]
        self._tags: dict[str, str] = {}

    def new_job(self, points: Mapping[str, int] | None, finish: str = "auto") -> Job:
        """Create a job; return the job.

        Args:
            points: Points of the steps by tag; None for a job without a configuration.
            finish: Value of the member `finish`.
        """
        tag = self._tags.get(repr(points))
        members: dict[str, Any] = {"finish": finish, "customer_id": self._customer_id}
        if tag is None:
            tag = self._tags[repr(points)] = self._session.new_name()
            if points is not None:
                members["configuration"] = _configuration(tag, points)
        sent = self._session.job_input(tag=tag) | members
        if "configuration" not in members:
            del sent["configuration"]
        return dict(self._session.call("create_job", sent).require(201))

    def report(self, reports: Sequence[tuple[Job, Mapping[str, Any]]]) -> None:
        """Report events of jobs, in as few batches as possible."""
        lines = iter(
            [
                {"provider_job_id": job["provider_job_id"], **event}
                for job, event in reports
            ]
        )
        while batch := list(islice(lines, MAX_LINES)):
            report = self._session.report_batch(batch)
            expect("accepted lines of a batch", len(batch), report["accepted"])

    def states(self) -> dict[int, Job]:
        """Return the present states of all jobs, by job id."""
        query: dict[str, object] = {"customer_id": self._customer_id, "limit": 200}
        states: dict[int, Job] = {}
        for _ in range(MAX_LIST_PAGES):
            page = self._session.call("list_jobs", query=query).require(200)
            states |= {job["id"]: job for job in page["items"]}
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        return states


def _configuration(tag: str, points: Mapping[str, int]) -> dict[str, Any]:
    steps = [{"tag": each, "name": each, "points": points[each]} for each in points]
    return {"tag": tag, "name": tag, "step_configurations": steps}


class _Rows:
    """States of the rows of the table, from the jobs of one session.

    Attributes:
        in_order: States of each case, by name; the events arrived in order.
        late: Final state of each case, by name; the events arrived in reverse order.
        cells: States before and after the events of each cell.
    """

    def __init__(self, session: Session) -> None:
        self._histories = _Histories(session)
        self.in_order = self._in_order()
        self.late = self._late()
        self.cells = self._cells()

    def _new_jobs(self, cases: Sequence[Mapping[str, Any]]) -> list[Job]:
        return [
            self._histories.new_job(case["points"], case["finish"]) for case in cases
        ]

    def _in_order(self) -> dict[str, list[Job]]:
        """Return the states of each case: before the events, and after each event."""
        jobs = self._new_jobs(CASES)
        states = {case["name"]: [job] for case, job in zip(CASES, jobs, strict=True)}
        for number in range(max(len(case["events"]) for case in CASES)):
            running = [
                (job, case)
                for job, case in zip(jobs, CASES, strict=True)
                if number < len(case["events"])
            ]
            self._histories.report(
                [(job, case["events"][number]) for job, case in running]
            )
            now = self._histories.states()
            for job, case in running:
                states[case["name"]].append(now[job["id"]])
        return states

    def _late(self) -> dict[str, Job]:
        """Report the events of each case in reverse order; return the final states."""
        jobs = self._new_jobs(LATE_CASES)
        for number in range(max(len(case["events"]) for case in LATE_CASES)):
            self._histories.report(
                [
                    (job, _timed(case["events"])[-1 - number])
                    for job, case in zip(jobs, LATE_CASES, strict=True)
                    if number < len(case["events"])
                ]
            )
        now = self._histories.states()
        return {
            case["name"]: now[job["id"]]
            for case, job in zip(LATE_CASES, jobs, strict=True)
        }

    def _cells(self) -> dict[tuple[int, str], tuple[Job, Job]]:
        """Return the states before and after the events of each cell.

        A cell is a row of events for a job in one status of `BEFORE`. The key of a cell
        is the number of the row and the status before the events.
        """
        jobs = {
            (number, before): self._histories.new_job(_points(row["events"]))
            for number, row in enumerate(CELL_ROWS)
            for before in BEFORE
        }
        earlier = [
            (job, event)
            for (_number, before), job in jobs.items()
            for event in BEFORE[before]
        ]
        later = [
            (job, event)
            for (number, _before), job in jobs.items()
            for event in CELL_ROWS[number]["events"]
        ]
        states = []
        for reports in (earlier, later):
            self._histories.report(reports)
            states.append(self._histories.states())
        return {
            cell: (states[0][job["id"]], states[1][job["id"]])
            for cell, job in jobs.items()
        }


def _points(events: Events) -> dict[str, int]:
    return {"last": 1} if events[0].get("tag") == "last" else {"a": 1, "b": 1}


def _timed(events: Events) -> Events:
    """Return events with times at intervals of one second."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        event | {"occurred_at": (start + timedelta(seconds=number)).isoformat()}
        for number, event in enumerate(events)
    ]


def _rows(session: Session) -> _Rows:
    """Return the states of all rows; the first call of a session reports the events."""
    return session.shared(_Rows)


def _check_case(case: Mapping[str, Any], session: Session) -> None:
    first, *states = _rows(session).in_order[case["name"]]
    expect("percent at first", 0 if case["points"] else None, first["percent"])
    percents = [state["percent"] for state in states]
    expect("percent after each event", case["percents"], percents)
    last = ([first, *states])[-1]
    _check_end(case, last)
    steps = {step["tag"]: step for step in last["steps"]}
    for tag, count in case.get("attempts", {}).items():
        expect(f"attempts of step {tag}", count, steps[tag]["attempts"])


def _check_late(case: Mapping[str, Any], session: Session) -> None:
    _check_end(case, _rows(session).late[case["name"]])


def _check_end(case: Mapping[str, Any], job: Job) -> None:
    expect_all("the job", {"status": case["status"]}, job)
    shown = {step["tag"]: step["status"] for step in job["steps"]}
    expect("statuses of the steps", case["steps"], shown)
    if case["percents"]:
        expect("percent at the end", case["percents"][-1], job["percent"])


def _check_cells(number: int, session: Session) -> None:
    for before in BEFORE:
        earlier, after = _rows(session).cells[number, before]
        what = f"job that was {before}"
        expect(
            f"first status of a {what}", before.split(maxsplit=1)[0], earlier["status"]
        )
        status = CELL_ROWS[number]["after"].get(before, earlier["status"])
        expect(f"status of a {what}", status, after["status"])
        if after["percent"] < earlier["percent"]:
            percent = f"at least {earlier['percent']}"
            raise Mismatch(f"percent of a {what}", percent, after["percent"])
        has_succeeded = "succe" in before or status == "succeeded"
        expect(f"whether a {what} has 100 %", has_succeeded, after["percent"] == 100)
        is_over = status not in ("pending", "running", "interrupted")
        expect(f"whether a {what} has ended", is_over, after["finished_at"] is not None)


for _number, _case in enumerate(CASES, start=1):
    group.add(f"row-{_number}", _case["name"], partial(_check_case, _case))
for _number, _case in enumerate(LATE_CASES, start=1):
    group.add(
        f"late-{_number}",
        f"{_case['name']}, with the events in reverse order",
        partial(_check_late, _case),
    )
for _number, _row in enumerate(CELL_ROWS[:-1]):
    [_event] = _row["events"]
    _more = "-retrying" if _event.get("retrying") else ""
    group.add(
        f"{_event['kind']}-of-{_event.get('tag', 'job')}{_more}",
        f"{json.dumps(_event)} changes each status of a job as in the table",
        partial(_check_cells, _number),
    )
group.add(
    "no-effect",
    f"{len(CELL_ROWS[-1]['events'])} other events change no status of a job",
    partial(_check_cells, len(CELL_ROWS) - 1),
)
