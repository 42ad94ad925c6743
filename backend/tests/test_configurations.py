"""Job configurations over HTTP: registered, told apart, listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    import httpx


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
