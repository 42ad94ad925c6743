"""Checks of limits: a value at the limit is accepted, a value beyond it is rejected.

The limits of single members come from the schemas of the contract. Limits that the
schemas cannot express have a check of their own.
"""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from trackerapi_backend.conformance.expectations import expect
from trackerapi_backend.conformance.group import Group
from trackerapi_backend.conformance.session import STEPS, lines_of
from trackerapi_backend.requests.contract import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trackerapi_backend.conformance.exchange import Answer
    from trackerapi_backend.conformance.session import Session

    Send = Callable[[Session, dict[str, Any]], Answer]

group = Group("limits")

MAX_BODY_BYTES = 1024 * 1024
MAX_METADATA_BYTES = 8 * 1024


def _configuration(session: Session, **members: Any) -> dict[str, Any]:
    name = session.new_name()
    return {"tag": name, "name": name, "step_configurations": STEPS} | members


def _send_step(session: Session, members: dict[str, Any]) -> Answer:
    step = STEPS[0] | members
    sent = _configuration(session, step_configurations=[step])
    return session.call("register_job_configuration", sent)


def _send_metadata_key(session: Session, members: dict[str, Any]) -> Answer:
    key = {"name": "Message"} | members
    return _send_step(session, {"metadata_configurations": [key]})


def _send_event(session: Session, members: dict[str, Any]) -> Answer:
    event = {"provider_job_id": session.job["provider_job_id"], "kind": "info"}
    if "provider_job_id" in members:
        _send_job(session, members)
    return session.call("create_event", event | members)


def _send_job(session: Session, members: dict[str, Any]) -> Answer:
    sent = session.job_input(tag=session.tag)
    del sent["configuration"]
    return session.call("create_job", sent | members)


def _send_key(session: Session, members: dict[str, Any]) -> Answer:
    sent = {
        "label": "Conformance kit",
        "scopes": ["read"],
        "expires_at": session.expiry,
    }
    return session.call("create_api_key", sent | members)


def _send_for_job(operation_id: str) -> Send:
    def send(session: Session, members: dict[str, Any]) -> Answer:
        sent = {"expires_at": session.expiry} | members
        return session.call(operation_id, sent, job_id=session.job["id"])

    return send


SENDERS: Mapping[str, Send] = {
    "ApiKeyInput": _send_key,
    "CustomerInput": lambda session, members: session.call("create_customer", members),
    "JobConfigurationInput": lambda session, members: session.call(
        "register_job_configuration", _configuration(session, **members)
    ),
    "StepConfigurationInput": _send_step,
    "MetadataConfiguration": _send_metadata_key,
    "JobInput": _send_job,
    "EventInput": _send_event,
    "JobTokenInput": _send_for_job("create_job_token"),
    "ShareLinkInput": _send_for_job("create_share_link"),
    "ProviderProfileChange": lambda session, members: session.call(
        "update_provider_profile", members
    ),
}
"""Function that sends members of each request schema, by the name of the schema."""

UNCHANGED = frozenset({"ProviderProfileChange"})
"""Schemas with invalid values only: a valid value would replace data of a provider."""

# Beginning of a valid text, by member: the pattern of the member requires it.
TEXTS = {"version": "1.0.0-"}


def _values(
    name: str, described: Mapping[str, Any], unique: str
) -> tuple[list[object], list[object]]:
    """Return the valid values at the limits of a member, and the values beyond them.

    Args:
        name: Name of the member.
        described: Schema of the member.
        unique: Beginning of the texts: some members must differ from all stored values.
    """
    at, beyond = list[object](), list[object]()
    if "maxLength" in described:
        text = TEXTS.get(name, "") + unique
        length = described["maxLength"]
        at.append(text.ljust(length, "x"))
        beyond += [text.ljust(length + 1, "x"), ""]
    is_id = described.get("format") == "int64"
    if "maximum" in described:
        at += [] if is_id else [described["maximum"]]
        beyond.append(described["maximum"] + 1)
    if "minimum" in described:
        at += [] if is_id else [described["minimum"]]
        beyond.append(described["minimum"] - 1)
    return at, beyond


def _limited_members() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    schemas = document()["components"]["schemas"]
    for schema_name in SENDERS:
        for name, described in schemas[schema_name]["properties"].items():
            if {"maxLength", "maximum", "minimum"} & set(described):
                yield schema_name, name, described


def _check_member(
    schema_name: str, name: str, described: Mapping[str, Any], session: Session
) -> None:
    at, beyond = _values(name, described, session.new_name())
    for value in () if schema_name in UNCHANGED else at:
        SENDERS[schema_name](session, {name: value}).require(200, 201)
    for value in beyond:
        SENDERS[schema_name](session, {name: value}).require(422)


for _schema, _name, _described in _limited_members():
    group.add(
        f"{_schema}.{_name}",
        f"{_name} of {_schema} is accepted at its limits and rejected beyond them",
        partial(_check_member, _schema, _name, _described),
    )


@group.check("steps")
def _steps(session: Session) -> None:
    """A configuration has 1 to 500 steps."""
    for count, status in ((500, 201), (501, 422), (0, 422)):
        steps = [{"tag": str(n), "name": "Step", "points": 1} for n in range(count)]
        sent = _configuration(session, step_configurations=steps)
        session.call("register_job_configuration", sent).require(status)


@group.check("metadata-configurations")
def _metadata_configurations(session: Session) -> None:
    """A step has at most 50 metadata configurations."""
    for count, status in ((50, 201), (51, 422)):
        keys = [{"name": f"Key {number}"} for number in range(count)]
        _send_step(session, {"metadata_configurations": keys}).require(status)


@group.check("scopes")
def _scopes(session: Session) -> None:
    """A key has 1 to 3 known scopes."""
    for scopes in ([], ["read"] * 4, ["other"]):
        _send_key(session, {"scopes": scopes}).require(422)


@group.check("metadata-keys")
def _metadata_keys(session: Session) -> None:
    """Metadata has at most 50 keys."""
    for count, status in ((50, 201), (51, 422)):
        metadata = dict.fromkeys(map(str, range(count)), 1)
        _send_event(session, {"event_metadata": metadata}).require(status)
        _send_job(session, {"metadata": metadata}).require(status)


@group.check("metadata-bytes")
def _metadata_bytes(session: Session) -> None:
    """Metadata has at most 8 KiB as JSON."""
    fitting = {"k": "x" * (MAX_METADATA_BYTES - len(json.dumps({"k": ""})))}
    compact = len(json.dumps({"k": ""}, separators=(",", ":")))
    larger = {"k": "x" * (MAX_METADATA_BYTES - compact + 1)}
    for metadata, status in ((fitting, 201), (larger, 422)):
        _send_event(session, {"event_metadata": metadata}).require(status)
        _send_job(session, {"metadata": metadata}).require(status)


@group.check("metadata-levels")
def _metadata_levels(session: Session) -> None:
    """Metadata has at most five levels."""
    for depth, status in ((5, 201), (6, 422)):
        value: object = 1
        for _ in range(depth):
            value = {"k": value}
        _send_event(session, {"event_metadata": value}).require(status)
        _send_job(session, {"metadata": value}).require(status)


@group.check("metadata-numbers")
def _metadata_numbers(session: Session) -> None:
    """Numbers of metadata are within ±(2^53 - 1)."""
    largest = 2**53 - 1
    for number, status in ((largest, 201), (-largest, 201), (largest + 1, 422)):
        _send_event(session, {"event_metadata": {"k": number}}).require(status)


@group.check("expiry")
def _expiry(session: Session) -> None:
    """A job token and a link end at most 366 days after the request."""
    now, job_id = datetime.now(UTC), session.job["id"]
    fitting, late = (
        {"expires_at": (now + timedelta(days=days)).isoformat()} for days in (365, 368)
    )
    session.call("create_job_token", late, job_id=job_id).require(422)
    session.call("create_share_link", late, job_id=job_id).require(422)
    link = session.call("create_share_link", fitting, job_id=job_id).require(201)
    # No token is created: its year of validity would outlast the run.
    link_id = link["share_link"]["id"]
    session.call("revoke_share_link", share_link_id=link_id).require(200)


def _lines(session: Session, count: int) -> list[dict[str, object]]:
    event = {"provider_job_id": session.job["provider_job_id"], "kind": "info"}
    return [event] * count


@group.check("lines")
def _batch_lines(session: Session) -> None:
    """A batch of over 1,000 lines is rejected (413), even if its lines are invalid."""
    accepted = session.report_batch([b"{}"] * 1000)
    expect("rejected lines", 1000, len(accepted["rejected"]))
    session.call("import_events", lines_of([b"{}"] * 1001)).require(413)


def _padded_line(session: Session, size_bytes: int) -> bytes:
    [event] = _lines(session, 1)
    return lines_of([event]).ljust(size_bytes)


@group.check("body-bytes")
def _body_bytes(session: Session) -> None:
    """A batch of over 1 MiB is rejected (413)."""
    fitting = _padded_line(session, MAX_BODY_BYTES)
    report = session.call("import_events", fitting).require(200)
    expect("accepted", 1, report["accepted"])
    session.call("import_events", fitting + b" ").require(413)


@group.check("unpacked-bytes")
def _unpacked_bytes(session: Session) -> None:
    """The limit of 1 MiB applies to a compressed batch after decompression (413)."""
    headers = {"Content-Encoding": "gzip"}
    for size_bytes, status in (
        (MAX_BODY_BYTES, 200),
        (MAX_BODY_BYTES + 1, 413),
        (32 * MAX_BODY_BYTES, 413),
    ):
        sent = gzip.compress(_padded_line(session, size_bytes), compresslevel=1)
        session.call("import_events", sent, headers=headers).require(status)
