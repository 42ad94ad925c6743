"""Checks of lists: pages, cursors, order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.conformance.expectations import Mismatch, expect
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("lists")

MAX_PAGES = 20


def _walk(
    session: Session, operation_id: str, query: dict[str, object], **path: Any
) -> list[Any]:
    """Return the items of all pages of a list.

    Raises:
        Mismatch: If a page has more items than `limit`, or the list has more than
            `MAX_PAGES` pages.
    """
    items: list[Any] = []
    cursor: dict[str, object] = {}
    for _ in range(MAX_PAGES):
        answer = session.call(operation_id, query=query | cursor, **path)
        page = answer.require(200)
        if len(page["items"]) > int(str(query["limit"])):
            raise Mismatch("items of a page", query["limit"], len(page["items"]))
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}
    raise Mismatch(f"pages of {operation_id}", f"at most {MAX_PAGES}", "more")


@group.check("newest-first")
def _newest_first(session: Session) -> None:
    """The pages of jobs have each job once, the newest first."""
    customer_id = session.new_customer()["id"]
    ids = [session.new_job(customer_id=customer_id)["id"] for _ in range(5)]
    query: dict[str, object] = {"customer_id": customer_id, "limit": 2}
    got = [job["id"] for job in _walk(session, "list_jobs", query)]
    expect("ids", ids[::-1], got)


@group.check("new-item-between-pages")
def _new_item_between_pages(session: Session) -> None:
    """After a new job, the next page of a list repeats no job and omits no job."""
    customer_id = session.new_customer()["id"]
    ids = [session.new_job(customer_id=customer_id)["id"] for _ in range(3)]
    query: dict[str, object] = {"customer_id": customer_id, "limit": 2}
    first = session.call("list_jobs", query=query).require(200)
    session.new_job(customer_id=customer_id)
    query["cursor"] = first["next_cursor"]
    second = session.call("list_jobs", query=query).require(200)
    got = [job["id"] for job in (*first["items"], *second["items"])]
    expect("ids", ids[::-1], got)


@group.check("events")
def _events(session: Session) -> None:
    """The pages of events have each event once, in the order of arrival."""
    job = session.new_job()
    line = {"provider_job_id": job["provider_job_id"], "kind": "info"}
    session.report_batch([line] * 5)
    events = _walk(session, "list_events", {"limit": 2}, job_id=job["id"])
    expect("sequences", [1, 2, 3, 4, 5], [event["sequence"] for event in events])


@group.check("configurations")
def _configurations(session: Session) -> None:
    """The pages of configurations have each revision once, the newest first."""
    tag = session.new_name()
    for points in range(3):
        steps = [{"tag": "a", "name": "A", "points": points}]
        document = {"tag": tag, "name": tag, "step_configurations": steps}
        session.call("register_job_configuration", document).require(201)
    items = _walk(session, "list_job_configurations", {"tag": tag, "limit": 1})
    expect("revisions", [3, 2, 1], [each["revision"] for each in items])


@group.check("links")
def _links(session: Session) -> None:
    """The pages of links have each link of the job once, the newest first."""
    job = session.new_job()
    ids = [session.new_link(job)["share_link"]["id"] for _ in range(3)]
    items = _walk(session, "list_share_links", {"limit": 2}, job_id=job["id"])
    expect("ids", ids[::-1], [each["id"] for each in items])


@group.check("invalid-page")
def _invalid_page(session: Session) -> None:
    """Every list rejects (422) an invalid cursor and a limit outside 1 to 200."""
    for operation_id in session.operation_ids:
        names = [
            each.get("$ref", "").rpartition("/")[2]
            for each in session.described(operation_id).get("parameters", ())
        ]
        if "Cursor" in names:
            path: dict[str, Any] = {}
            if "JobId" in names:
                path["job_id"] = session.job["id"]
            queries: tuple[dict[str, object], ...] = (
                {"cursor": "no cursor"},
                {"limit": 0},
                {"limit": 201},
                {"limit": "ten"},
            )
            for query in queries:
                session.call(operation_id, query=query, **path).require(422)
            session.call(operation_id, query={"limit": 200}, **path).require(200)
