"""Checks of share links. The pages behind the links are not part of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.conformance.expectations import Mismatch, expect, expect_all
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("links")


@group.check("create")
def _create(session: Session) -> None:
    """A new link has its job, the sent label and language, and a unique URL."""
    job = session.new_job()
    sent = {"label": "For the family", "language": "de", "expires_at": session.expiry}
    one, two = (
        session.call("create_share_link", sent, job_id=job["id"]).require(201)
        for _ in range(2)
    )
    expected = {"job_id": job["id"], "label": sent["label"], "language": "de"}
    expect_all("the link", expected | {"revoked_at": None}, one["share_link"])
    if one["url"] == two["url"] or not one["url"].startswith("http"):
        raise Mismatch("URLs of two links", "two addresses", "other texts")


@group.check("url-shown-once")
def _url_shown_once(session: Session) -> None:
    """The list of links has the link without its URL."""
    job = session.new_job()
    created = session.new_link(job)
    answer = session.call("list_share_links", job_id=job["id"])
    expect("links", [created["share_link"]], answer.require(200)["items"])
    secret = created["url"].rpartition("/")[2]
    expect("the end of the URL in the list", False, secret in answer.body.decode())


@group.check("revoke")
def _revoke(session: Session) -> None:
    """A revoked link has `revoked_at`, which a second revocation does not change."""
    job = session.new_job()
    link = session.new_link(job)["share_link"]
    path = {"share_link_id": link["id"]}
    revoked = session.call("revoke_share_link", **path).require(200)
    if revoked["revoked_at"] is None:
        raise Mismatch("revoked_at", "a time", None)
    again = session.call("revoke_share_link", **path).require(200)
    expect("revoked_at", revoked["revoked_at"], again["revoked_at"])
    page = session.call("list_share_links", job_id=job["id"]).require(200)
    expect("revoked links", [again], page["items"])


@group.check("language")
def _language(session: Session) -> None:
    """A language that the contract does not have is rejected (422)."""
    sent = {"language": "xx"}
    session.call("create_share_link", sent, job_id=session.job["id"]).require(422)
