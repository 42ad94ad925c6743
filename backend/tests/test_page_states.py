"""Head of the customer's page: exact texts of each state in each language."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.store.customer_view import MAX_MESSAGES

from backend.tests.support.pages import new_link, page_text
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    new_job,
    new_name,
    report,
)

if TYPE_CHECKING:
    from backend.tests.support.service import Service

# The texts and rules of this module do not depend on the engine.
pytestmark = pytest.mark.parametrize("service", ["sqlite"], indirect=True)

NOON = "2026-01-05T12:00:00Z"
OLD = {"en": "12:00 UTC on 5 January", "de": "12:00 UTC am 5. Januar"}
Lines = list[dict[str, Any]]


def event(kind: str, tag: str | None = None, **members: Any) -> dict[str, Any]:
    """Return an event that happens at the time of its report."""
    return {"kind": kind, "tag": tag, **members}


def send(api: httpx.Client, job: dict[str, Any], lines: Lines) -> None:
    """Report events; an event with `age_seconds` happened that long ago."""
    for line in lines:
        members = {name: value for name, value in line.items() if value is not None}
        age = members.pop("age_seconds", None)
        if age is not None:
            at = datetime.now(UTC) - timedelta(seconds=age)
            members["occurred_at"] = at.isoformat()
        report(api, job, **members)


def open_page(api: httpx.Client, job: dict[str, Any], language: str = "") -> str:
    """Return the page of a new share link for a browser with an `Accept-Language`."""
    url = new_link(api, job)["url"]
    headers = {"Accept-Language": language}
    return httpx.get(url, headers=headers, timeout=MAX_WAIT_SECONDS).text


def head_text(page: str) -> str:
    """Return the text of the head; times of today are `T`, ages are `A`."""
    text = page_text(page.partition('<main id="job">')[2].partition("</section>")[0])
    text = re.sub(r"\(\d\d:\d\d UTC[^)]*\)", "(T)", text)
    text = re.sub(r"\d\d:\d\d UTC(?! on| am)", "T", text)
    ages = "just now|gerade eben|(vor )?\\d+ (seconds? ago|minutes? ago|Sekunden?)"
    return re.sub(f"({ages}|vor \\d+ Minuten?) \\(T\\)", "A (T)", text)


EARLY = {"en": "Too early to say how long", "de": "Noch nicht abzusehen, wie lange"}
LIVE = {
    "en": f"{EARLY['en']} Live Reported A (T)",
    "de": f"{EARLY['de']} Live Gemeldet A (T)",
}
LATER = [event("info", message=f"Later {n}.") for n in range(MAX_MESSAGES + 1)]
LOADING = [event("progress", "load", completed=412, total=1840)]
FAILED_WITHOUT_MESSAGE = {
    "en": "This could not be finished 0 % Stopped at T. The reason is with One."
    " If it goes on, this page shows it.",
    "de": "Das ließ sich nicht fertigstellen 0 % Angehalten um T. Den Grund"
    " kennt One. Geht es weiter, zeigt es diese Seite.",
}
STATES: list[tuple[str, Lines, dict[str, str]]] = [
    (
        "pending",
        [],
        {
            "en": f"Not started yet 0 % It starts by itself. {EARLY['en']}"
            " Waiting for news",
            "de": f"Noch nicht begonnen 0 % Es beginnt von selbst. {EARLY['de']}"
            " Warten auf Nachricht",
        },
    ),
    (
        "running",
        LOADING,
        {
            "en": f"Load 5 % Step 1 of 2 · 412 of 1,840 {LIVE['en']}",
            "de": f"Load 5 % Schritt 1 von 2 · 412 von 1.840 {LIVE['de']}",
        },
    ),
    (
        "two steps running",
        [*LOADING, event("start", "store")],
        {
            "en": f"Load and 1 more 5 % Step 1 of 2 · 412 of 1,840 {LIVE['en']}",
            "de": f"Load und 1 weitere 5 % Schritt 1 von 2 · 412 von 1.840"
            f" {LIVE['de']}",
        },
    ),
    (
        "total unknown",
        [event("progress", "load", completed=250340)],
        {
            "en": f"Load 0 % Step 1 of 2 · 250,340 so far {LIVE['en']}",
            "de": f"Load 0 % Schritt 1 von 2 · bisher 250.340 {LIVE['de']}",
        },
    ),
    (
        "fraction",
        [event("progress", "load", fraction=0.5)],
        {
            "en": f"Load 12 % Step 1 of 2 {LIVE['en']}",
            "de": f"Load 12 % Schritt 1 von 2 {LIVE['de']}",
        },
    ),
    (
        "between steps",
        [event("step", "load")],
        {
            "en": f"Next: Store 25 % 1 of 2 steps done {LIVE['en']}",
            "de": f"Als Nächstes: Store 25 % 1 von 2 Schritten getan {LIVE['de']}",
        },
    ),
    (
        "retrying",
        [event("error", "load", retrying=True, detail="canary")],
        {
            "en": "Trying again: Load 0 % One try did not work. What was done before is"
            f" kept. {LIVE['en']}",
            "de": "Neuer Versuch: Load 0 % Ein Versuch ist nicht gelungen. Das bisher"
            f" Getane bleibt. {LIVE['de']}",
        },
    ),
    *(
        (
            f"retrying with the message {message}",
            [
                event("error", "load", retrying=True, message="An earlier one."),
                event("start", "load"),
                event(
                    "error",
                    "load",
                    retrying=True,
                    message=message,
                    detail="canary",
                    max_attempts=5,
                ),
                *LATER,
            ],
            {
                "en": f"Trying again: Load 0 % One try did not work: “{message}”{end}"
                " What was done before is kept. Third of up to 5 tries."
                f" {LIVE['en']}",
                "de": "Neuer Versuch: Load 0 % Ein Versuch ist nicht gelungen:"
                f" „{message}“{end} Das bisher Getane bleibt. Dritter von höchstens 5"
                f" Versuchen. {LIVE['de']}",
            },
        )
        for message, end in (("No answer.", ""), ("<b>No answer</b>", "."))
    ),
    *(
        (
            f"retrying after {count} of {most}",
            [
                line
                for _ in range(count)
                for line in (
                    event("start", "load"),
                    event("error", "load", retrying=True, max_attempts=most),
                )
            ],
            {
                "en": "Trying again: Load 0 % One try did not work. What was done"
                f" before is kept. {en}{LIVE['en']}",
                "de": "Neuer Versuch: Load 0 % Ein Versuch ist nicht gelungen. Das"
                f" bisher Getane bleibt. {de}{LIVE['de']}",
            },
        )
        for count, most, en, de in (
            (1, 5, "Second of up to 5 tries. ", "Zweiter von höchstens 5 Versuchen. "),
            (10, 1200, "Try 11 of up to 1,200. ", "Versuch 11 von höchstens 1.200. "),
            (3, 3, "", ""),
        )
    ),
    (
        "quiet",
        [event("start", "load", age_seconds=510)],
        {
            "en": f"Load 0 % Step 1 of 2 {EARLY['en']} Quiet No news for 8 minutes."
            " That alone is no bad sign. Reported A (T)",
            "de": f"Load 0 % Schritt 1 von 2 {EARLY['de']} Ruhig Seit 8 Minuten nichts"
            " Neues. Das allein ist kein schlechtes Zeichen. Gemeldet A (T)",
        },
    ),
    (
        "silent",
        [event("start", "load", occurred_at=NOON)],
        {
            "en": "Load, as far as we know 0 % Step 1 of 2"
            f" No news since {OLD['en']}. The work may well go on: we just cannot"
            " see it. How long it takes cannot be told until there is news."
            f" Waiting for news Reported at {OLD['en']}",
            "de": "Load, soweit wir wissen 0 % Schritt 1 von 2"
            f" Nichts Neues seit {OLD['de']}. Die Arbeit kann gut weitergehen, wir"
            " sehen sie nur nicht. Wie lange es dauert, lässt sich erst mit neuer"
            f" Nachricht sagen. Warten auf Nachricht Gemeldet um {OLD['de']}",
        },
    ),
    (
        "reopened",
        [
            event("start", "load", occurred_at=NOON),
            event("interrupt", occurred_at=NOON),
            event("start", "load"),
        ],
        {
            "en": f"Load 0 % Step 1 of 2 Going on again since T. {LIVE['en']}",
            "de": f"Load 0 % Schritt 1 von 2 Geht seit T weiter. {LIVE['de']}",
        },
    ),
    (
        "interrupted",
        [event("start", "load"), event("interrupt")],
        {
            "en": "Paused 0 % Paused at T in Load. It is expected to go on; what was"
            " done is kept. Waiting for news Reported A (T)",
            "de": "Unterbrochen 0 % Unterbrochen um T in Load. Es geht voraussichtlich"
            " weiter; das bisher Getane bleibt. Warten auf Nachricht Gemeldet A (T)",
        },
    ),
    (
        "interrupted, silent",
        [
            event("start", "load", occurred_at=NOON),
            event("interrupt", occurred_at=NOON),
        ],
        {
            "en": f"Paused, as far as we know 0 % Paused at {OLD['en']} in Load."
            f" No news since {OLD['en']}. The work may well go on: we just cannot"
            " see it. How long it takes cannot be told until there is news."
            f" Waiting for news Reported at {OLD['en']}",
            "de": f"Unterbrochen, soweit wir wissen 0 % Unterbrochen um {OLD['de']} in"
            f" Load. Nichts Neues seit {OLD['de']}. Die Arbeit kann gut weitergehen,"
            " wir sehen sie nur nicht. Wie lange es dauert, lässt sich erst mit neuer"
            f" Nachricht sagen. Warten auf Nachricht Gemeldet um {OLD['de']}",
        },
    ),
    (
        "retrying, silent",
        [event("error", "load", retrying=True, max_attempts=5, occurred_at=NOON)],
        {
            "en": "Trying again: Load, as far as we know 0 % One try did not work."
            f" Second of up to 5 tries. No news since {OLD['en']}. The work may well"
            " go on: we just cannot see it. How long it takes cannot be told until"
            f" there is news. Waiting for news Reported at {OLD['en']}",
            "de": "Neuer Versuch: Load, soweit wir wissen 0 % Ein Versuch ist nicht"
            f" gelungen. Zweiter von höchstens 5 Versuchen. Nichts Neues seit"
            f" {OLD['de']}. Die Arbeit kann gut weitergehen, wir sehen sie nur nicht."
            " Wie lange es dauert, lässt sich erst mit neuer Nachricht sagen. Warten"
            f" auf Nachricht Gemeldet um {OLD['de']}",
        },
    ),
    (
        "failed",
        [event("error", "load", message="It cannot be read."), *LATER],
        {
            "en": "This could not be finished 0 % Stopped at T in Load. “It cannot be"
            " read.” You need not do anything. One sees this too; please call if"
            " you need it today.",
            "de": "Das ließ sich nicht fertigstellen 0 % Angehalten um T in Load. „It"
            " cannot be read.“ Sie müssen nichts tun. One sieht das auch; rufen Sie"
            " bitte an, wenn Sie es heute brauchen.",
        },
    ),
    (
        "failed, no message",
        [event("info", message="All is well."), event("error", detail="canary")],
        FAILED_WITHOUT_MESSAGE,
    ),
    (
        "failed, blank message",
        [event("error", message=" \n\u2003")],
        FAILED_WITHOUT_MESSAGE,
    ),
    (
        "cancelled",
        [event("cancel", message="Withdrawn.", occurred_at=NOON), *LATER],
        {
            "en": f"Cancelled 0 % Cancelled at {OLD['en']}. “Withdrawn.” Nothing more"
            " will happen here.",
            "de": f"Abgebrochen 0 % Abgebrochen um {OLD['de']}. „Withdrawn.“ Hier"
            " geschieht nichts mehr.",
        },
    ),
    (
        "succeeded",
        [
            event("step", "load", occurred_at=NOON),
            event("step", "store", occurred_at="2026-01-05T12:40:00Z"),
        ],
        {
            "en": "Ready 100 % Finished at 12:40 UTC on 5 January after 40 min.",
            "de": "Fertig 100 % Fertig um 12:40 UTC am 5. Januar nach 40 min.",
        },
    ),
    (
        "with remarks",
        [
            event("step", "load", occurred_at=NOON),
            event("skip", "store", occurred_at="2026-01-05T14:05:00Z"),
        ],
        {
            "en": "Ready, with 1 remark 100 % 1 of 2 steps done, 1 not needed."
            " Finished at 14:05 UTC on 5 January after 2 h 5 min.",
            "de": "Fertig, mit 1 Anmerkung 100 % 1 von 2 Schritten getan, 1 nicht"
            " nötig. Fertig um 14:05 UTC am 5. Januar nach 2 h 5 min.",
        },
    ),
    (
        "with failed items",
        [
            event("progress", "load", failed=1200, occurred_at="2026-01-05T11:00:00Z"),
            event("step", "load", occurred_at=NOON),
            event("step", "store", occurred_at="2026-01-05T14:05:00Z"),
        ],
        {
            "en": "Ready, with 1 remark 100 % 2 of 2 steps done. 1,200 did not work in"
            " Load. Finished at 14:05 UTC on 5 January after 3 h 5 min.",
            "de": "Fertig, mit 1 Anmerkung 100 % 2 von 2 Schritten getan. 1.200 nicht"
            " gelungen in Load. Fertig um 14:05 UTC am 5. Januar nach 3 h 5 min.",
        },
    ),
    (
        "with failed items of two steps",
        [
            event("progress", "load", part="x", failed=2, occurred_at=NOON),
            event("progress", "load", part="y", failed=3, occurred_at=NOON),
            event("progress", "load", part="x", failed=1, occurred_at=NOON),
            event("progress", "store", failed=1, occurred_at=NOON),
            event("complete", occurred_at="2026-01-05T14:05:00Z"),
        ],
        {
            "en": "Ready, with 2 remarks 100 % 0 of 2 steps done. 6 did not work in 2"
            " steps. Finished at 14:05 UTC on 5 January after 2 h 5 min.",
            "de": "Fertig, mit 2 Anmerkungen 100 % 0 von 2 Schritten getan. 6 nicht"
            " gelungen in 2 Schritten. Fertig um 14:05 UTC am 5. Januar nach 2 h"
            " 5 min.",
        },
    ),
]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(
    ("lines", "texts"),
    [(lines, texts) for _, lines, texts in STATES],
    ids=[name for name, _, _ in STATES],
)
def test_head_has_exactly_the_texts_of_the_state(
    api: httpx.Client, lines: Lines, texts: dict[str, str], language: str
) -> None:
    """The head shows the texts of a state in the language of the browser, no others."""
    job = new_job(api)
    send(api, job, lines)

    page = open_page(api, job, language)

    assert f'<html lang="{language}">' in page
    assert head_text(page) == f"Import {texts[language]}"
    assert "canary" not in page


def reports(interval: float, count: int, age_seconds: float = 0) -> Lines:
    """Return reports of a step at an interval, of which the last has an age."""
    last = datetime.now(UTC) - timedelta(seconds=age_seconds)
    times = [last - timedelta(seconds=interval * n) for n in reversed(range(count))]
    return [event("progress", "load", occurred_at=at.isoformat()) for at in times]


@pytest.mark.parametrize(
    ("interval", "age", "en", "de"),
    [
        (
            1,
            70,
            "1 minute, usually every second",
            "1 Minute nichts Neues, sonst jede S",
        ),
        (
            7,
            70,
            "1 minute, usually every 7 sec",
            "1 Minute nichts Neues, sonst alle 7 S",
        ),
        (
            28,
            70,
            "1 minute, usually every 30 s",
            "1 Minute nichts Neues, sonst alle 30 S",
        ),
        (
            57,
            130,
            "2 minutes, usually every minute",
            "2 Minuten nichts Neues, sonst jede M",
        ),
        (
            180,
            480,
            "8 minutes, usually every 3 m",
            "8 Minuten nichts Neues, sonst alle 3 M",
        ),
        (
            3590,
            7300,
            "2 hours, usually every hour",
            "2 Stunden nichts Neues, sonst jede S",
        ),
        (
            7300,
            15000,
            "4 hours, usually every 2 h",
            "4 Stunden nichts Neues, sonst alle 2 S",
        ),
    ],
)
def test_quiet_job_names_its_usual_interval(
    api: httpx.Client, interval: int, age: int, en: str, de: str
) -> None:
    """A step with enough reports is quiet after two of its own intervals."""
    job = new_job(api)
    send(api, job, reports(interval, 6, age))
    assert f" Quiet No news for {en}" in head_text(open_page(api, job))
    assert f" Ruhig Seit {de}" in head_text(open_page(api, job, "de"))


@pytest.mark.parametrize(
    ("interval", "age", "word"),
    [
        (1, 30, "Live"),
        (1, 70, "Quiet"),
        (1, 800, "Quiet"),
        (1, 910, "Waiting for news"),
        (600, 1100, "Live"),
        (600, 5900, "Quiet"),
        (600, 6010, "Waiting for news"),
        (20_000, 80_000, "Quiet"),
        (20_000, 86_410, "Waiting for news"),
        (80_000, 150_000, "Live"),
        (80_000, 160_100, "Waiting for news"),
    ],
)
def test_bounds_follow_the_usual_interval(
    api: httpx.Client, interval: int, age: int, word: str
) -> None:
    """A job is quiet after two intervals, and silent after ten intervals.

    Quiet needs at least a minute, silent 15 minutes to a day.
    """
    job = new_job(api)
    send(api, job, reports(interval, 6, age))
    assert f" {word} " in head_text(open_page(api, job))


def test_new_job_has_the_usual_interval_of_earlier_jobs(api: httpx.Client) -> None:
    """A young step is quiet by the interval that earlier jobs of its kind had.

    A new revision of the configuration keeps the interval.
    """
    tag = new_name()
    steps = [
        {"tag": "load", "name": "Load", "points": 1},
        {"tag": "store", "name": "Store", "points": 1},
    ]
    for name, line in (
        ("Import", "No news for 8 minutes. That"),
        ("Import", "No news for 8 minutes, usually every 3 minutes. That"),
        ("New", "No news for 8 minutes, usually every 3 minutes. That"),
    ):
        document = {"tag": tag, "name": name, "step_configurations": steps}
        job = new_job(api, tag=tag, configuration=document)
        send(api, job, [event("start", "load", age_seconds=480)])
        assert line in head_text(open_page(api, job))
        send(api, job, [*reports(180, 4, 660), event("complete")])


@pytest.mark.parametrize(
    ("silent_after", "age", "word"),
    [
        (600, 480, "Quiet"),
        (600, 600, "Waiting for news"),
        (60, 0, "Live"),
        (60, 60, "Waiting for news"),
        (604_800, 604_700, "Quiet"),
    ],
)
def test_job_is_silent_after_the_age_of_its_configuration(
    api: httpx.Client, silent_after: int, age: int, word: str
) -> None:
    """`silent_after` of the configuration is the least age of a silent job.

    The value that was sent last counts, also for a job that runs already.
    """
    tag = new_name()
    steps = [{"tag": "load", "name": "Load", "points": 1}]
    document = {"tag": tag, "name": "Import", "step_configurations": steps}
    job = new_job(api, tag=tag, configuration=document)
    send(api, job, [event("start", "load", age_seconds=age)])
    answer = api.post(
        "/job_configurations", json=document | {"silent_after": silent_after}
    )
    assert answer.status_code == 200

    text = head_text(open_page(api, job))

    assert ("as far as we know" in text) == (word == "Waiting for news")
    assert f" {word} " in text


@pytest.mark.parametrize(
    ("language", "headline", "line"),
    [
        ("en", "Finishing", "All 2 steps are done."),
        ("de", "Gleich fertig", "Alle 2 Schritte sind getan."),
    ],
)
def test_settled_steps_alone_are_not_ready(
    api: httpx.Client, language: str, headline: str, line: str
) -> None:
    """A job with an explicit finish and settled steps shows 99 %, rounded down."""
    job = new_job(api, finish="explicit")
    send(api, job, [event("step", "load"), event("step", "store")])

    text = head_text(open_page(api, job, language))

    assert text.startswith(f"Import {headline} 99 % {line} Live")


@pytest.mark.parametrize(
    ("language", "headline", "line"),
    [
        ("en", "In progress", "2 updates so far"),
        ("de", "In Arbeit", "bisher 2 Meldungen"),
    ],
)
def test_job_without_configuration_shows_updates(
    api: httpx.Client, language: str, headline: str, line: str
) -> None:
    """A job without steps shows its number of updates and no percentage."""
    body = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "untold"}
    job = api.post("/jobs", json=body).json()
    send(api, job, [event("start"), event("info")])

    text = head_text(open_page(api, job, language))

    assert text == f"untold {headline} {line} {LIVE[language]}"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr,de;q=0.5,en;q=0.4", "de"),
        ("en,de", "en"),
        ("DE", "de"),
        ("de;q=0", "en"),
        ("de;q=nonsense,en;q=0.1", "en"),
        ("fr,*", "en"),
        ("", "en"),
    ],
)
def test_page_has_the_language_of_the_browser(
    api: httpx.Client, job: dict[str, Any], accepted: str, language: str
) -> None:
    """The page has the preferred language of the browser, or else English."""
    assert f'<html lang="{language}">' in open_page(api, job, accepted)


def test_reader_switches_the_language(
    service: Service, api: httpx.Client, job: dict[str, Any]
) -> None:
    """The link named after the other language switches the page for good.

    The choice wins over the browser, and survives the exchange of link and cookie.
    """
    url = new_link(api, job)["url"]
    with httpx.Client(follow_redirects=True, timeout=MAX_WAIT_SECONDS) as reader:
        first = reader.get(url).text
        address = reader.get(f"{url}?lang=de&refresh=off").url
        switched = reader.get(address).text
    assert re.search(r'href="\?lang=de" hreflang="de" lang="de">Deutsch<', first)
    assert re.search(r'href="\?lang=en&amp;refresh=off"[^>]*>English<', switched)
    assert '<html lang="de">' in switched
    assert 'href="?lang=de">Wieder selbst neu laden<' in switched


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "en",
            "This link shows nothing any more It has ended, or a part of it got lost on"
            " the way. This says nothing about the work itself. Open the whole link"
            " once more from the message it came in, or ask whoever sent it for a new"
            " one.",
        ),
        (
            "de",
            "Dieser Link zeigt nichts mehr Er ist abgelaufen, oder ein Teil ging"
            " unterwegs verloren. Über die Arbeit selbst sagt das nichts. Öffnen Sie"
            " den ganzen Link noch einmal aus der Nachricht, oder bitten Sie den"
            " Absender um einen neuen.",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/s/nothing", "/app/jobs/1", "/app/nothing"])
def test_invalid_link_has_its_exact_text(
    service: Service, path: str, language: str, text: str
) -> None:
    """The page of an invalid link has the same text for each cause."""
    answer = httpx.get(f"{service.base_url}{path}?lang={language}", timeout=60)
    assert page_text(answer.text.partition("<main>")[2]) == text


@pytest.mark.parametrize(
    ("counts", "texts"),
    [
        (
            {"completed": 412, "total": 1840},
            {"en": "412 of 1,840 <images>", "de": "412 von 1.840 <images>"},
        ),
        (
            {"completed": 250340},
            {"en": "250,340 <images> so far", "de": "bisher 250.340 <images>"},
        ),
    ],
    ids=["total", "no total"],
)
@pytest.mark.parametrize("language", ["en", "de"])
def test_counts_have_the_units_of_the_step(
    api: httpx.Client, counts: dict[str, int], texts: dict[str, str], language: str
) -> None:
    """The units of a step follow its count, in the head and in the list of steps."""
    tag = new_name()
    steps = [{"tag": "load", "name": "Load", "points": 1, "units": "<images>"}]
    document = {"tag": tag, "name": "Import", "step_configurations": steps}
    job = new_job(api, tag=tag, configuration=document)
    send(api, job, [event("progress", "load", **counts)])

    page = open_page(api, job, language)

    assert page_text(page).count(texts[language]) == 2
    assert '<span class="said" dir="auto">&lt;images&gt;</span>' in page
    [step] = api.get(f"/jobs/{job['id']}").json()["steps"]
    assert step["units"] == "<images>"


@pytest.mark.parametrize(
    ("language", "text"), [("en", "3 did not work"), ("de", "3 nicht gelungen")]
)
def test_failed_items_stand_under_their_step(
    api: httpx.Client, language: str, text: str
) -> None:
    """A step with failed items names their number; another step has no such line."""
    job = new_job(api)
    send(api, job, [event("progress", "load", completed=9, total=9, failed=3)])
    send(api, job, [event("progress", "store", completed=1, total=9, failed=0)])

    page = open_page(api, job, language)

    assert re.findall('<p class="failed">(.*)</p>', page) == [text]


def test_bar_is_cut_where_steps_meet(api: httpx.Client) -> None:
    """The bar has a cut between two steps, and a text for screen readers."""
    job = new_job(api)
    send(api, job, LOADING)
    page = open_page(api, job)
    assert re.findall(r'class="gap" x="([^"]+)"', page) == ["25.0%"]
    assert re.findall(r'class="fill" width="([^"]+)"', page) == ["5.6%"]
    assert 'role="progressbar"' in page
    assert 'aria-valuenow="5"' in page
    assert 'aria-valuetext="5 percent, step 1 of 2, Load"' in page


@pytest.mark.parametrize(
    "lines",
    [
        [event("start", "load", occurred_at=NOON)],
        [event("error", "load", message="It cannot be read.")],
    ],
    ids=["silent", "failed"],
)
def test_bar_is_between_headline_and_reason(api: httpx.Client, lines: Lines) -> None:
    """The head shows the headline, then the bar, then the reason."""
    job = new_job(api)
    send(api, job, lines)
    page = open_page(api, job)
    parts = ['role="status"', 'role="progressbar"', 'class="line of-']
    places = [page.rindex(part) for part in parts]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("points", "cuts"),
    [
        ([0, 0, 0, 0], ["25.0%", "50.0%", "75.0%"]),
        ([0, 1, 0, 1, 0], ["50.0%"]),
        ([1], []),
        ([1] * 20, [f"{5.0 * n}%" for n in range(1, 20)]),
        ([1] * 21, []),
    ],
)
def test_cuts_follow_the_points(
    api: httpx.Client, points: list[int], cuts: list[str]
) -> None:
    """A step without points has no part of the bar; 21 steps have no cuts."""
    page = open_page(api, job_with_points(api, points))
    assert re.findall(r'class="gap" x="([^"]+)"', page) == cuts


def test_long_list_of_steps_is_folded(api: httpx.Client) -> None:
    """Of 13 steps, the running step and the next three are outside of folds."""
    job = job_with_points(api, [1] * 13)
    send(api, job, [event("step", f"s{n}") for n in range(3)])
    send(api, job, [event("start", "s3")])

    page = open_page(api, job)

    assert re.findall("<summary>(.*)</summary>", page) == ["3 steps done", "6 more"]
    unfolded = re.sub("(?s)<details.*?</details>", "", page)
    names = re.findall('class="name"[^>]*>(.*)</p>', unfolded)
    assert names == ["Step s3", "Step s4", "Step s5", "Step s6"]
    assert len(re.findall('class="name"', page)) == 13
    short = open_page(api, job_with_points(api, [1] * 12))
    assert "<details>" not in short


def test_each_step_has_a_shape(api: httpx.Client) -> None:
    """Each status of a step has a shape in addition to its word."""
    job = job_with_points(api, [1] * 6)
    lines = [
        *(event("step", "s0"), event("skip", "s1"), event("start", "s2")),
        *(event("error", "s3", retrying=True), event("start", "s4")),
    ]
    send(api, job, lines)
    shapes = re.findall('<svg class="shape ([a-z]+)"', open_page(api, job))
    assert shapes == ["done", "dot", "ring", "clock", "ring", "dot"]
    send(api, job, [event("error", "s4")])
    shapes = re.findall('<svg class="shape ([a-z]+)"', open_page(api, job))
    assert shapes == ["done", "dot", "triangle", "cross", "cross", "dot"]


def test_message_keeps_its_lines_and_direction(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """A message has quotation marks, its own lines, and the direction of its script.

    A message of spaces is not shown.
    """
    send(api, job, [event("info", message=each) for each in ("One.\nTwo.", "\n ")])
    page = open_page(api, job)
    assert page.count("“") == 1
    assert '<p class="said" dir="auto">“One.\nTwo.”</p>' in page


def test_page_is_light(service: Service, api: httpx.Client) -> None:
    """A page, its script and its style sheet have at most 25 kB compressed.

    The script has less than 6 kB. The address of a file changes with its content, so
    browsers cache the file. An outdated address gets the current file, uncached.
    """
    job = job_with_points(api, list(range(100)))
    page = open_page(api, job)
    addresses = re.findall('(?:src|href)="(/[^"]*)"', without_icon(page))
    files = [get_file(service, address) for address in addresses]
    assert [file.headers["content-type"].partition(";")[0] for file in files] == [
        "text/javascript",
        "text/css",
    ]
    for file, address in zip(files, addresses, strict=True):
        assert "immutable" in file.headers["cache-control"]
        other = get_file(service, re.sub("page[.].*[.]", "page.0.", address))
        assert (other.content, other.headers["cache-control"]) == (
            file.content,
            "no-store",
        )
    sizes = [len(gzip.compress(each)) for each in (files[0].content, page.encode())]
    assert sizes[0] < 6_000
    assert sum(sizes) + len(gzip.compress(files[1].content)) <= 25_000
    assert "style=" not in page


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("br, gzip;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("identity", None),
        ("", None),
    ],
)
def test_script_is_compressed_if_the_browser_accepts_it(
    service: Service, api: httpx.Client, accepted: str, encoding: str | None
) -> None:
    """The content is the same with and without compression."""
    [address] = re.findall('src="(/[^"]*)"', open_page(api, new_job(api)))
    file = get_file(service, address, accepted)
    assert file.headers.get("content-encoding") == encoding
    assert file.headers["vary"] == "Accept-Encoding"
    assert file.content == get_file(service, address).content


def without_icon(page: str) -> str:
    """Return a page without the link to its icon."""
    return re.sub('<link rel="icon"[^>]*>', "", page)


def get_file(service: Service, address: str, accepted: str = "gzip") -> httpx.Response:
    """Return a static file."""
    headers = {"Accept-Encoding": accepted}
    url = service.base_url + address
    answer = httpx.get(url, headers=headers, timeout=MAX_WAIT_SECONDS)
    assert answer.status_code == 200
    return answer


def job_with_points(api: httpx.Client, points: list[int]) -> dict[str, Any]:
    """Create a job with a step for each number of points, with the tags s0, s1, ..."""
    steps = [
        {"tag": f"s{n}", "name": f"Step s{n}", "points": of_step}
        for n, of_step in enumerate(points)
    ]
    tag = new_name()
    document = {"tag": tag, "name": "Import", "step_configurations": steps}
    return new_job(api, tag=tag, configuration=document)
