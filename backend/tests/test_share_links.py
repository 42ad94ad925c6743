"""Share links: label, language, and the time of the last view."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from backend.tests.support.pages import new_link
from backend.tests.support.servers import wait_until
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    new_job,
    prepare,
    problem_name,
    serve_existing,
)

if TYPE_CHECKING:
    from pathlib import Path


def only_link(api: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Return the only share link of a job, as the list has it."""
    [link] = api.get(f"/jobs/{job['id']}/share-links").json()["items"]
    return dict(link)


def test_link_keeps_label_and_language(api: httpx.Client) -> None:
    """Creation, list and revocation of a link have its label and its language."""
    job = new_job(api)
    created = new_link(api, job, label="For the ward", language="de")["share_link"]
    assert (created["label"], created["language"]) == ("For the ward", "de")
    assert created["last_opened_at"] is None
    assert only_link(api, job) == created
    revoked = api.post(f"/share-links/{created['id']}/revoke").json()
    assert revoked | {"revoked_at": None} == created
    plain = new_link(api, new_job(api))["share_link"]
    assert (plain["label"], plain["language"]) == (None, None)


@pytest.mark.parametrize(
    ("member", "value"),
    [("label", ""), ("label", "a\nb"), ("label", "x" * 101), ("language", "fr")],
)
def test_invalid_label_or_language_is_rejected(
    api: httpx.Client, job: dict[str, Any], member: str, value: str
) -> None:
    """An invalid label or language gets 422 and creates no link."""
    path = f"/jobs/{job['id']}/share-links"
    answer = api.post(path, json={member: value})
    assert (answer.status_code, problem_name(answer)) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == f"/{member}"
    assert api.get(path).json()["items"] == []


@pytest.mark.parametrize("with_cookies", [True, False])
def test_view_of_the_page_is_recorded(api: httpx.Client, with_cookies: bool) -> None:
    """The first view sets the time of the last view; a second view soon after does not.

    A request with an invalid token records nothing.
    """
    job, before = new_job(api), datetime.now(UTC)
    url = new_link(api, job)["url"]
    with httpx.Client(follow_redirects=True, timeout=MAX_WAIT_SECONDS) as reader:
        assert reader.get(f"{url}x").status_code == 404
        assert only_link(api, job)["last_opened_at"] is None
        assert reader.get(url).status_code == 200
        wait_until(lambda: only_link(api, job)["last_opened_at"] is not None)
        opened = only_link(api, job)["last_opened_at"]
        assert before <= datetime.fromisoformat(opened) <= datetime.now(UTC)
        if not with_cookies:
            reader.cookies.clear()
        assert reader.get(url).status_code == 200
    # A write of the second view would precede this later write.
    api.post(f"/share-links/{new_link(api, new_job(api))['share_link']['id']}/revoke")
    assert only_link(api, job)["last_opened_at"] == opened


def test_later_view_is_recorded(tmp_path: Path) -> None:
    """A view five minutes after the recorded view is recorded again."""
    keys = prepare(tmp_path)
    with serve_existing(tmp_path, keys) as (process, service), service.client() as api:
        job = new_job(api)
        url = new_link(api, job)["url"].removeprefix(service.base_url)
        process.terminate()
        assert process.wait(MAX_WAIT_SECONDS) == 0
    old = datetime.now(UTC) - timedelta(minutes=5)
    micros = int(old.timestamp() * 1_000_000)
    with closing(sqlite3.connect(tmp_path / "backend.db")) as db, db:
        db.execute("UPDATE share_links SET last_opened_at = ?", [micros])
    with serve_existing(tmp_path, keys) as (_process, service), service.client() as api:

        def last() -> datetime:
            return datetime.fromisoformat(only_link(api, job)["last_opened_at"])

        assert last() < old + timedelta(seconds=1)
        assert httpx.get(service.base_url + url, timeout=60).status_code == 200
        wait_until(lambda: last() > old + timedelta(minutes=4))


FULL_DISK = """
from trackerapi_backend.store import StoreError, share_links
def fail(*_arguments, **_options):
    raise StoreError("the disk is full", cause="the disk is full")
share_links.record_opening = fail
"""
SLOW_DISK = """
import threading
from trackerapi_backend.store import share_links
def wait(*_arguments, **_options):
    threading.Event().wait()
share_links.record_opening = wait
"""


@pytest.mark.parametrize("prelude", [FULL_DISK, SLOW_DISK], ids=["full", "slow"])
def test_page_is_shown_while_the_view_cannot_be_stored(
    tmp_path: Path, prelude: str
) -> None:
    """A failing or waiting write of the view neither fails nor delays the page."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=prelude) as (_process, service),
        service.client() as api,
        httpx.Client(follow_redirects=True, timeout=MAX_WAIT_SECONDS) as reader,
    ):
        job = new_job(api)
        url = new_link(api, job)["url"]
        for _ in range(3):
            answer = reader.get(url)
            assert answer.status_code == 200
            assert "Not started yet" in answer.text
        assert only_link(api, job)["last_opened_at"] is None
