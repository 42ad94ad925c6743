"""Security checklist: each rule with the names of the tests that check the rule.

`CHECKLIST` has the rules for the parts that the backend has by now. The tests below it
check the rules that no other module tests. Sign-in, forms and webhooks do not exist.
No test runs `pip-audit`, which searches the versions in `constraints.txt` for known
vulnerabilities: it needs the network, and its result changes without a change here.
"""

from __future__ import annotations

import ast
import asyncio
import hmac
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from unittest.mock import patch
from uuid import uuid4

import httpx
import psycopg
import pytest
import trackerapi_backend
from starlette.datastructures import Headers
from trackerapi_backend.app import create_app
from trackerapi_backend.pepper import open_pepper_file
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.requests.contract import operations
from trackerapi_backend.requests.credentials import generate_key
from trackerapi_backend.routes import HANDLERS
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.pages import new_link
from backend.tests.support.postgres import changed_url, new_database
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    command_here,
    new_job,
    prepare,
    report,
    serve_new,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection
    from trackerapi_backend.requests.call import Call

    from backend.tests.support.service import Service

T = TypeVar("T")

TESTS = Path(__file__).parent
PACKAGE = Path(trackerapi_backend.__file__).parent

CHECKLIST = {
    "Keys: only an HMAC is stored, and the whole key is shown once": (
        "test_keys::test_listed_keys_have_no_secret",
        "test_security_checklist::test_no_answer_has_a_secret",
    ),
    "Keys: scopes, one table for all operations": (
        "test_tenant_matrix::test_every_operation_has_its_scope",
        "test_keys::test_key_without_the_scope_is_rejected",
        "test_conformance_kit::test_backend_passes_all_checks",
    ),
    "Keys: an expired key is rejected at once, in each process": (
        "test_keys::test_expired_key_is_refused_by_each_later_request",
        "test_keys::test_key_that_expires_during_its_query_is_rejected",
    ),
    "Keys: missing, garbled and expired keys, two different keys": (
        "test_keys::test_garbled_key_is_rejected",
        "test_keys::test_missing_or_expired_key_is_rejected",
        "test_keys::test_two_different_keys_are_rejected",
        "test_keys::test_key_is_taken_from_each_spelling_of_its_header",
    ),
    "Keys: an unknown key and a wrong secret take the same path": (
        "test_security_checklist::test_wrong_secret_takes_the_path_of_an_unknown_key",
    ),
    "Keys: two peppers during a rotation; the pepper file is private": (
        "test_pepper::test_keys_stay_valid_through_a_rotation",
        "test_commands::test_only_the_owner_may_read_the_files",
    ),
    "Keys: the last use is stored, at most once a minute": (
        "test_keys::test_last_use_of_a_key_is_stored_at_intervals",
    ),
    "Guessing of keys is limited by address, and locks no valid key out": (
        "test_limits::"
        "test_keys_of_an_address_that_guesses_are_looked_up_one_after_another",
        "test_limits::test_valid_key_is_accepted_while_its_address_guesses_keys",
    ),
    "Share links: random, stored hashed, expiring, revocable": (
        "test_keys::test_token_and_link_expire",
        "test_pages::test_revoked_link_opens_nothing",
        "test_tenant_matrix::test_revoked_link_is_answered_as_an_unknown_link",
        "test_security_checklist::test_no_answer_has_a_secret",
    ),
    "Share links: exchanged for a cookie, which is private to its job": (
        "test_pages::test_link_is_exchanged_for_a_cookie",
        "test_tenant_matrix::test_foreign_cookie_is_answered_as_no_cookie",
    ),
    "CSRF: the API takes keys only from headers; CORS is closed": (
        "test_security_checklist::test_cookie_or_query_is_no_key",
        "test_security_checklist::test_other_origins_get_no_permission",
    ),
    "Objects of other providers (API1): each operation and page, streams included": (
        "test_tenant_matrix::test_every_object_of_a_request_is_in_the_matrix",
        "test_tenant_matrix::test_every_page_is_in_the_matrix",
        "test_tenant_matrix::test_foreign_object_is_answered_as_an_unknown_one",
    ),
    "Properties (API3): unknown members are rejected, answers fit the contract": (
        "test_conformance_kit::test_backend_passes_all_checks",
        "test_pages::test_page_shows_nothing_of_the_provider",
        "test_pages::test_page_shows_only_metadata_for_the_customer",
    ),
    "Limits (API4): each at its value and beyond it": (
        "test_conformance_kit::test_kit_covers_every_operation_and_request",
        "test_conformance_kit::test_backend_passes_all_checks",
    ),
    "Limits: bodies are counted while they arrive, and unpacked": (
        "test_bad_input::test_chunked_body_is_limited",
        "test_bad_input::test_large_or_broken_gzip_is_rejected",
        "test_http::test_large_head_gets_431",
    ),
    "Limits: requests of a key and a provider, 429 with Retry-After": (
        "test_limits::test_key_beyond_its_rate_is_rejected_until_retry_after",
        "test_limits::test_keys_and_tokens_of_a_provider_share_a_rate",
        "test_limits::test_requests_at_the_same_time_are_limited",
    ),
    "Limits: queues are bounded, and a noisy provider does not starve others": (
        "test_waiting_bodies::test_queue_of_large_bodies_is_bounded",
        "test_waiting_bodies::test_large_bodies_of_providers_take_turns",
    ),
    "Limits: slow and idle connections, streams": (
        "test_connections::test_slow_client_is_disconnected",
        "test_connections::test_slow_connections_do_not_keep_others_out",
        "test_streams::test_viewers_are_limited",
        "test_streams::test_slow_readers_cost_bounded_memory",
    ),
    "Functions (API5): a new operation needs a scope, and job tokens a permission": (
        "test_tenant_matrix::test_every_operation_has_its_scope",
        "test_job_tokens::test_every_other_operation_rejects_a_token",
    ),
    "Business flows (API6): links and tokens count as requests of their key": (
        "test_limits::test_key_beyond_its_rate_is_rejected_until_retry_after",
    ),
    "Requests of the backend itself (API7): there are none": (
        "test_security_checklist::test_backend_requests_no_address",
    ),
    "Configuration (API8): headers of every response": (
        "test_security_checklist::test_every_response_has_its_headers",
        "test_pages::test_page_has_security_headers",
    ),
    "Configuration: HSTS is sent by the proxy, which has the certificate": (
        "test_deploy::test_proxy_demands_https_of_browsers",
    ),
    "Configuration: the role in PostgreSQL owns its database and nothing else": (
        "test_security_checklist::test_owner_of_the_database_needs_no_other_right",
    ),
    "Configuration: errors show nothing of the code": (
        "test_security_checklist::test_internal_error_shows_nothing_of_the_code",
        "test_log::test_traceback_names_all_errors_without_their_messages",
    ),
    "Configuration: the API page loads nothing from other hosts": (
        "test_pages::test_documentation_loads_no_foreign_resource",
    ),
    "Inventory (API9): each operation has a handler and the other way round": (
        "test_contract::test_every_operation_has_a_handler",
        "test_contract::test_served_contract_is_the_checked_in_one",
        "test_contract::test_backend_keeps_the_contract_for_generated_requests",
    ),
    "Hostile data (API10): metadata and messages are escaped text": (
        "test_pages::test_page_escapes_messages",
        "test_odd_values::test_text_is_stored_or_rejected",
    ),
    "Logs: only allowed fields, and no secret": (
        "test_log::test_each_request_is_logged_with_operation_provider_and_key",
        "test_log_file::test_log_at_debug_has_no_secret",
    ),
    "Administrative changes leave an entry without secrets": (
        "test_audit_log::test_each_administrative_request_leaves_one_entry",
    ),
}
"""Tests by the rule of the checklist, as `<module>::<function>`."""


def test_every_test_of_the_checklist_exists() -> None:
    """Each named test exists."""
    named = {name for tests in CHECKLIST.values() for name in tests}
    found = {
        f"{path.stem}::{node.name}"
        for path in TESTS.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert named - found == set()


@pytest.fixture(scope="module")
def answers(own_service: Service) -> list[httpx.Response]:
    """Responses of all kinds: successes, problems, pages, files, redirects."""
    with own_service.client() as api:
        job = new_job(api)
        link = new_link(api, job)
        page = api.get(link["url"])
        files = [page.text.partition(f'{kind}="')[2] for kind in ("href", "src")]
        reads = [
            api.request(each.method, each.path.format(job_id=job["id"], **IDS))
            for each in operations()
            if each.method == "GET" and each.operation_id != "stream_job"
        ]
        return [
            *reads,
            page,
            *(api.get(path.partition('"')[0]) for path in files),
            *(api.get(path) for path in ("/", "/docs", "/openapi.json", "/nothing")),
            *(api.get(path) for path in ("/s/unknown", "/app/jobs/1", "/app/nothing")),
            api.get(f"{link['url']}/badge.svg"),
            api.post("/events", json={}),
            api.put("/jobs"),
            api.get("/jobs", headers={"X-API-Key": "x"}),
        ]


IDS = {"configuration_id": 1, "customer_id": 1, "share_link_id": 1, "key_id": "x"}


def test_every_response_has_its_headers(answers: list[httpx.Response]) -> None:
    """Each response has an id, is not sniffed, and has a rule for caches."""
    assert {answer.status_code for answer in answers} >= {200, 401, 404, 405, 422}
    for answer in answers:
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff", answer.url
        assert headers["x-request-id"], answer.url
        assert "server" not in headers, answer.url
        is_file = headers["cache-control"].startswith(("public", "private", "max-age"))
        assert is_file or "no-store" in headers["cache-control"], answer.url
        if headers["content-type"].startswith("text/html"):
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/jobs", "/events", "/livez", "/openapi.json", "/"])
def test_other_origins_get_no_permission(own_service: Service, path: str) -> None:
    """No response permits another origin, and a preflight request is rejected."""
    origin = {"Origin": "https://evil.example.org"}
    preflight = origin | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key",
    }
    with own_service.client() as api:
        answers = [
            api.get(path, headers=origin),
            api.options(path, headers=preflight),
        ]
    assert answers[1].status_code == 405
    for answer in answers:
        assert not [
            name for name in answer.headers if name.startswith("access-control")
        ]


def test_cookie_or_query_is_no_key(service: Service) -> None:
    """A key in a cookie or in the query is no key, and neither is a token of a link."""
    key = service.keys["all"]
    with service.client() as api:
        job = new_job(api)
        token = new_link(api, job)["url"].rpartition("/")[2]
    path = f"{service.base_url}/jobs/{job['id']}"
    cookies = {"X-API-Key": key, "x_api_key": key, f"share_{job['id']}": token}
    with httpx.Client(cookies=cookies, timeout=MAX_WAIT_SECONDS) as browser:
        answers = [
            browser.get(path),
            browser.get(path, params={"X-API-Key": key, "api_key": key}),
            browser.get(path, headers={"X-API-Key": token}),
            browser.post(f"{service.base_url}/events", data={"X-API-Key": key}),
        ]
    assert [answer.status_code for answer in answers] == [401] * 4


def test_no_answer_has_a_secret(service: Service, api: httpx.Client) -> None:
    """No list or object has the secret of a key, of a job token or of a link."""
    job = new_job(api)
    report(api, job, kind="start")
    link = new_link(api, job)
    token = api.post(f"/jobs/{job['id']}/tokens", json={}).json()
    made = api.post("/api-keys", json={"label": "new", "scopes": ["read"]}).json()
    secrets = [
        link["url"].rpartition("/")[2],
        *(key.split("_")[2] for key in (token["token"], made["api_key"])),
        *(key.split("_")[2] for key in service.keys.values()),
    ]
    ids = IDS | {
        "configuration_id": job["configuration_id"],
        "customer_id": job["customer_id"],
        "share_link_id": link["share_link"]["id"],
    }
    for operation in operations():
        if operation.method == "GET" and operation.operation_id != "stream_job":
            path = operation.path.format(job_id=job["id"], **ids)
            answer = api.get(path)
            assert answer.status_code == 200, path
            assert not [secret for secret in secrets if secret in answer.text], path


class _CountingStore(SqliteStore):
    """Store that counts its queries."""

    reads = 0

    def read(self, query: Callable[[Connection], T]) -> T:
        """Count and run a query."""
        self.reads += 1
        return super().read(query)


def test_wrong_secret_takes_the_path_of_an_unknown_key(tmp_path: Path) -> None:
    """A wrong secret and an unknown key cost the same queries and comparisons."""
    key = prepare(tmp_path)["all"]
    pepper = open_pepper_file(tmp_path / "pepper")
    unknown = generate_key().api_key
    with patch(
        "trackerapi_backend.requests.credentials._random_text",
        side_effect=[key.split("_")[1], unknown.split("_")[2]],
    ):
        wrong = generate_key().api_key
    paths = []
    for sent in (wrong, unknown):
        with (
            closing(_CountingStore(tmp_path / "backend.db")) as store,
            patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare,
        ):
            writer = Writer(store)
            authenticator = Authenticator(store, writer, pepper)
            headers = Headers({"x-api-key": sent})
            store.reads = 0
            with pytest.raises(Problem) as caught:
                asyncio.run(authenticator.identify(headers))
            paths.append((store.reads, compare.call_count, caught.value.detail))
            writer.close()
    assert wrong.split("_")[1] == key.split("_")[1]
    assert paths[0] == paths[1]
    assert paths[0][0] == 1


def test_internal_error_shows_nothing_of_the_code() -> None:
    """An error of the code is answered with an id for the log, and nothing else."""

    async def fail(_call: Call) -> None:
        raise RuntimeError("canary of the code")

    async def ask(path: str) -> httpx.Response:
        names = ("store", "writer", "hub", "authenticator", "readiness", "pepper")
        services = Services(**dict.fromkeys(names, cast("Any", _NoService())))
        transport = httpx.ASGITransport(create_app(services))
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as api:
            return await api.get(path)

    with patch.dict(HANDLERS, livez=fail):
        answer = asyncio.run(ask("/livez"))
    problem = answer.json()
    assert answer.status_code == problem["status"] == 500
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"] == (
        "The backend failed; its log has the cause under this request id."
    )
    for hint in ("canary", "RuntimeError", "Traceback", ".py"):
        assert hint not in answer.text


class _NoService:
    def run_checks(self, _app: object) -> Any:
        """Run no checks: the application is never started."""


def test_owner_of_the_database_needs_no_other_right(
    tmp_path: Path, postgres: str
) -> None:
    """A role of PostgreSQL without any privilege serves the database that it owns."""
    role, key = f"role_{uuid4().hex}", tmp_path / "key"
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB".encode())
    with (
        new_database(postgres, f"OWNER {role}") as url,
        serve_new(tmp_path, changed_url(url, options=f"-c role={role}")) as service,
    ):
        key.write_text(service.keys["all"])
        checks = ("events/repeated-id", "streams/change", "erasure/customer")
        run = command_here(
            *("conformance", "--base-url", service.base_url),
            *("--api-key-file", str(key)),
            *(f"--only={name}" for name in checks),
        )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("pass  ") == len(checks)
    with psycopg.connect(postgres, autocommit=True) as db:
        db.execute(f"DROP ROLE {role}".encode())


def test_backend_requests_no_address() -> None:
    """Only the conformance kit has an HTTP client; constants of `http.client` aside."""
    clients = {
        "urllib.request",
        "httpx",
        "requests",
        "aiohttp",
        "urllib3",
        "http.client",
    }
    constants = {f"http.client.{each.name}" for each in HTTPStatus}
    importing = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        for name in _imports(path)
        if name.startswith(tuple(clients)) and name not in constants
    }
    assert importing == {"conformance"}


def _imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports; `.*` stands for a whole module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            # Members of the whole module may be used.
            yield from (f"{name.name}.*" for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
