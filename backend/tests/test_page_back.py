"""Customer's page of a job that was offline, and of clocks that are wrong."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.instants import format_instant, to_micros, utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.recording import Report, record_reports
from trackerapi_backend.settings import storage_from

from backend.tests.support.pages import new_link, page_text
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    STEPS,
    prepare,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from trackerapi_backend.store import Store

MINUTE = 60


@dataclass(frozen=True, kw_only=True)
class Case:
    """A job that reports at an interval, but was offline for some time.

    Attributes:
        interval: Interval of its reports, in seconds.
        offline: Ages of begin and end of the time offline, in seconds.
        newest: Age of its newest report, in seconds.
        clock: Seconds by which its clock is ahead.
        end: Kind of its last event, if it is no progress.
        shown: Text of the page.
    """

    # The page calls such a job live for 100 s, in which all tests end.
    interval: float = 50
    offline: tuple[float, float] = (45 * MINUTE, 4 * MINUTE)
    newest: float = 0
    clock: float = 0
    end: str | None = None
    shown: str = " Live "


LOADING = {"kind": "progress", "tag": "load"}
BACK = "Step 1 of 2 News is back. The machine was offline from "
CASES = {
    "back": Case(shown=BACK),
    "back for a minute": Case(offline=(1000, MINUTE), shown=BACK),
    "slow clock": Case(clock=-30, shown=BACK),
    "fast clock": Case(clock=MINUTE, shown=BACK),
    "back for long": Case(offline=(45 * MINUTE, 11 * MINUTE)),
    "back and quiet again": Case(newest=2 * MINUTE, shown=" Quiet No news for 2 min"),
    "back and silent again": Case(
        newest=16 * MINUTE,
        shown="as far as we know",
    ),
    "failed since": Case(end="error", shown="This could not be finished"),
    "paused since": Case(end="interrupt", shown="Paused "),
    "seldom reports": Case(interval=5 * MINUTE, offline=(1, 0)),
    "seldom reports, slow clock": Case(
        interval=5 * MINUTE, offline=(1, 0), clock=-3 * MINUTE
    ),
    "seldom reports, fast clock": Case(
        interval=5 * MINUTE, offline=(1, 0), clock=3 * MINUTE
    ),
    "offline before its first report": Case(offline=(10_000, 3 * MINUTE)),
}


def record(store: Store, name: str, case: Case, now: datetime) -> None:
    """Record the events of a case, with the times of their receipts."""
    ages = [case.newest]
    while ages[-1] < 60 * MINUTE:
        ages.append(ages[-1] + case.interval)
    steps = {"tag": "import", "name": "Import", "step_configurations": STEPS}
    job: Any = {
        "provider_job_id": name,
        "customer_id": CUSTOMER,
        "tag": "import",
        "configuration": steps,
    }
    began, ended = case.offline
    receipts: dict[float, list[float]] = {}
    for age in reversed(ages):
        receipts.setdefault(ended if ended < age <= began else age, []).append(age)
    with store.transaction() as db:
        create_job(db, 1, job, name_hmac=b"", now=now)
        for receipt, of_receipt in sorted(receipts.items(), reverse=True):
            events = []
            for age in of_receipt:
                at = now - timedelta(seconds=age - case.clock)
                is_last = age == case.newest and case.end is not None
                kind = {"kind": case.end} if is_last else LOADING
                event: Any = {
                    "provider_job_id": name,
                    "occurred_at": format_instant(at),
                }
                received = to_micros(now - timedelta(seconds=receipt))
                events.append(read_event(event | kind, now=received))
            record_reports(db, [Report(1, events)])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a backend with a job for each case."""
    folder: Path = tmp_path_factory.mktemp("back")
    keys = prepare(folder)
    storage = storage_from({}, variables_of(folder, None))
    with closing(open_store(storage, migrate=True)) as store:
        for name, case in CASES.items():
            record(store, name, case, utc_now())
    with ExitStack() as stack:
        _, service = stack.enter_context(serve_existing(folder, keys))
        yield stack.enter_context(service.client())


def head_of(api: httpx.Client, name: str, language: str = "en") -> str:
    """Return the text of the head of the page of a case."""
    [job] = api.get("/jobs", params={"provider_job_id": name}).json()["items"]
    url = f"{new_link(api, job)['url']}?lang={language}"
    page = httpx.get(url, timeout=MAX_WAIT_SECONDS).text
    return page_text(page.partition('<main id="job">')[2].partition("</section>")[0])


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES)
def test_page_says_that_news_is_back(api: httpx.Client, name: str, case: Case) -> None:
    """The page says "News is back" only for a running job that was offline."""
    text = head_of(api, name)
    assert case.shown in text
    assert ("offline" in text) == (case.shown == BACK)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        (
            "en",
            "News is back. The machine was offline from T to T. It worked on meanwhile;"
            " what it reported then is now counted. Too early to say how long Live",
        ),
        (
            "de",
            "Es gibt wieder Nachricht. Die Maschine war von T bis T offline und hat"
            " weitergearbeitet; was sie da gemeldet hat, ist jetzt mitgezählt. Noch"
            " nicht abzusehen, wie lange Live",
        ),
    ],
)
def test_page_names_begin_and_end_of_the_time_offline(
    api: httpx.Client, language: str, text: str
) -> None:
    """The begin is on the clock of the job, the end is the receipt of its reports."""
    shown = head_of(api, "back", language)
    times = re.findall(r"(\d\d):(\d\d) UTC", shown)
    assert text in re.sub(r"\d\d:\d\d UTC( (on|am) \d+[.]? \w+)?", "T", shown)
    began, ended = (60 * int(hour) + int(minute) for hour, minute in times[:2])
    assert (ended - began) % (24 * 60) == pytest.approx(41, abs=1)
