"""Jobs over HTTP: creation, attachment, lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from trackerapi_backend.instants import format_instant

from backend.tests.support.service import pages_of, report

if TYPE_CHECKING:
    import httpx


def configuration(tag: str, **changes: Any) -> dict[str, Any]:
    step = {"tag": "only", "name": "Only", "points": 1}
    return {"tag": tag, "name": tag.title(), "step_configurations": [step]} | changes


def job_body(**changes: Any) -> dict[str, Any]:
    body = {"provider_job_id": str(uuid4()), "customer_id": 142, "tag": "untold"}
    return body | changes


def test_tutorial_leaves_a_succeeded_job_with_three_events(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """Three events of the tutorial lead to 28.57, 71.43 and 100 percent."""
    readings = []
    for step in job["steps"]:
        event = {"provider_job_id": job["provider_job_id"], "kind": "step"}
        answer = api.post("/events", json=event | {"tag": step["tag"]})
        assert answer.status_code == 201
        now = api.get(f"/jobs/{job['id']}").json()
        readings.append((now["percent"], now["status"], now["event_count"]))
    assert readings == [
        (28.57, "running", 1),
        (71.43, "running", 2),
        (100.0, "succeeded", 3),
    ]


def test_job_is_attached_to_when_it_is_known(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """A second creation gets 200 with the stored job and its latest `occurred_at`."""
    same = {name: job[name] for name in ("provider_job_id", "customer_id", "tag")}
    ahead = datetime.now(UTC) + timedelta(days=30)
    event = {
        "provider_job_id": job["provider_job_id"],
        "kind": "info",
        "occurred_at": format_instant(ahead),
    }
    api.post("/events", json=event)
    answer = api.post("/jobs", json=same | {"tag": "My Job"})
    assert answer.status_code == 200
    assert answer.json()["id"] == job["id"]
    assert answer.json()["last_occurred_at"] == event["occurred_at"]


@pytest.mark.parametrize("change", [{"customer_id": 1}, {"tag": "other"}])
def test_job_is_rejected_when_known_with_another_customer_or_tag(
    api: httpx.Client, job: dict[str, Any], change: dict[str, Any]
) -> None:
    """Creating a stored job with another customer or tag gets 409 with the pointer."""
    same = {name: job[name] for name in ("provider_job_id", "customer_id", "tag")}
    answer = api.post("/jobs", json=same | change)
    assert answer.status_code == 409
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers == [f"/{name}" for name in change]


def test_job_keeps_its_first_revision_when_attached_to_with_another(
    api: httpx.Client,
) -> None:
    """Attaching with a new configuration does not change the revision of the job."""
    first = configuration("kept")
    other = configuration("kept", name="Kept too")
    body = job_body(tag="kept", configuration=first)
    created = api.post("/jobs", json=body).json()
    attached = api.post("/jobs", json=body | {"configuration": other})
    assert attached.status_code == 200
    assert attached.json()["configuration_id"] == created["configuration_id"]


def test_job_keeps_the_title_and_reference_of_its_first_creation(
    api: httpx.Client,
) -> None:
    """Each answer has the first title and reference; a repeat changes neither."""
    first = {"title": "MRI: Zoë 🙂".ljust(200, "x"), "reference": "R" * 100}
    body = job_body(**first)
    plain = {name: body[name] for name in body if name not in first}
    other = body | {"title": "Other", "reference": "Other"}
    answers = [api.post("/jobs", json=sent) for sent in (body, other, plain, body)]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
    seen = [answer.json() for answer in answers]
    seen.append(api.get(f"/jobs/{seen[0]['id']}").json())
    query = {"provider_job_id": body["provider_job_id"]}
    seen += api.get("/jobs", params=query).json()["items"]
    assert [{name: job[name] for name in first} for job in seen] == [first] * 6


def test_job_without_title_and_reference_gets_none_later(api: httpx.Client) -> None:
    """Title and reference stay null after a repeated creation that sends both."""
    body = job_body()
    for change in ({}, {"title": "Late", "reference": "Late"}):
        job = api.post("/jobs", json=body | change).json()
        assert (job["title"], job["reference"]) == (None, None)


@pytest.mark.parametrize(("name", "longest"), [("title", 200), ("reference", 100)])
@pytest.mark.parametrize("text", ["", " ", "a\nb", "a\0", "\u2028", None, 5, "x"])
def test_text_for_the_customer_is_a_name(
    api: httpx.Client, name: str, longest: int, text: Any
) -> None:
    """A blank, too long or unprintable title or reference gets 422 with its pointer."""
    wrong = text * (longest + 1) if text == "x" else text
    answer = api.post("/jobs", json=job_body(**{name: wrong}))
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{name}"]


def test_job_of_an_unknown_customer_is_rejected(api: httpx.Client) -> None:
    """An unknown customer has the problem `unknown-customer`."""
    answer = api.post("/jobs", json=job_body(customer_id=999_999))
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:trackerapi:problem:unknown-customer"


def test_job_without_configuration_has_counts_and_no_percent(
    api: httpx.Client,
) -> None:
    """A job without a configuration counts its events and has no percentage."""
    body = job_body()
    assert api.post("/jobs", json=body).status_code == 201
    event = {"provider_job_id": body["provider_job_id"], "kind": "step", "tag": "x"}
    api.post("/events", json=event)
    query = {"provider_job_id": body["provider_job_id"]}
    [now] = api.get("/jobs", params=query).json()["items"]
    assert (now["percent"], now["steps"], now["event_count"]) == (None, [], 1)
    assert (now["name"], now["status"]) == ("untold", "running")


def test_ambiguous_display_name_is_rejected(
    api: httpx.Client,
) -> None:
    """An ambiguous display name gets 409 with the tags that have the name."""
    for tag in ("twin_a", "twin_b"):
        document = configuration(tag, name="Twins")
        api.post("/job_configurations", json=document)
    answer = api.post("/jobs", json=job_body(tag="Twins"))
    assert answer.status_code == 409
    assert "'twin_a', 'twin_b'" in answer.json()["detail"]


def test_tag_wins_over_the_display_name_of_another(api: httpx.Client) -> None:
    """If a tag is also the display name of another tag, a job gets the tag's steps."""
    api.post("/job_configurations", json=configuration("meant", name="First"))
    api.post("/job_configurations", json=configuration("unmeant", name="meant"))
    assert api.post("/jobs", json=job_body(tag="meant")).json()["name"] == "First"


def test_explicit_finish_waits_for_complete(api: httpx.Client) -> None:
    """With explicit finish, a job with all steps done is at 99.99 until `complete`."""
    body = job_body(
        tag="explicit", finish="explicit", configuration=configuration("explicit")
    )
    created = api.post("/jobs", json=body).json()
    readings = []
    for event in ({"kind": "step", "tag": "Only"}, {"kind": "complete"}):
        named = event | {"provider_job_id": body["provider_job_id"]}
        api.post("/events", json=named)
        now = api.get(f"/jobs/{created['id']}").json()
        readings.append((now["percent"], now["status"]))
    assert readings == [(99.99, "running"), (100.0, "succeeded")]


def test_metadata_keeps_its_types(api: httpx.Client) -> None:
    """The response has job metadata with the sent types, and keys may have spaces."""
    metadata = {"Random Number": 7, "share": 0.5, "deep": {"x": [True, None, "ü"]}}
    body = job_body(metadata=metadata)
    assert api.post("/jobs", json=body).json()["metadata"] == metadata


def test_lists_are_walked_whole_by_their_cursors(api: httpx.Client) -> None:
    """Pages list each job once, newest first, while new jobs are created."""
    tag = f"walk-{uuid4()}"
    ids = [api.post("/jobs", json=job_body(tag=tag)).json()["id"] for _ in range(5)]
    seen: list[int] = []
    for answer in pages_of(api, "/jobs", tag=tag, limit=2):
        seen += [item["id"] for item in answer.json()["items"]]
        api.post("/jobs", json=job_body(tag=tag))
    assert seen == sorted(ids, reverse=True)


def test_jobs_are_filtered_by_status_and_time(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """`status` accepts several statuses, and `created_since` excludes older jobs."""
    named = {"provider_job_id": job["provider_job_id"]}

    def count(**query: Any) -> int:
        return len(api.get("/jobs", params=named | query).json()["items"])

    assert count(status=["pending", "failed"]) == 1
    assert count(status="succeeded") == 0
    assert count(created_since=job["created_at"]) == 1
    assert count(created_since="2099-01-01T00:00:00Z") == 0


def test_interrupted_job_is_found_by_its_status_and_runs_again_with_its_start(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """A list shows an interrupted job as such; a `start` makes the job run again."""

    def found() -> list[int]:
        query = {"status": "interrupted", "customer_id": job["customer_id"]}
        return [one["id"] for one in api.get("/jobs", params=query).json()["items"]]

    report(api, job, kind="start", tag="say_hello")
    report(api, job, kind="interrupt")
    stopped = api.get(f"/jobs/{job['id']}").json()
    assert (stopped["status"], stopped["finished_at"]) == ("interrupted", None)
    assert stopped["steps"][0]["status"] == "pending"
    assert job["id"] in found()

    report(api, job, kind="start")

    assert api.get(f"/jobs/{job['id']}").json()["status"] == "running"
    assert job["id"] not in found()


def test_complete_of_the_last_step_ends_a_job(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """A `complete` of the last step makes the job succeed."""
    for kind, tag in (("step", 0), ("step", 1), ("complete", 2)):
        report(api, job, kind=kind, name=job["steps"][tag]["name"])

    ended = api.get(f"/jobs/{job['id']}").json()

    assert (ended["percent"], ended["status"]) == (100.0, "succeeded")
