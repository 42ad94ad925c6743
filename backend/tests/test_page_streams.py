"""Streams of the customer's page: parts of the page, languages, ends, limits."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from backend.tests.support.pages import new_link
from backend.tests.support.servers import wait_until
from backend.tests.support.service import (
    new_job,
    new_name,
    prepare,
    report,
    serve_existing,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    from pathlib import Path

    from backend.tests.support.service import Service

_TIMES = re.compile(r"<time.*?</time>", re.DOTALL)
FEW_VIEWERS = (
    "from trackerapi_backend.live import hub\nhub.MAX_VIEWERS.update(link=1)\n"
)
FREQUENT_REREADS = (
    "from trackerapi_backend.live import hub\n"
    "from trackerapi_backend.pages import stream\n"
    "hub.REREAD_SECONDS = 0.2\n"
    "stream.RENDER_SECONDS = 3600.0\n"
)


def without_times(html: str) -> str:
    """Return HTML without times, which change from request to request."""
    return _TIMES.sub("", html).strip()


@pytest.mark.parametrize("query", ["", "?lang=de"])
def test_parts_are_those_of_the_page(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
    query: str,
) -> None:
    """Each part is the inner HTML of its element on the page, in the same language."""
    with open_stream(reader, f"{link['url']}/stream{query}") as stream:
        assert stream.message().event == "page"
        report(api, job, kind="step", tag="say_hello", message="Ready <soon> & well")
        message = stream.message()
        page = reader.get(f"{link['url']}{query}").text
    assert message.data["version"] == 2
    assert f"<title>{message.data['title']}</title>" in page
    parts = message.data["parts"]
    assert set(parts) == {"provider", "job", "cards", "about-job", "facts"}
    for name, part in parts.items():
        assert f'id="{name}"' in page
        assert without_times(part) in without_times(page)
    assert "Ready &lt;soon&gt; &amp; well" in message.data["parts"]["job"]


def test_language_of_the_stream_is_that_of_the_browser(
    reader: httpx.Client, link: dict[str, Any]
) -> None:
    """`Accept-Language` counts for the stream as for the page."""
    path = f"{link['url']}/stream"
    with open_stream(reader, path, Accept_Language="de") as stream:
        assert "Noch nicht begonnen" in stream.message().data["parts"]["job"]


def test_page_streams_by_cookie_too(
    api: httpx.Client, reader: httpx.Client, job: dict[str, Any], link: dict[str, Any]
) -> None:
    """A page without the token in its address has a stream below its own path."""
    reader.get(link["url"])
    page = reader.get(link["url"])
    assert page.url.path == f"/app/jobs/{job['id']}"
    with open_stream(reader, f"{page.url}/stream") as stream:
        assert stream.message().data["version"] == 1
    other = new_job(api)
    foreign = page.url.copy_with(path=f"/app/jobs/{other['id']}/stream")
    assert reader.get(foreign).status_code == 404


def test_known_message_is_not_repeated(
    api: httpx.Client, reader: httpx.Client, job: dict[str, Any], link: dict[str, Any]
) -> None:
    """With the id of the present message as `Last-Event-ID`, a change is sent first."""
    path = f"{link['url']}/stream"
    with open_stream(reader, path) as stream:
        known = stream.message().id
    with open_stream(reader, path, Last_Event_ID=known) as stream:
        report(api, job, kind="start")
        assert stream.message().data["version"] == 2


def test_revoked_link_ends_its_streams_alone(
    api: httpx.Client, reader: httpx.Client, job: dict[str, Any], link: dict[str, Any]
) -> None:
    """A revocation ends the streams of the link, and no others of the job."""
    other = new_link(api, job)
    with (
        open_stream(reader, f"{link['url']}/stream") as ended,
        open_stream(reader, f"{other['url']}/stream") as kept,
        open_stream(api, f"/jobs/{job['id']}/stream") as program,
    ):
        for stream in (ended, kept, program):
            stream.message()
        api.post(f"/share-links/{link['share_link']['id']}/revoke")
        assert list(ended.messages()) == []
        report(api, job, kind="start")
        assert kept.message().data["version"] == 2
        assert program.message().data["version"] == 2


@pytest.mark.parametrize("path", ["/s/{}/stream", "/app/jobs/{}/stream"])
@pytest.mark.parametrize("name", ["wrong", "1", "9" * 5000, "%00", "ä"])
def test_invalid_link_is_answered_as_on_its_page(
    service: Service, path: str, name: str
) -> None:
    """An invalid link gets the same answer from its stream as from its page."""
    with service.client(None) as reader:
        answers = [
            reader.get(address)
            for address in (
                path.format(name),
                path.format(name).removesuffix("/stream"),
            )
        ]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].text == answers[1].text


def test_revoked_link_is_answered_as_an_unknown_one(
    api: httpx.Client, reader: httpx.Client, link: dict[str, Any]
) -> None:
    """The stream of a revoked link gets the page of an unknown link."""
    api.post(f"/share-links/{link['share_link']['id']}/revoke")
    revoked = reader.get(f"{link['url']}/stream")
    unknown = reader.get(str(httpx.URL(link["url"]).join("/s/unknown/stream")))
    assert (revoked.status_code, unknown.status_code) == (404, 404)
    assert revoked.text == unknown.text


def test_head_request_is_answered_at_once(
    reader: httpx.Client, link: dict[str, Any]
) -> None:
    """HEAD of a stream returns its headers and opens no stream."""
    answer = reader.head(f"{link['url']}/stream")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream"


def test_viewers_of_a_link_are_limited(tmp_path: Path) -> None:
    """A viewer above the maximum of a link gets 429; another link accepts viewers."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=FEW_VIEWERS) as (_process, service),
        service.client() as api,
        service.client(None) as reader,
    ):
        job = new_job(api)
        link, other = new_link(api, job)["url"], new_link(api, job)["url"]
        with open_stream(reader, f"{link}/stream"):
            refused = reader.get(f"{link}/stream")
            assert refused.status_code == 429
            assert "This page cannot be shown right now" in refused.text
            with open_stream(reader, f"{other}/stream") as stream:
                stream.message()

        def is_free() -> bool:
            with reader.stream("GET", f"{link}/stream") as answer:
                return answer.status_code == 200

        wait_until(is_free)


def test_silence_is_sent_when_it_begins(tmp_path: Path) -> None:
    """A page gets a message when its job becomes silent, without any event."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=FREQUENT_REREADS) as (_process, service),
        service.client() as api,
        service.client(None) as reader,
    ):
        tag = new_name()
        steps = [{"tag": "load", "name": "Load", "points": 1}]
        document = {"tag": tag, "name": "Import", "step_configurations": steps}
        job = new_job(api, tag=tag, configuration=document | {"silent_after": 60})
        at = datetime.now(UTC) - timedelta(seconds=57)
        report(api, job, kind="start", tag="load", occurred_at=at.isoformat())
        with open_stream(reader, f"{new_link(api, job)['url']}/stream") as stream:
            heartbeats = 0
            for block in stream.blocks():
                if "Load</span>, as far as we know" in "".join(block):
                    return
                heartbeats += block[0] == "event: heartbeat"
                assert heartbeats < 2, "the silence was not sent"
    pytest.fail("the stream has ended")
