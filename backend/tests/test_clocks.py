"""Wrong clock of the backend: jobs, events and credentials can still be created."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from backend.tests.support.service import (
    CUSTOMER,
    Service,
    first_line,
    new_name,
    prepare,
    problem_name,
    start_command,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

MAX_ID = 2**53 - 1


class Clock:
    """Clock of the backend, which a test can set."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.set(datetime.now(UTC))

    def set(self, now: datetime) -> None:
        """Set the current time."""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(now.isoformat())
        fresh.replace(self._path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the backend and its clock."""
    return tmp_path_factory.mktemp("clocks")


@pytest.fixture
def clock(folder: Path) -> Clock:
    """Clock of the backend, set to the right time at the start of a test."""
    return Clock(folder / "clock")


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    """Backend that reads its clock from the file in the folder."""
    # Python imports `sitecustomize` at its start. The backend reads the time only with
    # utc_now().
    (folder / "sitecustomize.py").write_text(
        "from datetime import datetime\n"
        "from pathlib import Path\n"
        "from trackerapi_backend import instants\n"
        f"clock = Path({str(folder / 'clock')!r})\n"
        "instants.utc_now = lambda: datetime.fromisoformat(clock.read_text())\n"
    )
    environment = {
        "TRACKERAPI_BACKEND_DATABASE": str(folder / "backend.db"),
        "PYTHONPATH": str(folder),
    }
    keys = prepare(folder)
    Clock(folder / "clock")
    with start_command("serve", "--port", "0", environment=environment) as process:
        base_url = first_line(process).split()[-1]
        yield Service(base_url=base_url, keys=keys, pid=process.pid)


def create(api: httpx.Client) -> httpx.Response:
    """Request a new job; return the response."""
    sent = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "t"}
    return api.post("/jobs", json=sent)


@pytest.mark.parametrize("year", [2041, 2300, 9998])
def test_job_is_not_created_by_a_clock_far_ahead(
    api: httpx.Client, clock: Clock, year: int
) -> None:
    """A new job gets 503 while the clock is far ahead, and 201 with the right clock."""
    before = create(api).json()["id"]
    clock.set(datetime(year, 1, 1, tzinfo=UTC))
    refused = create(api)
    clock.set(datetime.now(UTC))
    after = create(api)
    assert (refused.status_code, problem_name(refused)) == (503, "unavailable")
    assert f"is too far ahead ({year}-01-01" in refused.json()["detail"]
    assert "retry-after" in refused.headers
    assert after.status_code == 201
    assert before < after.json()["id"] <= MAX_ID


def test_jobs_have_ids_after_a_clock_far_ahead(api: httpx.Client, clock: Clock) -> None:
    """After a job of September 2039, new jobs at the right time get larger ids."""
    ahead = datetime(2039, 9, 1, tzinfo=UTC)
    clock.set(ahead)
    first = create(api)
    clock.set(datetime.now(UTC))
    ids = [first.json()["id"], *(create(api).json()["id"] for _ in range(20))]
    assert first.status_code == 201
    assert ids == sorted(set(ids))
    assert ids[-1] <= MAX_ID
    assert api.get(f"/jobs/{ids[-1]}").status_code == 200


@pytest.mark.parametrize("year", [1, 1969, 1970, 2001])
def test_everything_is_created_with_a_clock_far_behind(
    api: httpx.Client, clock: Clock, year: int
) -> None:
    """With a clock years behind, a job gets a larger id, and each creation gets 201."""
    before = create(api).json()
    clock.set(datetime(year, 1, 2, tzinfo=UTC))
    job = create(api).json()
    event: dict[str, Any] = {"provider_job_id": job["provider_job_id"], "kind": "info"}
    made = [
        api.post("/events", json=event),
        api.post("/events", json=event),
        api.post(f"/jobs/{job['id']}/tokens", json={}),
        api.post(f"/jobs/{job['id']}/share-links", json={}),
        api.post("/api-keys", json={"label": "old", "scopes": ["read"]}),
        api.post("/customers", json={}),
    ]
    assert [answer.status_code for answer in made] == [201] * len(made)
    assert job["id"] > before["id"]
    assert made[0].json()["event_id"] != made[1].json()["event_id"]
