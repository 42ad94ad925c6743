"""Job configurations over HTTP: registered, told apart, listed."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.configurations import register
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.support.service import CUSTOMER, TUTORIAL

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

HASH_OF_THE_TUTORIAL = (
    "064c76ced418730ffbeecbdf566046f7ab4adb166cd944227da3a26b493b5eae"
)


def document(tag: str, **changes: Any) -> dict[str, Any]:
    steps = [
        {"tag": "a", "name": "A", "points": 1},
        {"tag": "b", "name": "B", "points": 2},
    ]
    return {"tag": tag, "name": "Name", "step_configurations": steps} | changes


@pytest.fixture
def tag() -> str:
    """A tag that no other test uses."""
    return f"tag-{uuid4()}"


def test_same_content_is_stored_once(api: httpx.Client, tag: str) -> None:
    """What may be left out and spelled in two ways does not make other content."""
    spelled = document(tag)
    spelled["step_configurations"][0] |= {"points": 1.0, "metadata_configurations": []}
    first = api.post("/job_configurations", json=document(tag))
    again = api.post("/job_configurations", json=spelled)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["revision"] == 1


def test_metadata_key_is_text_without_units_where_nothing_else_is_said(
    api: httpx.Client, tag: str
) -> None:
    """A kind left out, and units left null, are no other content than text and none."""
    keys: list[dict[str, Any]] = [
        {"name": "Operator"},
        {"name": "Operator", "kind": "text", "units": None, "audience": "provider"},
    ]
    answers = []
    for key in keys:
        spelled = document(tag)
        spelled["step_configurations"][0]["metadata_configurations"] = [key]
        answers.append(api.post("/job_configurations", json=spelled))
    assert [answer.status_code for answer in answers] == [201, 200]
    (step, _) = answers[0].json()["step_configurations"]
    assert step["metadata_configurations"] == [keys[1]]


def test_steps_of_the_original_service_are_refused_with_the_new_name(
    api: httpx.Client, tag: str
) -> None:
    """An old body says what to change."""
    body = document(tag)
    body["steps"] = body.pop("step_configurations")
    answer = api.post("/job_configurations", json=body)
    details = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert answer.status_code == 422
    assert details["/steps"].endswith("; it is called step_configurations now")


def test_new_content_is_the_next_revision(api: httpx.Client, tag: str) -> None:
    """Without a version, other content is counted and the old stays what it was."""
    api.post("/job_configurations", json=document(tag))
    second = api.post("/job_configurations", json=document(tag, name="Other"))
    back = api.post("/job_configurations", json=document(tag))
    assert (second.status_code, second.json()["revision"]) == (201, 2)
    assert (back.status_code, back.json()["revision"]) == (200, 1)


def test_version_is_refused_with_other_content(api: httpx.Client, tag: str) -> None:
    """The difference is spelled out, so that nobody has to look for it."""
    first, other = document(tag, version="1.0.0"), document(tag, version="1.0.0")
    other["step_configurations"][1]["points"] = 5
    api.post("/job_configurations", json=first)
    answer = api.post("/job_configurations", json=other)
    assert answer.status_code == 409
    assert "/step_configurations/1/points is 5, was 2" in answer.json()["detail"]


@pytest.mark.parametrize("version", ["1", "v1.0.0"])
def test_malformed_version_is_refused_once_with_an_example(
    api: httpx.Client, tag: str, version: str
) -> None:
    """A version that is too short has one error, which shows the form of a version."""
    answer = api.post("/job_configurations", json=document(tag, version=version))

    errors = [(each["pointer"], each["detail"]) for each in answer.json()["errors"]]
    assert errors == [("/version", "is not a version such as 1.0.0")]


def test_latest_is_the_highest_version(api: httpx.Client, tag: str) -> None:
    """Versions sort as SemVer says, not by age and not as texts."""
    for version in ("1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0", "2.0.0-rc.10"):
        api.post("/job_configurations", json=document(tag, version=version))
    query = {"tag": tag, "version": "latest"}
    [latest] = api.get("/job_configurations", params=query).json()["items"]
    assert latest["version"] == "2.0.0"


def test_latest_is_the_newest_revision_without_versions(
    api: httpx.Client, tag: str
) -> None:
    """Where no version is given, the newest content counts."""
    for name in ("Old", "New"):
        api.post("/job_configurations", json=document(tag, name=name))
    query = {"tag": tag, "version": "latest"}
    [latest] = api.get("/job_configurations", params=query).json()["items"]
    assert latest["name"] == "New"


@pytest.mark.parametrize(
    ("steps", "pointer"),
    [
        (
            [{"tag": "a", "name": "A", "points": 1}] * 2,
            "/step_configurations/1/tag",
        ),
        (
            [
                {
                    "tag": "a",
                    "name": "A",
                    "points": 1,
                    "metadata_configurations": [{"name": "m", "kind": "text"}] * 2,
                }
            ],
            "/step_configurations/0/metadata_configurations/1/name",
        ),
    ],
    ids=["steps", "metadata"],
)
def test_repeated_names_are_refused(
    api: httpx.Client, tag: str, steps: Any, pointer: str
) -> None:
    """Two steps, or two keys of a step, never share a name."""
    answer = api.post(
        "/job_configurations", json=document(tag, step_configurations=steps)
    )
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def ordered(*waits: list[str] | None) -> list[dict[str, Any]]:
    """Return steps a, b, c… that wait for the tags given; None says nothing."""
    return [
        {"tag": tag, "name": tag.upper(), "points": 1}
        | ({} if after is None else {"after": after})
        for tag, after in zip("abcdefg", waits, strict=False)
    ]


def test_order_of_steps_is_stored_as_it_was_sent(api: httpx.Client, tag: str) -> None:
    """What a step waits for comes back, and nothing is not the same as unsaid."""
    steps = ordered(None, [], ["a", "b"])
    sent = document(tag, step_configurations=steps)
    stored = api.post("/job_configurations", json=sent).json()
    again = api.get(f"/job_configurations/{stored['id']}").json()
    said = [step.get("after") for step in again["step_configurations"]]
    assert said == [None, [], ["a", "b"]]


def test_order_of_steps_is_content(api: httpx.Client, tag: str) -> None:
    """Other steps to wait for make another revision."""
    revisions = [
        api.post(
            "/job_configurations",
            json=document(tag, step_configurations=ordered(None, after)),
        ).json()["revision"]
        for after in (None, [], ["a"], None)
    ]
    assert revisions == [1, 2, 3, 1]


def test_hash_of_a_content_without_order_never_changes(tmp_path: Path) -> None:
    """What an older release has stored is found by its content for ever."""
    with (
        closing(SqliteStore(tmp_path / "own.db", migrate=True)) as store,
        store.transaction() as db,
    ):
        provider = stored_providers.create_provider(db, "One", now=utc_now())
        row, _is_new = register(db, provider, TUTORIAL, now=utc_now())
    assert row.content_hash.hex() == HASH_OF_THE_TUTORIAL


@pytest.mark.parametrize(
    ("waits", "pointer"),
    [
        ([None, ["load"]], "/step_configurations/1/after/0"),
        ([None, ["a", "b"]], "/step_configurations/1/after/1"),
        ([["b"], ["a"]], "/step_configurations/1/after/0"),
        ([["c"], None, None], "/step_configurations/0/after/0"),
        ([[], ["d"], [], ["a", "c", "b"]], "/step_configurations/1/after/0"),
    ],
    ids=["unknown", "itself", "each other", "the step before", "among others"],
)
def test_order_that_no_step_can_keep_is_refused(
    api: httpx.Client, tag: str, waits: list[list[str] | None], pointer: str
) -> None:
    """A step that could never become ready is told before a job waits for it."""
    sent = document(tag, step_configurations=ordered(*waits))
    answer = api.post("/job_configurations", json=sent)
    inside = {
        "provider_job_id": tag,
        "customer_id": CUSTOMER,
        "tag": tag,
        "configuration": sent,
    }
    carried = api.post("/jobs", json=inside)
    assert (answer.status_code, carried.status_code) == (422, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert carried.json()["errors"][0]["pointer"] == f"/configuration{pointer}"
    assert api.get("/jobs", params={"provider_job_id": tag}).json()["items"] == []


def test_long_circle_is_told_in_short(api: httpx.Client, tag: str) -> None:
    """Five hundred steps that wait for each other make one short sentence."""
    steps = [{"tag": f"step {n}", "name": "S", "points": 1} for n in range(500)]
    steps[0]["after"] = ["step 499"]
    answer = api.post(
        "/job_configurations", json=document(tag, step_configurations=steps)
    )
    assert answer.status_code == 422
    assert "closes a circle: 'step" in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 200
