"""One valid request of each operation, for the checks that call every operation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trackerapi_backend.conformance.session import STEPS, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trackerapi_backend.conformance.exchange import Answer
    from trackerapi_backend.conformance.session import Session


@dataclass(frozen=True, slots=True)
class Sample:
    """Valid request of an operation.

    Attributes:
        body: Bytes, or a value to send as JSON; None for no body.
        path: Path parameters: ids of objects that the kit has made.
    """

    body: Any = None
    path: Mapping[str, Any] = field(default_factory=dict)


def _empty(_session: Session) -> Sample:
    return Sample()


def _with_job(body: Any = None) -> Callable[[Session], Sample]:
    return lambda session: Sample(body, {"job_id": session.job["id"]})


def _event(session: Session) -> dict[str, object]:
    return {"provider_job_id": session.job["provider_job_id"], "kind": "info"}


def _configuration(session: Session) -> dict[str, object]:
    return {"tag": session.tag, "name": "Import", "step_configurations": STEPS}


SAMPLES: Mapping[str, Callable[[Session], Sample]] = {
    "verify_api_key": _empty,
    "create_api_key": lambda session: Sample(
        {"label": "Conformance kit", "scopes": ["read"], "expires_at": session.expiry}
    ),
    "list_api_keys": _empty,
    "list_audit_entries": _empty,
    "expire_api_key": lambda session: Sample(
        path={"key_id": session.new_key("read")[0]}
    ),
    "register_job_configuration": lambda session: Sample(_configuration(session)),
    "list_job_configurations": _empty,
    "get_job_configuration": lambda session: Sample(
        path={"configuration_id": session.job["configuration_id"]}
    ),
    "create_job": lambda session: Sample(session.job_input()),
    "list_jobs": _empty,
    "get_job": _with_job(),
    "erase_job": lambda session: Sample(path={"job_id": session.new_job()["id"]}),
    "stream_job": _with_job(),
    "create_job_token": lambda session: Sample(
        {"label": "Conformance kit", "expires_at": session.expiry},
        {"job_id": session.job["id"]},
    ),
    "create_event": lambda session: Sample(_event(session)),
    "import_events": lambda session: Sample(lines_of([_event(session)])),
    "list_events": _with_job(),
    "create_share_link": lambda session: Sample(
        {"label": "Conformance kit", "expires_at": session.expiry},
        {"job_id": session.job["id"]},
    ),
    "list_share_links": _with_job(),
    "revoke_share_link": lambda session: Sample(
        path={"share_link_id": session.new_link(session.job)["share_link"]["id"]}
    ),
    "create_customer": lambda session: Sample({"reference": session.new_name()}),
    "list_customers": _empty,
    "get_customer": lambda session: Sample(path={"customer_id": session.customer_id}),
    "erase_customer": lambda session: Sample(
        path={"customer_id": session.new_customer()["id"]}
    ),
    "get_provider_profile": _empty,
    # A change without members keeps the profile of the provider.
    "update_provider_profile": lambda _session: Sample({}),
    "livez": _empty,
    "readyz": _empty,
}
"""Requests by operation. A test fails if an operation of the contract is missing."""

UNKNOWN_IDS: Mapping[str, Any] = {
    "job_id": 9007199254740991,
    "configuration_id": 9007199254740991,
    "customer_id": 9007199254740991,
    "share_link_id": 9007199254740991,
    "key_id": "zzzzzzzz",
}
"""Ids of objects that do not exist, by path parameter."""


def call_sample(session: Session, operation_id: str, key: str | None = None) -> Answer:
    """Send the valid request of an operation, with a key or the key of the kit."""
    sample = SAMPLES[operation_id](session)
    return session.call(operation_id, sample.body, key=key, **sample.path)
