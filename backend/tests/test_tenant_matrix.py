"""Matrix of isolation: each operation and page, with each foreign credential.

The tables below name every operation of the contract, every kind of object that a
request can name, and every page. A new operation, parameter or page fails the first
tests of this module until the tables have its row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from trackerapi_backend.pages import page_routes
from trackerapi_backend.requests.auth import OPEN_TO_JOB_TOKENS
from trackerapi_backend.requests.contract import document, operations

from backend.tests.support.pages import new_link
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    OTHER_CUSTOMER,
    STEPS,
    new_job,
    new_name,
    report,
    send_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.routing import Route
    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.requests.contract import Operation

    from backend.tests.support.service import Service

SCOPES = {
    "ingest": {
        *("register_job_configuration", "create_job", "create_job_token"),
        *("create_event", "import_events", "create_share_link", "revoke_share_link"),
    },
    "read": {
        *("list_job_configurations", "get_job_configuration", "list_jobs", "get_job"),
        *("stream_job", "list_events", "list_share_links", "list_customers"),
        *("get_customer", "get_provider_profile"),
    },
    "admin": {
        *("create_api_key", "list_api_keys", "expire_api_key", "create_customer"),
        "list_audit_entries",
        *("update_provider_profile", "erase_job", "erase_customer"),
    },
    "any": {"verify_api_key"},
    "no key": {"livez", "readyz"},
}
"""Operations by the scope that they need."""

UNKNOWN = {
    "job_id": 123,
    "configuration_id": 987654,
    "customer_id": 987654,
    "share_link_id": 987654,
    "key_id": "zzzzzzzz",
}
"""Ids that name no object, by path parameter. Each parameter is a kind of object."""

BODIES: dict[str, Any] = {
    "create_job_token": {},
    "create_share_link": {},
}
"""Bodies of the operations on one object."""

REFERENCES = {
    "create_job": {"customer_id", "provider_job_id", "tag", "configuration"},
    "create_event": {"provider_job_id"},
    "import_events": {"provider_job_id"},
    "register_job_configuration": {"tag"},
    "list_jobs": {"provider_job_id", "customer_id", "tag", "cursor"},
    "list_job_configurations": {"tag", "cursor"},
    "list_customers": {"reference", "cursor"},
    "list_api_keys": {"cursor"},
    "list_audit_entries": {"cursor"},
    "create_customer": {"reference"},
}
"""Objects that a request names in its query or body, by operation.

`test_references_*` check each of them with objects of another provider.
"""

NAMES_NO_OBJECT = {
    *("verify_api_key", "create_api_key", "get_provider_profile"),
    *("update_provider_profile", "livez", "readyz"),
}

PAGES_OF_LINKS = {"/s/{token}", "/s/{token}/stream", "/s/{token}/badge.svg"}
PAGES_OF_COOKIES = {"/app/jobs/{job_id}", "/app/jobs/{job_id}/stream"}
PAGES_OF_HASHES = {"/app/static/mark.{hash}.png"}
PAGES_WITHOUT_DATA = {
    *("/", "/docs", "/openapi.json", "/app", "/app/"),
    *("/app/{rest:path}", "/s/{rest:path}"),
}
STATIC_FILES = "/app/static/"

BY_ID = {each.operation_id: each for each in operations()}


def path_parameters(operation: Operation) -> list[str]:
    """Return the names of the parameters in the path of an operation."""
    return [each.name for each in operation.parameters if each.location == "path"]


ON_OBJECTS = [each for each in BY_ID.values() if path_parameters(each)]


def answer_of(
    caller: httpx.Client, operation: Operation, ids: Mapping[str, object]
) -> httpx.Response:
    """Send a request to an operation on one object."""
    path = operation.path.format(**{name: ids[name] for name in ids})
    body = BODIES.get(operation.operation_id)
    return caller.request(operation.method, path, json=body)


def comparable(answer: httpx.Response) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return an answer without the id of the request and the date."""
    headers = dict(answer.headers)
    for name in ("x-request-id", "date", "content-length"):
        headers.pop(name, None)
    return answer.status_code, answer.json() | {"request_id": ""}, headers


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects of one provider: ids by path parameter, and names."""

    ids: Mapping[str, object]
    job: Mapping[str, Any]
    reference: str


@pytest.fixture(scope="module")
def objects(service: Service) -> Iterator[Objects]:
    """One object of each kind of the provider `one`."""
    with service.client() as api:
        job = new_job(api)
        report(api, job, kind="step", tag="load")
        reference = new_name()
        customer = api.post("/customers", json={"reference": reference}).json()
        key = {"label": "matrix", "scopes": ["read"]}
        yield Objects(
            ids={
                "job_id": job["id"],
                "configuration_id": job["configuration_id"],
                "customer_id": customer["id"],
                "share_link_id": new_link(api, job)["share_link"]["id"],
                "key_id": api.post("/api-keys", json=key).json()["key"]["key_id"],
            },
            job=job,
            reference=reference,
        )


@pytest.fixture(scope="module")
def token_client(service: Service) -> Iterator[httpx.Client]:
    """A client with a job token of another job of the same provider."""
    with service.client() as api:
        path = f"/jobs/{new_job(api)['id']}/tokens"
        token = api.post(path, json={}).json()["token"]
        api.headers["X-API-Key"] = token
        yield api


def test_every_operation_has_its_scope() -> None:
    """The contract has the operations and scopes of the table."""
    declared: dict[str, set[str]] = {scope: set() for scope in SCOPES}
    for operation in BY_ID.values():
        [scope] = operation.scopes or ["no key" if operation.is_public else "any"]
        declared[scope].add(operation.operation_id)
    assert declared == SCOPES


def test_every_object_of_a_request_is_in_the_matrix() -> None:
    """Each operation is in one table: objects in its path, in its request, or none."""
    assert {name for each in ON_OBJECTS for name in path_parameters(each)} == set(
        UNKNOWN
    )
    by_path = {each.operation_id for each in ON_OBJECTS}
    assert by_path | set(REFERENCES) | NAMES_NO_OBJECT == set(BY_ID)
    assert not by_path & set(REFERENCES)
    for operation_id, names in REFERENCES.items():
        plain = PLAIN_VALUES | PLAIN_TEXTS.get(operation_id, set())
        assert set(names_in(operation_id)) - plain == names, operation_id


def names_in(operation_id: str) -> Iterator[str]:
    """Yield the names of query parameters and of members of the body."""
    operation = BY_ID[operation_id]
    yield from (each.name for each in operation.parameters if each.location == "query")
    schemas = document()["components"]["schemas"]
    described = document()["paths"][operation.path][operation.method.lower()]
    for media in described.get("requestBody", {}).get("content", {}).values():
        # Each line of a batch is an event.
        name = media["schema"].get("$ref", "EventInput").rpartition("/")[2]
        yield from schemas[name]["properties"]


PLAIN_VALUES = {
    *("event_id", "kind", "name", "event_metadata", "occurred_at", "completed"),
    *("total", "fraction", "part", "retrying", "failed", "max_attempts", "message"),
    *("detail", "finish", "created_at", "metadata", "title", "limit", "status"),
    *("created_since", "version", "step_configurations", "texts", "silent_after"),
}
"""Parameters and members that name no object."""
PLAIN_TEXTS = {
    "create_job": {"reference"},
    "create_event": {"tag"},
    "import_events": {"tag"},
}
"""Members that name no object in some operations.

Here `reference` is any text, and `tag` is a step of a job that the event names.
"""


@pytest.mark.parametrize("operation", ON_OBJECTS, ids=lambda each: each.operation_id)
def test_foreign_object_is_answered_as_an_unknown_one(
    other_api: httpx.Client,
    token_client: httpx.Client,
    objects: Objects,
    operation: Operation,
) -> None:
    """A foreign caller gets the same response for an object and for an unknown id.

    Another provider and a token of another job get 404. Operations that are closed to
    tokens answer 403 to the token.
    """
    names = path_parameters(operation)
    foreign = {name: objects.ids[name] for name in names}
    unknown = {name: UNKNOWN[name] for name in names}
    is_open = operation.operation_id in OPEN_TO_JOB_TOKENS
    for caller, status in ((other_api, 404), (token_client, 404 if is_open else 403)):
        answers = [
            comparable(answer_of(caller, operation, ids)) for ids in (foreign, unknown)
        ]
        assert answers[0][0] == status
        assert answers[0] == answers[1]


def test_no_object_has_changed(api: httpx.Client, objects: Objects) -> None:
    """After all foreign requests, the objects of the provider are as before."""
    ids = objects.ids
    job = api.get(f"/jobs/{ids['job_id']}").json()
    assert (job["status"], job["event_count"]) == ("running", 1)
    [link] = api.get(f"/jobs/{ids['job_id']}/share-links").json()["items"]
    assert link["revoked_at"] is None
    keys = api.get("/api-keys", params={"limit": 200}).json()["items"]
    ends = {key["key_id"]: key["expires_at"] for key in keys}
    assert ends[str(ids["key_id"])] is None


@pytest.mark.parametrize(
    ("operation_id", "query"),
    [
        ("list_jobs", ("provider_job_id", "job")),
        ("list_jobs", ("customer_id", CUSTOMER)),
        ("list_jobs", ("tag", "job")),
        ("list_job_configurations", ("tag", "job")),
        ("list_customers", ("reference", "reference")),
    ],
)
def test_references_of_lists_find_no_foreign_object(
    other_api: httpx.Client,
    token_client: httpx.Client,
    objects: Objects,
    operation_id: str,
    query: tuple[str, str | int],
) -> None:
    """A list that names a foreign object is empty."""
    name, value = query
    if value == "job":
        value = objects.job[name]
    elif value == "reference":
        value = objects.reference
    callers = [other_api]
    if operation_id in OPEN_TO_JOB_TOKENS and name != "customer_id":
        callers.append(token_client)
    for caller in callers:
        answer = caller.get(BY_ID[operation_id].path, params={name: value})
        assert answer.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "path", ["/jobs", "/job_configurations", "/customers", "/api-keys", "/audit-log"]
)
def test_references_of_cursors_show_no_foreign_object(
    api: httpx.Client, other_api: httpx.Client, path: str
) -> None:
    """A cursor of one provider shows another provider only its own objects."""
    for caller, customer_id in ((api, CUSTOMER), (other_api, OTHER_CUSTOMER)):
        new_job(caller, customer_id=customer_id)
    cursor = api.get(path, params={"limit": 1}).json()["next_cursor"]
    query = {"limit": 200} if cursor is None else {"limit": 200, "cursor": cursor}
    own, foreign = (
        caller.get(path, params=query).json()["items"] for caller in (api, other_api)
    )
    assert not [each for each in foreign if each in own]


def test_references_of_bodies_name_no_foreign_object(
    api: httpx.Client, other_api: httpx.Client, objects: Objects
) -> None:
    """A body that names a foreign object is answered as for an unknown one."""
    job = {"provider_job_id": new_name(), "tag": "t", "customer_id": CUSTOMER}
    answers = [
        other_api.post("/jobs", json=job | {"customer_id": number})
        for number in (CUSTOMER, UNKNOWN["customer_id"])
    ]
    texts = [
        str(comparable(answer)).replace(str(number), "")
        for answer, number in zip(
            answers, (CUSTOMER, UNKNOWN["customer_id"]), strict=True
        )
    ]
    assert texts[0] == texts[1]
    assert answers[0].status_code == 404

    name, unknown = str(objects.job["provider_job_id"]), new_name()
    events = [{"provider_job_id": each, "kind": "error"} for each in (name, unknown)]
    texts = [
        str(comparable(other_api.post("/events", json=event))).replace(
            event["provider_job_id"], ""
        )
        for event in events
    ]
    assert texts[0] == texts[1]
    batch = send_lines(other_api, events).json()
    assert [line["problem"]["status"] for line in batch["rejected"]] == [404, 404]
    assert api.get(f"/jobs/{objects.job['id']}").json()["event_count"] == 1


def test_references_to_new_objects_may_be_names_of_another_provider(
    other_api: httpx.Client, objects: Objects
) -> None:
    """A provider may give its objects the names of objects of another provider."""
    job = other_api.post(
        "/jobs",
        json={
            "provider_job_id": objects.job["provider_job_id"],
            "customer_id": OTHER_CUSTOMER,
            "tag": objects.job["tag"],
        },
    )
    assert (job.status_code, job.json()["configuration_id"]) == (201, None)
    configuration = {
        "tag": objects.job["tag"],
        "name": "Other",
        "step_configurations": STEPS,
    }
    registered = other_api.post("/job_configurations", json=configuration)
    assert (registered.status_code, registered.json()["revision"]) == (201, 1)
    customer = other_api.post("/customers", json={"reference": objects.reference})
    assert customer.status_code == 201


def test_every_page_is_in_the_matrix() -> None:
    """Each page needs a link, a cookie or a hash, or shows no data of a provider."""
    routes = page_routes(cast("Services", None))
    paths = {cast("Route", route).path for route in routes}
    files = {path for path in paths if path.startswith(STATIC_FILES)} - PAGES_OF_HASHES
    assert paths - files == (
        PAGES_OF_LINKS | PAGES_OF_COOKIES | PAGES_OF_HASHES | PAGES_WITHOUT_DATA
    )
    # All other static files belong to the package, with a version in their path.
    assert [path for path in files if "{version}" not in path] == []


@pytest.fixture
def revoked(api: httpx.Client) -> str:
    """URL of a revoked link; its job also has a valid link."""
    job = new_job(api)
    new_link(api, job)
    link = new_link(api, job)
    api.post(f"/share-links/{link['share_link']['id']}/revoke")
    return str(link["url"])


@pytest.mark.parametrize("path", sorted(PAGES_OF_LINKS))
def test_revoked_link_is_answered_as_an_unknown_link(revoked: str, path: str) -> None:
    """Each address below a revoked link gets the response for an unknown link."""
    address, _, token = revoked.rpartition("/s/")
    with httpx.Client(timeout=MAX_WAIT_SECONDS) as reader:
        answers = [
            reader.get(address + path.format(token=each))
            for each in (token, "A" * len(token))
        ]
    shown = [page_of(answer) for answer in answers]
    assert shown[0][0] == 404
    assert shown[0] == shown[1]


@pytest.mark.parametrize("path", sorted(PAGES_OF_COOKIES))
def test_foreign_cookie_is_answered_as_no_cookie(
    api: httpx.Client, revoked: str, path: str
) -> None:
    """A cookie of another job, or of a revoked link, counts as no cookie."""
    address, _, token = revoked.rpartition("/s/")
    job = new_job(api)
    link = new_link(api, new_job(api))
    other_token = link["url"].rpartition("/s/")[2]
    shown = []
    for cookie in (None, other_token, token):
        cookies = {} if cookie is None else {f"share_{job['id']}": cookie}
        with httpx.Client(cookies=cookies, timeout=MAX_WAIT_SECONDS) as reader:
            answer = reader.get(address + path.format(job_id=job["id"]))
            shown.append(page_of(answer))
    assert shown[0][0] == 404
    assert shown[0] == shown[1] == shown[2]


def page_of(answer: httpx.Response) -> tuple[int, str, dict[str, str]]:
    """Return a page without the id of the request and the date."""
    headers = dict(answer.headers)
    for name in ("x-request-id", "date"):
        headers.pop(name, None)
    request_id = answer.headers["x-request-id"]
    return answer.status_code, answer.text.replace(request_id, ""), headers
