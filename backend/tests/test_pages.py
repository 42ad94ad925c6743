"""Pages for people: what a customer sees, and above all what not."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from backend.tests.support.service import PATIENCE_SECONDS, new_job, new_name, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backend.tests.support.service import Service


@pytest.fixture
def reader() -> Iterator[httpx.Client]:
    """A browser that has never been here."""
    with httpx.Client(follow_redirects=True, timeout=60) as reader:
        yield reader


@pytest.fixture
def link(api: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """A share link to the job."""
    answer = api.post(f"/jobs/{job['id']}/share-links", json={})
    assert answer.status_code == 201
    created: dict[str, Any] = answer.json()
    return created


def test_page_shows_percent_steps_and_messages(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """The customer reads how far the job is in plain words, and it refreshes itself."""
    report(api, job, kind="step", tag="say_hello", message="We said hello.")
    report(api, job, kind="progress", tag="say_bye", completed=1, total=4)
    page = reader.get(link["url"]).text
    assert "35.71 %" in page
    assert "Done" in page
    assert "In progress: 1 of 4" in page
    assert "We said hello." in page
    assert 'http-equiv="refresh"' in page


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ({"completed": 1500000, "total": 2000000}, "1,500,000 of 2,000,000"),
        ({"completed": 0.25, "total": 1500000.5}, "0.25 of 1,500,000.5"),
        ({"completed": 250340}, "250,340 so far"),
        ({"total": 2000000}, "0 of 2,000,000"),
        ({"fraction": 0.5}, "In progress"),
    ],
)
def test_page_writes_counts_in_digits(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
    units: dict[str, float],
    words: str,
) -> None:
    """A count is readable at any size, and shown without a total too."""
    report(api, job, kind="progress", tag="say_bye", **units)
    shown = re.findall(r'class="words">([^<]+)<', reader.get(link["url"]).text)
    assert shown[2].removeprefix("In progress: ") == words


def test_page_shows_nothing_of_the_provider(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """Metadata, diagnostics, tags and the provider's ids stay inside."""
    report(
        api,
        job,
        kind="error",
        tag="say_hello",
        detail="Traceback canary-detail",
        event_metadata={"canary-key": "canary-value"},
    )
    page = reader.get(link["url"]).text
    hidden = ["canary", job["provider_job_id"], "say_hello", "my_job"]
    assert [word for word in hidden if word in page] == []


def test_page_shows_metadata_that_is_for_the_customer_and_no_other(
    api: httpx.Client, reader: httpx.Client
) -> None:
    """The audience decides; the newest value counts, and links are links."""
    keys = [
        {"name": "Slices", "kind": "number", "units": "images", "audience": "customer"},
        {"name": "Report", "kind": "link", "audience": "customer"},
        {"name": "Trap", "kind": "link", "audience": "customer"},
        {"name": "Node", "kind": "text"},
    ]
    steps = [
        {"tag": "load", "name": "Load", "points": 1, "metadata_configurations": keys},
        {"tag": "store", "name": "Store", "points": 1},
    ]
    tag = new_name()
    document = {"tag": tag, "name": "Import", "step_configurations": steps}
    job = new_job(api, tag=tag, configuration=document)
    link = api.post(f"/jobs/{job['id']}/share-links", json={}).json()
    report(api, job, kind="progress", tag="load", event_metadata={"Slices": 7})
    metadata = {
        "Slices": 1234,
        "Report": "https://example.org/report?a=1&b=2",
        "Trap": "javascript:alert(1)",
        "Node": "canary-declared",
        "Secret": "canary-undeclared",
    }
    report(api, job, kind="step", tag="load", event_metadata=metadata)
    report(api, job, kind="step", tag="store", event_metadata={"Slices": 4321})

    page = reader.get(link["url"]).text

    assert "1,234 images" in page
    assert 'href="https://example.org/report?a=1&amp;b=2"' in page
    assert 'href="javascript' not in page
    assert "canary" not in page
    assert "4,321" not in page


def test_page_escapes_what_others_wrote(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """A message is text, whatever it looks like."""
    report(api, job, kind="info", message="<script>alert(1)</script>")
    page = reader.get(link["url"]).text
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("kind", "words", "refreshes"),
    [
        ("complete", "Finished", False),
        ("cancel", "Cancelled", False),
        ("error", "Stopped by a problem", True),
        ("interrupt", "Paused", True),
    ],
)
def test_page_tells_how_the_job_ended(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
    kind: str,
    words: str,
    refreshes: bool,
) -> None:
    """A finished page stands still; a failed or interrupted job may run again."""
    report(api, job, kind=kind)
    page = reader.get(link["url"]).text
    assert words in page
    assert ('http-equiv="refresh"' in page) is refreshes


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cancel", ["Cancelled", "Not reached", "Not reached"]),
        ("error", ["Not finished", "Not reached", "Not reached"]),
        ("complete", ["Not finished", "Left out", "Left out"]),
        ("interrupt", ["Paused", "To do", "To do"]),
    ],
)
def test_page_tells_what_the_end_of_the_job_left_of_its_steps(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
    kind: str,
    words: list[str],
) -> None:
    """No step of a job that has ended is said to be in progress or to come."""
    report(api, job, kind="start", tag="say_hello")
    report(api, job, kind=kind)
    assert _step_words(reader, link) == words


def test_page_calls_a_step_not_needed_only_if_the_job_said_so(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """A step that the success of the job never mentioned is left out."""
    report(api, job, kind="step", tag="say_hello")
    report(api, job, kind="skip", tag="random_number")
    report(api, job, kind="complete")
    assert _step_words(reader, link) == ["Done", "Not needed", "Left out"]


def test_page_shows_a_rerun_at_once(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """The start of the job ends the pause, and its step is to do again."""
    report(api, job, kind="start", tag="say_hello")
    report(api, job, kind="interrupt")
    assert "It is expected to go on" in reader.get(link["url"]).text
    report(api, job, kind="start")
    page = reader.get(link["url"]).text
    assert "In progress" in page
    assert "Paused" not in page
    assert _step_words(reader, link) == ["To do", "To do", "To do"]


@pytest.mark.parametrize("kind", ["cancel", "error", "complete"])
def test_page_tells_of_a_step_that_was_begun_and_never_finished(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
    kind: str,
) -> None:
    """A step that an interruption stopped was reached, whatever ends the job."""
    report(api, job, kind="start", tag="say_hello")
    report(api, job, kind="interrupt")
    report(api, job, kind=kind)
    assert _step_words(reader, link)[0] == "Not finished"


def _step_words(reader: httpx.Client, link: dict[str, Any]) -> list[str]:
    steps = reader.get(link["url"]).text.partition("<h2>Steps</h2>")[2]
    return re.findall(r'class="words">([^<]+)<', steps)


def test_page_of_a_job_without_configuration_shows_counts(
    api: httpx.Client, reader: httpx.Client
) -> None:
    """Where there is no percentage, none is made up."""
    body = {"provider_job_id": str(uuid4()), "customer_id": 142, "tag": "untold"}
    job = api.post("/jobs", json=body).json()
    report(api, job, kind="info")
    link = api.post(f"/jobs/{job['id']}/share-links", json={}).json()
    page = reader.get(link["url"]).text
    assert "1 update so far" in page
    assert "%" not in page


def test_page_is_fenced_in(reader: httpx.Client, link: dict[str, Any]) -> None:
    """No script runs, and nothing is cached, indexed or told to other hosts."""
    headers = reader.get(link["url"]).headers
    assert "script-src" not in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert "noindex" in headers["x-robots-tag"]


def test_link_is_exchanged_for_a_cookie(
    reader: httpx.Client, link: dict[str, Any]
) -> None:
    """A browser that keeps the cookie comes to an address without the token."""
    cookie = reader.get(link["url"]).headers["set-cookie"].lower()
    again = reader.get(link["url"])
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert again.status_code == 200
    assert link["url"].rpartition("/")[2] not in str(again.url)


def test_browser_sends_a_link_no_cookie_of_others(
    api: httpx.Client, reader: httpx.Client, service: Service
) -> None:
    """However many links were opened, a request carries at most the cookie of one."""
    addresses: list[httpx.URL] = []
    for _ in range(3):
        job = new_job(api)
        url = api.post(f"/jobs/{job['id']}/share-links", json={}).json()["url"]
        reader.get(url)
        addresses += [httpx.URL(url), reader.get(url).url]

    sent = [
        reader.build_request("GET", url).headers.get("cookie", "") for url in addresses
    ]

    assert len(reader.cookies.jar) == len(addresses)
    assert [header.count("=") for header in sent] == [1] * len(addresses)
    elsewhere = reader.build_request("GET", f"{service.base_url}/docs")
    assert "cookie" not in elsewhere.headers


@pytest.mark.parametrize("days", [None, 2, 90])
def test_cookie_ends_with_its_link(
    api: httpx.Client, reader: httpx.Client, job: dict[str, Any], days: int | None
) -> None:
    """A cookie is kept for as long as its link works, and no longer."""
    ends = datetime.now(UTC) + timedelta(days=days or 30)
    body = {} if days is None else {"expires_at": ends.isoformat()}
    created = api.post(f"/jobs/{job['id']}/share-links", json=body).json()
    reader.get(created["url"])

    expiries = [cookie.expires or 0 for cookie in reader.cookies.jar]

    ends = datetime.fromisoformat(created["share_link"]["expires_at"])
    assert len(expiries) == 2
    assert all(abs(each - ends.timestamp()) < PATIENCE_SECONDS for each in expiries)


def test_link_works_again_where_no_cookie_is_kept(link: dict[str, Any]) -> None:
    """A browser without cookies reads the page as often as it likes."""
    answers = [httpx.get(link["url"], timeout=60) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]


def test_page_stands_still_when_asked(
    reader: httpx.Client, link: dict[str, Any]
) -> None:
    """A reader who needs more time can stop the refreshing."""
    address = reader.get(link["url"]).url
    page = reader.get(address, params={"refresh": "off"}).text
    assert 'http-equiv="refresh"' not in page


def test_cookie_opens_no_other_job(api: httpx.Client, link: dict[str, Any]) -> None:
    """Whoever may see one job cannot count on to the next."""
    body = {"provider_job_id": str(uuid4()), "customer_id": 142, "tag": "untold"}
    other = api.post("/jobs", json=body).json()["id"]
    address, _, token = link["url"].rpartition("/s/")
    with httpx.Client(cookies={f"share_{other}": token}, timeout=60) as thief:
        assert thief.get(f"{address}/app/jobs/{other}").status_code == 404


def test_revoked_link_opens_nothing(
    api: httpx.Client, reader: httpx.Client, link: dict[str, Any]
) -> None:
    """Revoking ends the link and the cookies it was exchanged for."""
    reader.get(link["url"])
    page = reader.get(link["url"])
    revoked = api.post(f"/share-links/{link['share_link']['id']}/revoke")
    assert revoked.json()["revoked_at"] is not None
    assert reader.get(page.url).status_code == 404
    assert reader.get(link["url"]).status_code == 404


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ["", "/app"])
def test_reader_without_an_address_gets_a_page(
    service: Service, path: str, slash: str
) -> None:
    """Whoever opens the service itself reads what it is."""
    answer = httpx.get(f"{service.base_url}{path}{slash}", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "open the whole link" in answer.text


def test_link_with_a_slash_at_its_end_is_the_link(
    reader: httpx.Client, link: dict[str, Any]
) -> None:
    """What a mail program adds to a link does not break it."""
    for _ in range(2):
        answer = reader.get(link["url"] + "/")
        assert answer.status_code == 200
        assert "My Job" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        *("/app/jobs/" + number for number in ("9" * 5000, "9" * 17, "0", "-1", "1.5")),
        *("/app/jobs/" + text for text in ("abc", "%D9%A1", "%00", "1/steps", "")),
        *("/app/nothing", "/app/jobs", "/s/", "/s/unknown", "/s/unknown/", "/s/a/b"),
        "/s/" + "x" * 5000,
    ],
)
def test_address_of_no_page_shows_a_page(service: Service, path: str) -> None:
    """A reader is told in words that nothing is there, whatever the address."""
    answer = httpx.get(service.base_url + path, timeout=60)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "Nothing to see under this link" in answer.text


def test_links_are_listed_without_their_addresses(
    api: httpx.Client, job: dict[str, Any], link: dict[str, Any]
) -> None:
    """The address of a link is shown once."""
    answer = api.get(f"/jobs/{job['id']}/share-links")
    assert answer.json()["items"] == [link["share_link"]]
    assert link["url"].rpartition("/")[2] not in answer.text


def test_documentation_loads_nothing_from_elsewhere(
    service: Service, reader: httpx.Client
) -> None:
    """The API pages work without any other host, and name every operation."""
    page = reader.get(f"{service.base_url}/docs").text
    contract = reader.get(f"{service.base_url}/openapi.json").json()
    for methods in contract["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
    assert 'src="http' not in page
    assert 'rel="stylesheet" href="/' in page
