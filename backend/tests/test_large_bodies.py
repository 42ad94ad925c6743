"""Large bodies: the most expensive values within the limits of the contract.

The tests measure the processor time of the backend process, which other load on the
machine barely changes.
"""

from __future__ import annotations

import gzip
import json
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from trackerapi_backend.requests.contract import document, operations
from trackerapi_backend.requests.large_bodies import MAX_BODY_BYTES
from trackerapi_backend.requests.schemas import resolve_schema
from trackerapi_backend.routes.events import MAX_LINES

from backend.tests.support.service import (
    Service,
    all_items,
    new_job,
    new_name,
    problem_name,
    send_lines,
    serve_new,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

MAX_CPU_SECONDS = 1.0
MAX_GROWTH_BYTES = 100 * 1024 * 1024
MAX_REPORT_BYTES = 512 * 1024
MAX_MEASUREMENTS = 3
"""Maximum number of measurements per body; one measurement within the limits is enough.

A busy machine may slow down a single measurement.
"""

WRONG_ITEMS = 400_000
UNKNOWN_MEMBERS = 90_000
DEPTHS = (254, 255, 256, 500, 985, 990, 5_000)
Location = tuple[str | int, ...]


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A backend without other requests."""
    with serve_new(tmp_path_factory.mktemp("large")) as backend:
        yield backend


@pytest.fixture
def caller(backend: Service) -> Iterator[httpx.Client]:
    """A client with a key that has all scopes."""
    with backend.client() as caller:
        yield caller


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int, measure: str) -> int:
    """Return the memory of a process, in bytes.

    Args:
        pid: Id of the process.
        measure: `VmRSS` for the current memory, `VmHWM` for the peak.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == measure:
            return int(value.split()[0]) * 1024
    raise LookupError(measure)


@contextmanager
def request_livez(backend: Service) -> Iterator[list[int]]:
    """Request `/livez` repeatedly during the block; yield the list of statuses."""
    statuses: list[int] = []
    is_over = threading.Event()

    def ask() -> None:
        with backend.client(None) as other:
            while not is_over.is_set() or not statuses:
                statuses.append(other.get("/livez").status_code)
                is_over.wait(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield statuses
    finally:
        is_over.set()
        asking.join()


def measure(backend: Service, send: Any) -> tuple[httpx.Response, float, int]:
    """Send a request; return response, processor seconds and growth in bytes."""
    # The value 5 resets the peak `VmHWM` to the current memory.
    Path(f"/proc/{backend.pid}/clear_refs").write_text("5")
    memory = memory_bytes(backend.pid, "VmRSS")
    before = cpu_seconds(backend.pid)
    answer = send()
    spent = cpu_seconds(backend.pid) - before
    return answer, spent, memory_bytes(backend.pid, "VmHWM") - memory


def faults_of(backend: Service, send: Any) -> str:
    """Return the limits that a request exceeds, as one text; empty for no limit."""
    faults: list[str] = []
    for _ in range(MAX_MEASUREMENTS):
        with request_livez(backend) as statuses:
            answer, spent, growth = measure(backend, send)
        faults = []
        if not 200 <= answer.status_code < 500:
            faults.append(f"status {answer.status_code}: {answer.text[:200]}")
        if spent > MAX_CPU_SECONDS:
            faults.append(f"{spent:.2f} s of processor time")
        if growth > MAX_GROWTH_BYTES:
            faults.append(f"{growth // 1024**2} MiB")
        if set(statuses) != {200}:
            faults.append(f"others were answered {statuses}")
        if not faults:
            break
    return ", ".join(faults)


def example(described: Mapping[str, Any]) -> Any:
    """Return a small valid value of a schema."""
    schema = resolve_schema(described, document())
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            needed = schema.get("required", ())
            return {name: example(schema["properties"][name]) for name in needed}
        case "array":
            return [example(schema["items"])] * schema.get("minItems", 0)
        case "string":
            forms = {"date-time": "2040-01-01T00:00:00Z", "uuid": "0" * 36}
            return forms.get(schema.get("format", ""), new_name())
        case "boolean":
            return True
    return schema.get("minimum", 1)


def locations(
    described: Mapping[str, Any], path: Location = ()
) -> Iterator[tuple[Location, Mapping[str, Any]]]:
    """Yield the location and the schema of every value inside a schema."""
    schema = resolve_schema(described, document())
    # Of the nested levels of metadata, the tests use the outermost and the innermost.
    if "type" in schema or path.count(0) in (0, 3):
        yield path, schema
    for name, member in schema.get("properties", {}).items():
        yield from locations(member, (*path, name))
    if "items" in schema:
        yield from locations(schema["items"], (*path, 0))
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from locations(schema["additionalProperties"], (*path, "key"))


def body_with(described: Mapping[str, Any], path: Location, value: Any) -> Any:
    """Return a valid value of a schema, with another value at one location."""
    if not path:
        return value
    schema = resolve_schema(described, document())
    first, *rest = path
    if first == 0:
        return [body_with(schema["items"], tuple(rest), value)]
    below = schema.get("properties", {}).get(first, schema.get("additionalProperties"))
    around = example(schema) if schema.get("type") == "object" else {}
    return around | {first: body_with(below, tuple(rest), value)}


def nested_lists(depth: int, inner: str = "0") -> str:
    """Return nested lists as JSON."""
    return "[" * depth + inner + "]" * depth


def worst_values(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the most expensive values for a location, as JSON."""
    takes_all = "type" not in schema
    kind = schema.get("type")
    if takes_all or kind == "array":
        yield json.dumps([{}] * 300_000, separators=(",", ":"))
        yield json.dumps([0] * WRONG_ITEMS + ["\0"], separators=(",", ":"))
    if takes_all or kind == "object":
        members = {f"m{number}": 0 for number in range(UNKNOWN_MEMBERS)}
        yield json.dumps({**members, "last": "\0"}, separators=(",", ":"))
        yield json.dumps({"m" * 900_000: 0})
    if takes_all or kind == "string":
        yield json.dumps("\U0001f600" * 80_000)


def worst_bodies(described: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield bodies with one expensive value each, with a name."""
    for path, schema in locations(described):
        marked = json.dumps(body_with(described, path, "<here>"))
        for number, value in enumerate(worst_values(schema)):
            body = marked.replace('"<here>"', value).encode()
            assert len(body) <= MAX_BODY_BYTES, (path, number)
            yield f"{'/'.join(map(str, path)) or 'whole'}, value {number}", body
    for depth in DEPTHS:
        yield f"depth {depth}", nested_lists(depth).encode()
        yield f"depth {depth} in a member", f'{{"x":{nested_lists(depth)}}}'.encode()
    yield "decimals", json.dumps([1.5] * 200_000).encode()
    yield "long numbers", json.dumps([10**4000] * 250).encode()


JSON_OPERATIONS = {
    operation.operation_id: operation
    for operation in operations()
    if operation.body is not None
}


@pytest.mark.parametrize("operation_id", JSON_OPERATIONS)
def test_no_body_delays_other_requests(
    backend: Service, caller: httpx.Client, operation_id: str
) -> None:
    """The worst bodies stay within the limits for time and memory; `/livez` answers."""
    operation = JSON_OPERATIONS[operation_id]
    methods = document()["paths"][operation.path]
    content = methods[operation.method.lower()]["requestBody"]["content"]
    address = operation.path.format(job_id=new_job(caller)["id"])
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    faults = []
    for name, body in worst_bodies(content["application/json"]["schema"]):
        packed = gzip.compress(body, 1)
        fault = faults_of(
            backend,
            lambda packed=packed: caller.request(
                operation.method, address, content=packed, headers=headers
            ),
        )
        faults += [f"{name}: {fault}"] if fault else []
    assert not faults, "\n".join(faults)


EVENT = {"provider_job_id": "unknown", "kind": "info"}
LINES = {
    "not JSON": b"{",
    "empty objects": b"{}",
    "numbers": b"0",
    "unknown members": json.dumps({f"tag{n}": 0 for n in range(80)}).encode(),
    "long names": json.dumps({"n" * 1000: 0}).encode(),
    "unknown jobs": json.dumps(EVENT | {"provider_job_id": "\u20ac" * 100}).encode(),
    "event ids": json.dumps(EVENT | {"event_id": "\u20ac" * 100, "x": 1}).encode(),
    "late mistakes": json.dumps(
        EVENT | {"event_metadata": {"a": [0] * 300 + ["\0"]}}
    ).encode(),
}


@pytest.mark.parametrize("name", LINES)
def test_report_of_invalid_lines_is_bounded(
    backend: Service, caller: httpx.Client, name: str
) -> None:
    """A report names each of a thousand invalid lines in at most 512 KiB."""
    body = gzip.compress(b"\n".join([LINES[name]] * MAX_LINES))
    answers: list[httpx.Response] = []

    def send() -> httpx.Response:
        answers.append(send_lines(caller, [body], **{"Content-Encoding": "gzip"}))
        return answers[-1]

    assert not faults_of(backend, send)
    rejected = answers[-1].json()["rejected"]
    assert [line["line"] for line in rejected] == list(range(1, MAX_LINES + 1))
    assert len(answers[-1].content) <= MAX_REPORT_BYTES
    assert rejected[0]["problem"]["detail"] != rejected[0]["problem"]["title"]


def test_one_long_line_delays_no_other_request(
    backend: Service, caller: httpx.Client
) -> None:
    """A batch of one long line stays within the limits of a large event."""
    event = {"$ref": "#/components/schemas/EventInput"}
    faults = []
    for name, body in list(worst_bodies(event))[::5]:
        fault = faults_of(backend, lambda body=body: send_lines(caller, [body]))
        faults += [f"{name}: {fault}"] if fault else []
    assert not faults, "\n".join(faults)


def largest_configuration(tag: str, points: int = 1) -> dict[str, Any]:
    """Return a configuration just below the size limit of a body."""
    keys = [{"name": f"key {number}", "kind": "text"} for number in range(50)]
    steps = [{"tag": f"s{n}", "name": f"S{n}", "points": points} for n in range(500)]
    described = [{**step, "metadata_configurations": keys} for step in steps]
    return {"tag": tag, "name": "Large", "step_configurations": described}


def test_large_configurations_cost_little(
    backend: Service, caller: httpx.Client
) -> None:
    """All jobs share one parsed large configuration, and lists have small pages."""
    tag, jobs = new_name(), [new_name() for _ in range(30)]
    requests: dict[str, Any] = {
        f"register {points}": lambda points=points: caller.post(
            "/job_configurations", json=largest_configuration(tag, points)
        )
        for points in range(5)
    }
    requests |= {
        f"create {name}": lambda name=name: caller.post(
            "/jobs", json={"provider_job_id": name, "customer_id": 142, "tag": tag}
        )
        for name in jobs
    }
    lines = [{"provider_job_id": name, "kind": "step", "tag": "s1"} for name in jobs]
    requests["report"] = lambda: send_lines(caller, lines)
    for path in ("/jobs", "/job_configurations"):
        query = {"tag": tag, "limit": 200}
        requests[path] = lambda path=path, query=query: caller.get(path, params=query)
    faults = {name: faults_of(backend, send) for name, send in requests.items()}
    assert not any(faults.values()), faults
    assert listed(caller, "/jobs", tag) == 30
    assert listed(caller, "/job_configurations", tag) == 5


def listed(caller: httpx.Client, path: str, tag: str) -> int:
    """Return the number of different items on all pages of a list."""
    ids = [item["id"] for item in all_items(caller, path, tag=tag)]
    assert len(set(ids)) == len(ids)
    return len(ids)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_value_is_rejected_alone(
    caller: httpx.Client, depth: int, opening: str
) -> None:
    """A deep value is rejected with a message; other events of its batch are stored."""
    job = new_job(caller)
    good = {"provider_job_id": job["provider_job_id"], "kind": "info"}
    inner = opening * depth + "0" + ("]" if opening == "[" else "}") * depth
    deep = json.dumps(good)[:-1] + f', "event_metadata": {{"a": {inner}}}}}'
    alone = caller.post(
        "/events", content=deep, headers={"Content-Type": "application/json"}
    )
    batch = send_lines(caller, [good, deep.encode(), good])
    assert alone.status_code in (400, 422)
    assert problem_name(alone) in ("malformed-request", "invalid-request")
    assert batch.json()["accepted"] == 2
    assert [line["line"] for line in batch.json()["rejected"]] == [2]


def test_contract_has_only_keywords_with_an_error_text() -> None:
    """Schemas of bodies contain only keywords that the search for errors supports."""
    known = {
        *("description", "type", "format", "enum", "pattern", "required"),
        *("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"),
        *("maxProperties", "propertyNames"),
        *("properties", "additionalProperties", "items"),
    }
    for operation in JSON_OPERATIONS.values():
        methods = document()["paths"][operation.path]
        content = methods[operation.method.lower()]["requestBody"]["content"]
        for path, schema in locations(content["application/json"]["schema"]):
            assert set(schema) <= known, (operation.operation_id, path)
