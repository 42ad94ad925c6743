"""Session of the kit: keys, calls of operations, and new objects of the backend.

Every new customer, job and configuration has a name that begins with `conformance-` and
the id of the run. The kit changes no other object of the provider.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from trackerapi_backend.conformance.answer_rules import AnswerRules
from trackerapi_backend.conformance.expectations import (
    UNEXPECTED_FORM,
    KitError,
    Mismatch,
)
from trackerapi_backend.requests.contract import document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trackerapi_backend.conformance.exchange import Answer, Exchange

T = TypeVar("T")

SCOPES = ("ingest", "read", "admin")
NO_KEY = ""
STEPS = [
    {"tag": "load", "name": "Load", "points": 1},
    {"tag": "store", "name": "Store", "points": 3},
]
KEY_LIFETIME = timedelta(hours=1)
"""Lifetime of keys, tokens and links that the kit makes.

The kit does not expire keys itself: some backends take a second for each expiry."""


class Session:
    """Caller of the operations of a backend, with the keys of one or two providers.

    Args:
        exchange: Connection to the backend.
        key: Key of a provider with all scopes.
        other_key: Key of another provider with all scopes; None to skip the checks of
            tenancy.

    Attributes:
        run: Random id of the run, which the names of new objects contain.
        deviations: Responses that the contract does not allow; see `call()`.
        made: Number of responses with status 201, by operation.
    """

    def __init__(self, exchange: Exchange, key: str, other_key: str | None) -> None:
        self.exchange, self.key, self.other_key = exchange, key, other_key
        self.run = secrets.token_hex(4)
        self.deviations: dict[str, list[Mismatch]] = defaultdict(list)
        self.made: dict[str, int] = defaultdict(int)
        self._rules = AnswerRules()
        self._operations = _described_operations()
        self._names = 0
        self._shared: dict[Callable[[Session], Any], Any] = {}

    def shared(self, make: Callable[[Session], T]) -> T:
        """Return the result of `make(self)`; only the first call runs `make`.

        Raises:
            Exception: If `make` failed at the first call; every call raises that error.
        """
        if make not in self._shared:
            try:
                self._shared[make] = make(self)
            except (Mismatch, *UNEXPECTED_FORM) as error:
                self._shared[make] = error
        result: T | Exception = self._shared[make]
        if isinstance(result, Exception):
            raise result
        return result

    @property
    def operation_ids(self) -> Sequence[str]:
        """Ids of all operations of the contract."""
        return list(self._operations)

    def described(self, operation_id: str) -> Mapping[str, Any]:
        """Return an operation of the contract, with `method` and `path`."""
        return self._operations[operation_id]

    def call(
        self,
        operation_id: str,
        body: object = None,
        *,
        key: str | None = None,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        **path: Any,
    ) -> Answer:
        """Send a request to an operation; return its response.

        If the contract does not allow the response, add a `Mismatch` to `deviations`.
        The key in `deviations` is `problems` for a status of 400 or more, else the
        operation.

        Args:
            operation_id: Operation of the contract.
            body: Bytes, or a value to send as JSON.
            key: Key of the request; None for the key of the kit, `NO_KEY` for a
                request without a key.
            query: Query parameters.
            headers: More headers; they replace headers of the kit with the same name.
            path: Path parameters.
        """
        described = self._operations[operation_id]
        sent = self._headers(described, body, key) | dict(headers or {})
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        answer = self.exchange.send(
            described["method"],
            self.address(operation_id, query, **path),
            {name: value for name, value in sent.items() if value},
            content,
        )
        try:
            self._rules.check(described, answer)
        except Mismatch as mismatch:
            subject = "problems" if answer.status >= 400 else operation_id
            self.deviations[subject].append(mismatch)
        if answer.status == 201:
            self.made[operation_id] += 1
        return answer

    def address(
        self, operation_id: str, query: Mapping[str, object] | None = None, **path: Any
    ) -> str:
        """Return the path and the query of a request."""
        values = {name: quote(str(value), safe="") for name, value in path.items()}
        address: str = self._operations[operation_id]["path"].format(**values)
        return f"{address}?{urlencode(query, doseq=True)}" if query else address

    def _headers(
        self, described: Mapping[str, Any], body: object, key: str | None
    ) -> dict[str, str]:
        headers = {"X-API-Key": self.key if key is None else key}
        if body is not None and "requestBody" in described:
            [headers["Content-Type"]] = described["requestBody"]["content"]
        return headers

    def new_name(self) -> str:
        """Return a new name, which no other object has."""
        self._names += 1
        return f"conformance-{self.run}-{self._names}"

    @cached_property
    def customer_id(self) -> int:
        """Default customer of new jobs."""
        return int(self.new_customer()["id"])

    def new_customer(self) -> dict[str, Any]:
        """Create a customer; return the customer."""
        name = self.new_name()
        sent = {"reference": name, "name": f"Conformance kit, run {self.run}"}
        return dict(self.call("create_customer", sent).require(201))

    @cached_property
    def job(self) -> dict[str, Any]:
        """Job that several checks use; some checks add events and links to the job."""
        return self.new_job()

    def job_input(self, **members: Any) -> dict[str, Any]:
        """Return the body that creates a job with two steps, of 1 and 3 points.

        Args:
            members: Members that replace members of the body, or extend the body.
        """
        name = self.new_name()
        configuration = {
            "tag": self.tag,
            "name": "Import",
            "step_configurations": STEPS,
        }
        return {
            "provider_job_id": name,
            "customer_id": self.customer_id,
            "tag": self.tag,
            "configuration": configuration,
        } | members

    @property
    def tag(self) -> str:
        """Default tag of new jobs, and tag of their configuration."""
        return f"conformance-{self.run}"

    def new_job(self, **members: Any) -> dict[str, Any]:
        """Create a job with two steps; return the job."""
        return dict(self.call("create_job", self.job_input(**members)).require(201))

    def report(self, job: Mapping[str, Any], **event: Any) -> dict[str, Any]:
        """Report an event of a job; return the stored event."""
        sent = {"provider_job_id": job["provider_job_id"], **event}
        return dict(self.call("create_event", sent).require(201))

    def report_batch(self, lines: Sequence[object], **headers: str) -> dict[str, Any]:
        """Report a batch; return the report of the backend.

        Args:
            lines: Events, or bytes that are sent unchanged.
            headers: More headers of the request.
        """
        answer = self.call("import_events", lines_of(lines), headers=headers)
        return dict(answer.require(200))

    def job_now(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Return the present state of a job."""
        return dict(self.call("get_job", job_id=job["id"]).require(200))

    def new_key(self, *scopes: str) -> tuple[str, str]:
        """Create a key; return its id and the whole key."""
        label = f"Conformance kit, run {self.run}"
        sent = {"label": label, "scopes": scopes, "expires_at": self.expiry}
        created = self.call("create_api_key", sent).require(201)
        return str(created["key"]["key_id"]), str(created["api_key"])

    def new_token(
        self, job: Mapping[str, Any], key: str | None = None
    ) -> dict[str, Any]:
        """Create a job token; return the response with its secret."""
        sent = {"label": "Conformance kit", "expires_at": self.expiry}
        answer = self.call("create_job_token", sent, key=key, job_id=job["id"])
        return dict(answer.require(201))

    def new_link(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Create a share link; return the response with its URL."""
        sent = {"label": "Conformance kit", "expires_at": self.expiry}
        answer = self.call("create_share_link", sent, job_id=job["id"])
        return dict(answer.require(201))

    @cached_property
    def expiry(self) -> str:
        """Expiry of the keys, tokens and links of the kit, as RFC 3339."""
        return (datetime.now(UTC) + KEY_LIFETIME).isoformat()

    def require_full_key(self, key: str, option: str) -> int:
        """Check the permissions of a key; return the id of its provider.

        Args:
            key: Key to check.
            option: Option that names the file of the key, for the error.

        Raises:
            KitError: If the key is not valid, is a job token, or lacks a scope.
        """
        try:
            answer = self.call("verify_api_key", key=key)
            if answer.status == 401:
                raise KitError(
                    f"the backend rejects the key of {option}: {answer.outline}"
                )
            owner = answer.require(200)
            missing = [scope for scope in SCOPES if scope not in owner["scopes"]]
            is_token = owner.get("job_id") is not None
            provider_id = int(owner["provider_id"])
        except (Mismatch, *UNEXPECTED_FORM) as error:
            raise KitError(
                f"the backend does not name the owner of the key of {option} ({error}):"
                " check that --base-url is the address of a tracker backend"
            ) from None
        if missing or is_token:
            lack = f"lacks the scope {missing[0]}" if missing else "is a job token"
            raise KitError(
                f"the key of {option} {lack}: create one with the scopes"
                f" {', '.join(SCOPES)}"
            )
        return provider_id


def lines_of(lines: Sequence[object]) -> bytes:
    """Return the body of a batch; see `Session.report_batch()`."""
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines
    )


def _described_operations() -> dict[str, dict[str, Any]]:
    """Return the operations of the contract by id, with method and path."""
    return {
        described["operationId"]: described | {"method": method.upper(), "path": path}
        for path, methods in document()["paths"].items()
        for method, described in methods.items()
    }
