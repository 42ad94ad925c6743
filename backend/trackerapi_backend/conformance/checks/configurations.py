"""Checks of job configurations: revisions, versions, texts, order of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.conformance.expectations import expect, expect_all
from trackerapi_backend.conformance.group import Group
from trackerapi_backend.conformance.session import STEPS

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("configurations")


def _document(session: Session, **members: Any) -> dict[str, Any]:
    name = session.new_name()
    return {"tag": name, "name": name, "step_configurations": STEPS} | members


@group.check("same-content")
def _same_content(session: Session) -> None:
    """Content that is stored already gets 200 and the stored configuration."""
    document = _document(session)
    stored = session.call("register_job_configuration", document).require(201)
    again = session.call("register_job_configuration", document).require(200)
    expect("stored configuration", stored, again)
    path = {"configuration_id": stored["id"]}
    read = session.call("get_job_configuration", **path).require(200)
    expect("configuration read by its id", stored, read)


@group.check("new-content")
def _new_content(session: Session) -> None:
    """Other content without a version becomes the next revision (201)."""
    document = _document(session)
    first = session.call("register_job_configuration", document).require(201)
    changed = document | {"name": "Other"}
    second = session.call("register_job_configuration", changed).require(201)
    expect("revisions", [1, 2], [first["revision"], second["revision"]])


@group.check("same-version")
def _same_version(session: Session) -> None:
    """Other content for a stored version is rejected (409)."""
    document = _document(session, version="1.0.0")
    session.call("register_job_configuration", document).require(201)
    session.call("register_job_configuration", document).require(200)
    changed = document | {"name": "Other"}
    session.call("register_job_configuration", changed).require(409)


@group.check("latest-version")
def _latest_version(session: Session) -> None:
    """`version=latest` lists the highest version by SemVer."""
    document = _document(session)
    for version in ("1.10.0", "1.9.0", "1.10.0-rc.1"):
        sent = document | {"version": version}
        session.call("register_job_configuration", sent).require(201)
    query = {"tag": document["tag"], "version": "latest"}
    page = session.call("list_job_configurations", query=query).require(200)
    expect("versions", ["1.10.0"], [each["version"] for each in page["items"]])
    query["version"] = "1.9.0"
    page = session.call("list_job_configurations", query=query).require(200)
    expect("versions", ["1.9.0"], [each["version"] for each in page["items"]])


@group.check("texts")
def _texts(session: Session) -> None:
    """New texts or a new `silent_after` change a revision and add no new revision."""
    document = _document(session)
    stored = session.call("register_job_configuration", document).require(201)
    extra = {"texts": {"de": {"name": "Einfuhr"}}, "silent_after": 90}
    changed = session.call("register_job_configuration", document | extra).require(200)
    expect_all("the configuration", extra | {"id": stored["id"]}, changed)
    kept = session.call("register_job_configuration", document).require(200)
    expect_all("the configuration", extra, kept)


@group.check("order-of-steps")
def _order_of_steps(session: Session) -> None:
    """An `after` with an unknown step, the step itself or a cycle is rejected (422)."""
    one, two = ({"tag": tag, "name": tag, "points": 1} for tag in "ab")
    for first_after, second_after in (
        (["unknown"], None),
        (["a"], None),
        (["b"], ["a"]),
    ):
        second = two if second_after is None else two | {"after": second_after}
        steps = [one | {"after": first_after}, second]
        document = _document(session, step_configurations=steps)
        session.call("register_job_configuration", document).require(422)


@group.check("repeated-step")
def _repeated_step(session: Session) -> None:
    """Two steps with the same tag are rejected (422)."""
    document = _document(session, step_configurations=[STEPS[0], STEPS[0]])
    session.call("register_job_configuration", document).require(422)
