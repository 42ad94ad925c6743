"""Pages for people: shown and hidden data, cookies, addresses."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from backend.tests.support.pages import new_link, page_text
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
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


def test_page_shows_percent_steps_and_messages(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """The page shows percent, steps and messages, and refreshes itself."""
    report(api, job, kind="step", tag="say_hello", message="We said hello.")
    report(api, job, kind="progress", tag="say_bye", completed=1, total=4)
    page = reader.get(link["url"]).text
    assert "<title>35 % · My Job</title>" in page
    assert _step_words(page) == ["done", "to do", "since"]
    assert "Step 3 of 3 · 1 of 4" in page_text(page)
    assert "“We said hello.”" in page_text(page)
    assert 'http-equiv="refresh"' in page


@pytest.mark.parametrize(
    ("units", "words"),
    [
        ({"completed": 1500000, "total": 2000000}, "1,500,000 of 2,000,000"),
        ({"completed": 0.25, "total": 1500000.5}, "0.25 of 1,500,000.5"),
        ({"completed": 250340}, "250,340 so far"),
        ({"total": 2000000}, "0 of 2,000,000"),
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
    """The page writes counts of any size in digits, with and without a total."""
    report(api, job, kind="progress", tag="say_bye", **units)
    page = reader.get(link["url"]).text
    assert re.findall(r'class="count">([^<]+)<', page) == [words]
    assert f"Step 3 of 3 · {words}" in page_text(page)


def test_page_shows_nothing_of_the_provider(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """The page has no metadata, diagnostics, tags or ids of the provider."""
    report(
        api,
        job,
        kind="error",
        tag="say_hello",
        detail="Traceback canary-detail",
        event_metadata={"canary-key": "canary-value"},
    )
    page = reader.get(link["url"]).text
    with open_stream(reader, f"{link['url']}/stream") as stream:
        page += str(stream.message())
    page += reader.get(f"{link['url']}/badge.svg").text
    hidden = ["canary", job["provider_job_id"], "say_hello", "my_job"]
    assert [word for word in hidden if word in page] == []


def test_page_shows_title_kind_and_reference(
    api: httpx.Client, reader: httpx.Client
) -> None:
    """The heading is the title below the kind of job; the provider's id is hidden."""
    job = new_job(
        api,
        provider_job_id=f"canary-{new_name()}",
        title="Brain <MRI> & more",
        reference='MR-"7"',
    )
    link = new_link(api, job)
    report(api, job, kind="start")

    page = reader.get(link["url"]).text

    shown = re.sub(r"<[^>]+>", "", page)
    assert re.search(r"Import\s+Brain &lt;MRI&gt; &amp; more\s+Reference MR-", shown)
    german = reader.get(link["url"], headers={"Accept-Language": "de"}).text
    assert "Referenz MR-" in re.sub(r"<[^>]+>", "", german)
    assert re.findall("<h1[^>]*>(.*)</h1>", page) == ["Brain &lt;MRI&gt; &amp; more"]
    assert "<title>0 % · Brain &lt;MRI&gt; &amp; more</title>" in page
    assert "canary" not in page


def test_page_without_title_shows_kind_and_start(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """Without a title, the heading is the configuration's name; the start is below."""
    started = report(api, job, kind="start")["occurred_at"]

    page = reader.get(link["url"]).text

    assert re.findall("<h1[^>]*>(.*)</h1>", page) == [job["name"]]
    [at] = re.findall('<dt>Started</dt>\n<dd><time datetime="([^"]+)"', page)
    assert datetime.fromisoformat(at) == datetime.fromisoformat(started)
    assert "Reference" not in page


def test_page_shows_only_metadata_for_the_customer(
    api: httpx.Client, reader: httpx.Client
) -> None:
    """The page shows the latest metadata for customers; web addresses become links."""
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
    link = new_link(api, job)
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


TEXTS: dict[str, Any] = {
    "de": {
        "name": "Einlesen",
        "steps": {"load": {"name": "Lesen <b>", "units": "Bildern"}, "store": {}},
        "metadata": {"Slices": "Schichten"},
    },
    "fr": {"name": "Lecture"},
}


@pytest.mark.parametrize(
    ("texts", "language", "shown"),
    [
        (TEXTS, "de", ("Einlesen", "Lesen <b>", "412 von 1.840 Bildern", "Schichten:")),
        (TEXTS, "en", ("Import", "Load", "412 of 1,840 images", "Slices:")),
        (TEXTS, "fr", ("Import", "Load", "412 of 1,840 images", "Slices:")),
        (
            {"de-AT": TEXTS["de"], "de-CH": TEXTS["fr"]},
            "de",
            ("Einlesen", "Lesen <b>", "412 von 1.840 Bildern", "Schichten:"),
        ),
        (
            {"en": {"name": "Reading", "steps": {"load": {"units": "pictures"}}}},
            "en",
            ("Reading", "Load", "412 of 1,840 pictures", "Slices:"),
        ),
        (
            {"en": {"name": "Reading"}},
            "de",
            ("Import", "Load", "412 von 1.840 images", "Slices:"),
        ),
    ],
    ids=["German", "English", "French", "regional", "some texts", "other language"],
)
def test_page_shows_the_texts_of_its_language(
    api: httpx.Client,
    reader: httpx.Client,
    texts: dict[str, Any],
    language: str,
    shown: tuple[str, ...],
) -> None:
    """Names and units have the language of the page, or else are as configured."""
    key = {"name": "Slices", "kind": "number", "audience": "customer"}
    load = {"tag": "load", "name": "Load", "points": 1, "units": "images"}
    steps = [
        load | {"metadata_configurations": [key]},
        {"tag": "store", "name": "Store", "points": 1},
    ]
    tag = new_name()
    document = {"tag": tag, "name": "Import", "step_configurations": steps}
    job = new_job(api, tag=tag, configuration=document)
    link = new_link(api, job)
    metadata = {"event_metadata": {"Slices": 7}}
    report(api, job, kind="progress", tag="load", completed=412, total=1840, **metadata)
    api.post("/job_configurations", json=document | {"texts": texts})

    page = reader.get(link["url"], headers={"Accept-Language": language}).text

    name, step, count, value = shown
    assert re.findall("<h1[^>]*>(.*)</h1>", page) == [name]
    assert f" · {name}</title>" in page
    names = re.findall('class="name"[^>]*>(.*)</p>', page)
    assert [html.unescape(each) for each in names] == [step, "Store"]
    assert page_text(page).count(count) == 2
    assert re.findall('<dt dir="auto">(.*)</dt>', page) == [value]
    assert page_text(page).count(step) == 2
    stored = api.get(f"/jobs/{job['id']}").json()
    assert (stored["name"], stored["steps"][0]["name"]) == ("Import", "Load")


def test_page_escapes_messages(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """The page escapes HTML in a message."""
    report(api, job, kind="info", message="<script>alert(1)</script>")
    page = reader.get(link["url"]).text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("kind", "words", "refreshes"),
    [
        ("complete", "Ready", False),
        ("cancel", "Cancelled", False),
        ("error", "This could not be finished", True),
        ("interrupt", "Paused", True),
    ],
)
def test_page_shows_the_end_of_the_job(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
    kind: str,
    words: str,
    refreshes: bool,
) -> None:
    """The page refreshes after failure or interruption, not after success or cancel."""
    report(api, job, kind=kind)
    page = reader.get(link["url"]).text
    assert words in page
    assert ('http-equiv="refresh"' in page) is refreshes


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cancel", ["cancelled", "not reached", "not reached"]),
        ("error", ["not finished", "not reached", "not reached"]),
        ("complete", ["not finished", "left out", "left out"]),
        ("interrupt", ["paused", "to do", "to do"]),
    ],
)
def test_page_shows_the_steps_of_an_ended_job(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
    kind: str,
    words: list[str],
) -> None:
    """After the end of a job, no step is shown as under way or "to do"."""
    report(api, job, kind="start", tag="say_hello")
    report(api, job, kind=kind)
    assert _step_words(reader.get(link["url"]).text) == words


def test_page_calls_only_a_skipped_step_not_needed(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """A skipped step is "not needed", and a step without events is "left out"."""
    report(api, job, kind="step", tag="say_hello")
    report(api, job, kind="skip", tag="random_number")
    report(api, job, kind="complete")
    assert _step_words(reader.get(link["url"]).text) == [
        "done",
        "not needed",
        "left out",
    ]


def test_page_shows_a_rerun_at_once(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
) -> None:
    """After a `start` of an interrupted job, its page shows the steps as "to do"."""
    report(api, job, kind="start", tag="say_hello")
    report(api, job, kind="interrupt")
    assert "It is expected to go on" in reader.get(link["url"]).text
    report(api, job, kind="start")
    page = reader.get(link["url"]).text
    assert "Next: Say Hello" in page_text(page)
    assert "Paused" not in page
    assert _step_words(page) == ["to do", "to do", "to do"]


@pytest.mark.parametrize("kind", ["cancel", "error", "complete"])
def test_page_shows_an_interrupted_step_as_not_finished(
    api: httpx.Client,
    reader: httpx.Client,
    job: dict[str, Any],
    link: dict[str, Any],
    kind: str,
) -> None:
    """An interrupted step is "not finished" after any end of the job."""
    report(api, job, kind="start", tag="say_hello")
    report(api, job, kind="interrupt")
    report(api, job, kind=kind)
    assert _step_words(reader.get(link["url"]).text)[0] == "not finished"


def _step_words(page: str) -> list[str]:
    """Return the word of each step, without the time after it."""
    return re.findall(r'<p class="at">([^<]+?) ?<', page)


def test_page_of_a_job_without_configuration_shows_counts(
    api: httpx.Client, reader: httpx.Client
) -> None:
    """Without a configuration the page shows counts and no percentage."""
    body = {"provider_job_id": str(uuid4()), "customer_id": 142, "tag": "untold"}
    job = api.post("/jobs", json=body).json()
    report(api, job, kind="start")
    link = new_link(api, job)
    page = reader.get(link["url"]).text
    assert "1 update so far" in page
    assert "%" not in page


def test_page_has_security_headers(reader: httpx.Client, link: dict[str, Any]) -> None:
    """The headers of a page allow only its own files, no cache and no referrer."""
    headers = reader.get(link["url"]).headers
    policy = headers["content-security-policy"]
    closed = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    assert policy == (
        f"default-src 'none'; style-src 'self'; img-src 'self'; {closed};"
        " script-src 'self'; connect-src 'self'"
    )
    for address in (f"{link['url']}?refresh=off", f"{link['url']}x"):
        policy = reader.get(address).headers["content-security-policy"]
        assert policy == (
            f"default-src 'none'; style-src 'self'; img-src 'self'; {closed}"
        )
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert "noindex" in headers["x-robots-tag"]


def test_link_is_exchanged_for_a_cookie(
    reader: httpx.Client, link: dict[str, Any]
) -> None:
    """A second visit with cookies is redirected to an address without the token."""
    cookie = reader.get(link["url"]).headers["set-cookie"].lower()
    again = reader.get(link["url"])
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert again.status_code == 200
    assert link["url"].rpartition("/")[2] not in str(again.url)


def test_browser_sends_one_cookie_at_most(
    api: httpx.Client, reader: httpx.Client, service: Service
) -> None:
    """After many links, a browser sends only the cookie of the requested page."""
    addresses: list[httpx.URL] = []
    for _ in range(3):
        job = new_job(api)
        url = new_link(api, job)["url"]
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
    """A cookie expires together with its link."""
    ends = datetime.now(UTC) + timedelta(days=days or 30)
    members = {} if days is None else {"expires_at": ends.isoformat()}
    created = new_link(api, job, **members)
    reader.get(created["url"])

    expiries = [cookie.expires or 0 for cookie in reader.cookies.jar]

    ends = datetime.fromisoformat(created["share_link"]["expires_at"])
    assert len(expiries) == 2
    assert all(abs(each - ends.timestamp()) < MAX_WAIT_SECONDS for each in expiries)


def test_link_works_without_cookies(link: dict[str, Any]) -> None:
    """A link works again for a browser without cookies."""
    answers = [httpx.get(link["url"], timeout=60) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]


def test_page_does_not_refresh_on_request(
    reader: httpx.Client, link: dict[str, Any]
) -> None:
    """A page with `?refresh=off` neither refreshes itself nor has a script."""
    address = reader.get(link["url"]).url
    page = reader.get(address, params={"refresh": "off"}).text
    assert 'http-equiv="refresh"' not in page
    assert "<script" not in page
    assert 'href="?lang=de&amp;refresh=off"' in page


def test_cookie_opens_no_other_job(api: httpx.Client, link: dict[str, Any]) -> None:
    """The cookie of one job gets 404 for another job."""
    body = {"provider_job_id": str(uuid4()), "customer_id": 142, "tag": "untold"}
    other = api.post("/jobs", json=body).json()["id"]
    address, _, token = link["url"].rpartition("/s/")
    with httpx.Client(cookies={f"share_{other}": token}, timeout=60) as thief:
        assert thief.get(f"{address}/app/jobs/{other}").status_code == 404


def test_revoked_link_opens_nothing(
    api: httpx.Client, reader: httpx.Client, link: dict[str, Any]
) -> None:
    """A revoked link gets 404, and so do its cookies."""
    reader.get(link["url"])
    page = reader.get(link["url"])
    revoked = api.post(f"/share-links/{link['share_link']['id']}/revoke")
    assert revoked.json()["revoked_at"] is not None
    assert reader.get(page.url).status_code == 404
    assert reader.get(link["url"]).status_code == 404


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ["", "/app"])
@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "en",
            "Job progress This service shows how far jobs are. To see a job, open the"
            " whole link that you were sent. For programs: what this service takes and"
            " answers",
        ),
        (
            "de",
            "Fortschritt von Aufträgen Dieser Dienst zeigt, wie weit Aufträge sind. Um"
            " einen Auftrag zu sehen, öffnen Sie den ganzen Link, den Sie bekommen"
            " haben. Für Programme: was dieser Dienst annimmt und beantwortet",
        ),
    ],
)
def test_reader_without_a_link_gets_the_start_page(
    service: Service, path: str, slash: str, language: str, text: str
) -> None:
    """The address of the service, and of `/app`, shows the start page."""
    headers = {"Accept-Language": language}
    answer = httpx.get(f"{service.base_url}{path}{slash}", headers=headers, timeout=60)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert page_text(answer.text.partition("<main>")[2]) == text
    assert f'<html lang="{language}">' in answer.text


@pytest.mark.parametrize(
    "end",
    ["/", ".", ",", "/.", ")", ">", ">.", '"', "%20", "%0A", "!", "…", "?lang=de"],
)
def test_link_with_punctuation_at_its_end_works(
    reader: httpx.Client, link: dict[str, Any], end: str
) -> None:
    """A link with punctuation of the sentence around it shows the page of the job.

    The address of the page with cookies may have such an end too.
    """
    for _ in range(2):
        answer = reader.get(link["url"] + end)
        assert answer.status_code == 200
        assert "My Job" in answer.text
    assert reader.get(str(answer.url) + end.partition("?")[0]).status_code == 200


def test_link_with_punctuation_keeps_the_language(
    reader: httpx.Client, link: dict[str, Any]
) -> None:
    """The redirect of a link with punctuation keeps the choices of its reader."""
    answer = reader.get(f"{link['url']}.?lang=de")
    assert '<html lang="de">' in answer.text
    assert answer.history[0].headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "path",
    [
        *("/app/jobs/" + number for number in ("9" * 5000, "9" * 17, "0", "-1", "1.5")),
        *("/app/jobs/" + text for text in ("abc", "%D9%A1", "%00", "1/steps", "")),
        *("/app/nothing", "/app/jobs", "/s", "/s/", "/s/unknown", "/s/a/b", "/s/a/./b"),
        *("/s/unknown/stream", "/s/unknown......", "/app/static/other.css"),
        *("/s/unknown/badge.svg", "/s/a/badge.png", "/s/badge.svg"),
        "/s/" + "x" * 5000,
    ],
)
def test_invalid_address_shows_a_page(service: Service, path: str) -> None:
    """An invalid address shows a page with status 404."""
    answer = httpx.get(service.base_url + path, timeout=60)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "This link shows nothing any more" in answer.text


def test_links_are_listed_without_their_addresses(
    api: httpx.Client, job: dict[str, Any], link: dict[str, Any]
) -> None:
    """The list of share links contains no token."""
    answer = api.get(f"/jobs/{job['id']}/share-links")
    assert answer.json()["items"] == [link["share_link"]]
    assert link["url"].rpartition("/")[2] not in answer.text


def test_documentation_loads_no_foreign_resource(
    service: Service, reader: httpx.Client
) -> None:
    """The reference page has every operation and loads nothing from other hosts."""
    page = reader.get(f"{service.base_url}/docs").text
    contract = reader.get(f"{service.base_url}/openapi.json").json()
    for methods in contract["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
    assert 'src="http' not in page
    assert 'rel="stylesheet" href="/' in page


PAGE_PATHS = ["/", "/app", "/app/", "/app/jobs/1", "/app/nothing", "/s/a", "/s/a/b"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", PAGE_PATHS)
def test_other_method_shows_a_page(service: Service, path: str, method: str) -> None:
    """Any other method than GET and HEAD gets a page with status 405 and `Allow`."""
    address = f"{service.base_url}{path}"
    answer = httpx.request(method, address, params={"lang": "de"}, timeout=60)
    assert answer.status_code == 405
    assert sorted(answer.headers["allow"].split(", ")) == ["GET", "HEAD"]
    assert page_text(answer.text.partition("<main>")[2]) == (
        "Das geht hier nicht Diese Seite zeigt nur, wie weit die Arbeit ist. Öffnen Sie"
        " den ganzen Link noch einmal aus der Nachricht."
    )
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/docs", 405), ("GET", "/apps", 404)],
)
def test_program_gets_a_problem_elsewhere(
    service: Service, method: str, path: str, status: int
) -> None:
    """Errors under other paths stay problem documents, for browsers too."""
    headers = {"Accept": "text/html"}
    address = f"{service.base_url}{path}"
    answer = httpx.request(method, address, headers=headers, timeout=60)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


FAILING_READS = """
from trackerapi_backend.store import StoreError, share_links
def fail(*_arguments, **_options):
    raise %s
share_links.find_valid_link = fail
"""
UNAVAILABLE = {
    "en": "This page cannot be shown right now The service behind it does not answer."
    " This says nothing about the work itself. Load the page again in a minute.",
    "de": "Diese Seite lässt sich gerade nicht zeigen Der Dienst dahinter antwortet"
    " nicht. Über die Arbeit selbst sagt das nichts. Laden Sie die Seite in einer"
    " Minute noch einmal.",
}


@pytest.mark.parametrize(
    ("error", "status"),
    [('StoreError("canary.db is locked", cause="canary")', 503), ("OSError(1)", 500)],
)
def test_failure_shows_a_page(tmp_path: Path, error: str, status: int) -> None:
    """A failed read of the store shows a page without the cause of the failure."""
    keys, prelude = prepare(tmp_path), FAILING_READS % error
    with serve_existing(tmp_path, keys, prelude=prelude) as (_process, service):
        for language, text in UNAVAILABLE.items():
            answer = httpx.get(
                f"{service.base_url}/s/token",
                headers={"Accept-Language": language},
                timeout=MAX_WAIT_SECONDS,
            )
            assert answer.status_code == status
            assert page_text(answer.text.partition("<main>")[2]) == text
            assert ("retry-after" in answer.headers) is (status == 503)
            assert "canary" not in answer.text
