"""Metrics of the server: OpenMetrics on an address of their own."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from trackerapi_backend.measurements import BOUNDS_SECONDS, Histogram
from trackerapi_backend.metrics.openmetrics import Family, render
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.busy_writer import keep_busy
from backend.tests.support.postgres import new_database
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    command,
    command_here,
    error_line,
    first_line,
    new_job,
    prepare,
    report,
    send_lines,
    start_command,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from prometheus_client import Metric

VARIABLE = "TRACKERAPI_BACKEND_METRICS_ADDRESS"
TEXT = "application/openmetrics-text; version=1.0.0; charset=utf-8"
LABELS = {"operation", "status", "outcome", "le", "version", "python"}


@dataclass(frozen=True, slots=True)
class Metered:
    """A backend with metrics.

    Attributes:
        url: Address of the metrics, with the path.
    """

    service: Service
    url: str

    def families(self) -> dict[str, Metric]:
        """Return the metrics by name."""
        answer = httpx.get(self.url, timeout=MAX_WAIT_SECONDS)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == TEXT
        families = {
            each.name: each for each in text_string_to_metric_families(answer.text)
        }
        assert len(families) == answer.text.count("# TYPE ")
        return families

    def values(self) -> dict[tuple[str, str], float]:
        """Return each value by its name and the text of its label values."""
        return {
            (sample.name, " ".join(map(str, sample.labels.values()))): sample.value
            for family in self.families().values()
            for sample in family.samples
        }

    def wait_for(
        self, is_expected: Callable[[dict[tuple[str, str], float]], bool]
    ) -> dict[tuple[str, str], float]:
        """Return the values once they are as expected.

        The server counts a request after it has sent the response.
        """
        ends = time.monotonic() + MAX_WAIT_SECONDS
        while not is_expected(values := self.values()):
            assert time.monotonic() < ends, values
        return values


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def metered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Metered]:
    """A backend with metrics, once on each engine."""
    folder = tmp_path_factory.mktemp("metered")
    database: object = nullcontext(None)
    if request.param == "postgres":
        database = new_database(request.getfixturevalue("postgres"))
    with database as url:  # type: ignore[attr-defined]
        keys, log = prepare(folder, url), folder / "log"
        arguments = ("serve", "--port", "0", "--metrics-address", "127.0.0.1:0")
        with start_command(
            *arguments, environment=variables_of(folder, url), log=log
        ) as process:
            service = Service(base_url=first_line(process).split()[-1], keys=keys)
            text = log.read_text().partition("metrics are at ")[2]
            metrics_url = text.partition('"')[0]
            # A connection of a scraper that stays open does not delay the shutdown.
            with httpx.Client() as scraper:
                scraper.get(metrics_url)
                yield Metered(service, metrics_url)
                process.terminate()
                assert process.wait(MAX_WAIT_SECONDS) == 0


def test_requests_are_counted_by_operation_and_status(metered: Metered) -> None:
    """Each answered request counts once, and its duration once."""
    before = metered.values()
    with metered.service.client() as api:
        job = new_job(api)
        for _ in range(3):
            api.get(f"/jobs/{job['id']}")
        api.get("/jobs/999999")
    with metered.service.client(None) as anyone:
        anyone.get("/jobs")
    key = ("trackerapi_requests_total", "list_jobs 401")
    values = metered.wait_for(lambda values: values.get(key, 0) > before.get(key, 0))
    for labels, count in {
        "create_job 201": 1,
        "get_job 200": 3,
        "get_job 404": 1,
        "list_jobs 401": 1,
    }.items():
        key = ("trackerapi_requests_total", labels)
        assert values[key] - before.get(key, 0) == count
    durations = ("trackerapi_request_seconds_count", "get_job")
    assert values[durations] - before.get(durations, 0) == 4
    bucket = ("trackerapi_request_seconds_bucket", "get_job +Inf")
    assert values[bucket] == values[durations]
    assert values["trackerapi_request_seconds_sum", "get_job"] > 0


def test_events_are_counted_by_outcome(metered: Metered) -> None:
    """Accepted, duplicate and rejected events count, in batches and alone."""
    before = metered.values()
    with metered.service.client() as api:
        job = new_job(api)
        event = {"provider_job_id": job["provider_job_id"], "kind": "info"}
        one = event | {"event_id": "0193a8b0-0000-7000-8000-000000000001"}
        report(api, job, kind="info", event_id=one["event_id"])
        report(api, job, kind="info", event_id=one["event_id"])
        unknown = event | {"provider_job_id": "unknown"}
        assert api.post("/events", json=unknown).status_code == 404
        send_lines(api, [one, event, event, unknown, b"{}", b"x"])
    values = metered.values()
    grown = {
        outcome: values["trackerapi_events_total", outcome]
        - before["trackerapi_events_total", outcome]
        for outcome in ("accepted", "duplicate", "rejected")
    }
    assert grown == {"accepted": 3, "duplicate": 2, "rejected": 4}
    committed = ("trackerapi_committed_commands_total", "")
    assert values[committed] - before[committed] >= 4
    assert values["trackerapi_commit_seconds_count", ""] > 0
    assert values["trackerapi_failed_groups_total", ""] == 0
    assert values["trackerapi_queue_commands", ""] == 0


def test_store_streams_and_process_are_measured(metered: Metered) -> None:
    """Gauges have the present values of store, connections, streams and process."""
    with metered.service.client() as api:
        path = f"/jobs/{new_job(api)['id']}/stream"
        with api.stream("GET", path) as stream:
            # Keep a reference: a deleted iterator would close the stream.
            parts = stream.iter_raw()
            next(parts)
            values = metered.values()
    assert values["trackerapi_viewers", ""] == 1
    assert values["trackerapi_connections", ""] >= 1
    assert values["trackerapi_ready", ""] == 1
    assert values["trackerapi_store_size_bytes", ""] > 100_000
    assert (
        0 <= values["trackerapi_pool_in_use", ""] <= values["trackerapi_pool_size", ""]
    )
    assert values["process_open_fds", ""] < values["process_max_fds", ""]
    assert values["process_resident_memory_bytes", ""] > 10_000_000
    assert values["process_cpu_seconds_total", ""] > 0
    assert time.time() - 3600 < values["process_start_time_seconds", ""] < time.time()
    metered.wait_for(lambda values: values["trackerapi_viewers", ""] == 0)


def test_number_of_values_is_bounded_and_names_no_tenant(metered: Metered) -> None:
    """Unknown paths share one operation; no label names a provider or a job."""
    with metered.service.client() as api:
        for number in range(20):
            api.get(f"/unknown/{number}")
            api.get(f"/s/{number}/x")
            api.request("PURGE", f"/jobs/{number}")
        report(api, new_job(api), kind="info")
    address = httpx.URL(metered.service.base_url)
    with socket.create_connection((address.host, address.port or 0)) as connection:
        connection.sendall(b"BAD\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    metered.wait_for(lambda each: ("trackerapi_requests_total", "none 400") in each)
    families = metered.families()
    samples = [each for family in families.values() for each in family.samples]
    assert {name for each in samples for name in each.labels} == LABELS
    statuses = {
        each.labels["status"]
        for each in families["trackerapi_requests"].samples
        if each.labels["operation"] == "none"
    }
    assert statuses == {"400", "404", "405"}
    for family in families.values():
        assert family.name.endswith(family.unit)


def test_metrics_are_not_on_the_public_address(metered: Metered) -> None:
    """The public address has no metrics; the address of metrics has only metrics."""
    with metered.service.client("admin") as admin:
        assert admin.get("/metrics").status_code == 404
        assert "/metrics" not in admin.get("/openapi.json").json()["paths"]
    base, _, path = metered.url.rpartition("/")
    assert path == "metrics"
    for other in ("", "/", "/livez", "/jobs", "/metrics/", "/metrics/x"):
        assert httpx.get(f"{base}{other}").status_code == 404
    assert httpx.post(metered.url).status_code == 405
    head = httpx.head(metered.url)
    assert (head.status_code, head.content) == (200, b"")


def test_server_without_an_address_has_no_metrics(api: httpx.Client) -> None:
    """By default, the path of the metrics is unknown."""
    assert api.get("/metrics").status_code == 404


def test_address_in_use_is_reported_with_its_option(tmp_path: Path) -> None:
    """An address of metrics that is in use ends the start with one error."""
    prepare(tmp_path)
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        line = command(
            *("serve", "--port", "0", "--metrics-address", f"127.0.0.1:{port}"),
            *("--log-level", "error"),
            environment=variables_of(tmp_path),
        )
    assert error_line(line) == (
        f"cannot listen on 127.0.0.1:{port} (in use): choose another address with"
        " --metrics-address; port 0 selects a free port"
    )


@pytest.mark.parametrize(
    "address", ["9100", "127.0.0.1", "127.0.0.1:", ":9100", "::1:9100", "[::1]"]
)
def test_address_needs_host_and_port(address: str, tmp_path: Path) -> None:
    """The error of an incomplete address names the variable and shows two examples."""
    environment = variables_of(tmp_path) | {VARIABLE: address}
    assert error_line(command_here("serve", environment=environment)) == (
        f"{VARIABLE} must be a host and a port, as in 127.0.0.1:9100 or [::1]:9100,"
        f" got {address!r}"
    )


def test_backlog_has_number_and_age_of_commands(tmp_path: Path) -> None:
    """The number counts waiting commands; the age includes the running command."""
    prepare(tmp_path)

    async def scenario(store: SqliteStore) -> None:
        with closing(Writer(store)) as writer:
            assert writer.backlog() == (0, 0.0)
            began = time.monotonic()
            async with keep_busy(writer):
                waiting = [
                    asyncio.create_task(writer.write(lambda _db: None))
                    for _ in range(3)
                ]
                await asyncio.sleep(0.01)
                count, age = writer.backlog()
                assert count == 3
                assert 0.01 <= age <= time.monotonic() - began
            await asyncio.gather(*waiting)
            assert writer.commit_seconds.cumulative_counts()[-1] == 2
            assert writer.committed_count == 4

    with closing(SqliteStore(tmp_path / "backend.db")) as store:
        asyncio.run(scenario(store))


def test_duration_counts_in_each_bucket_up_to_its_bound() -> None:
    """A bucket counts each duration up to its bound, the bound included."""
    histogram = Histogram()
    for seconds in (0.0, BOUNDS_SECONDS[0], BOUNDS_SECONDS[1], 1e9):
        histogram.add(seconds)
    counts = histogram.cumulative_counts()
    assert counts[:3] == [2, 3, 3]
    assert counts[-2:] == [3, 4]


def test_text_of_labels_is_escaped() -> None:
    """Quotes, backslashes and line breaks of a label survive the format."""
    text = 'a"b\\c\nd'
    family = Family("example", "gauge", text)
    family.add(1.5, label=text)
    [read] = text_string_to_metric_families(render([family]).decode())
    assert read.documentation == text
    [sample] = read.samples
    assert (sample.labels, sample.value) == ({"label": text}, 1.5)
