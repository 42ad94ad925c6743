"""Separation of providers: names and lists; `test_tenant_matrix.py` has all objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from backend.tests.support.service import (
    CUSTOMER,
    OTHER_CUSTOMER,
    STEPS,
    new_job,
    new_name,
    problem_name,
    report,
    send_lines,
)

if TYPE_CHECKING:
    import httpx


def test_foreign_customer_cannot_be_named_by_a_job(api: httpx.Client) -> None:
    """A job for a foreign customer gets the same 404 as for an unknown customer."""
    sent = {"provider_job_id": new_name(), "tag": "t"}
    answers = [
        api.post("/jobs", json={**sent, "customer_id": number})
        for number in (OTHER_CUSTOMER, 987654)
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert {problem_name(answer) for answer in answers} == {"unknown-customer"}


def test_same_provider_job_id_means_two_jobs(
    api: httpx.Client, other_api: httpx.Client
) -> None:
    """The same `provider_job_id` of two providers means two jobs."""
    name = new_name()
    own = new_job(api, provider_job_id=name)
    theirs = new_job(other_api, provider_job_id=name, customer_id=OTHER_CUSTOMER)
    report(api, own, kind="start", tag="load")
    assert own["id"] != theirs["id"]
    assert other_api.get(f"/jobs/{theirs['id']}").json()["event_count"] == 0


def test_events_for_a_foreign_job_are_rejected(
    api: httpx.Client, other_api: httpx.Client
) -> None:
    """An event for a foreign job has the problem `unknown-job`, also in a batch."""
    theirs = new_job(other_api, customer_id=OTHER_CUSTOMER)
    event = {"provider_job_id": theirs["provider_job_id"], "kind": "complete"}
    single = api.post("/events", json=event)
    batch = send_lines(api, [event]).json()
    assert (single.status_code, problem_name(single)) == (404, "unknown-job")
    assert batch["accepted"] == 0
    assert other_api.get(f"/jobs/{theirs['id']}").json()["status"] == "pending"


def test_lists_have_only_rows_of_the_provider(
    api: httpx.Client, other_api: httpx.Client
) -> None:
    """Lists contain no row of another provider."""
    new_job(api)
    new_job(other_api, customer_id=OTHER_CUSTOMER)
    for path in ("/jobs", "/job_configurations", "/customers", "/api-keys"):
        lists = [
            {
                item.get("id") or item["key_id"]
                for item in caller.get(path, params={"limit": 200}).json()["items"]
            }
            for caller in (api, other_api)
        ]
        assert lists[0]
        assert lists[1]
        assert lists[0].isdisjoint(lists[1]), path
    assert CUSTOMER in {item["id"] for item in api.get("/customers").json()["items"]}


@pytest.mark.parametrize("count", [1, 2])
def test_display_name_of_another_provider_is_unknown(
    api: httpx.Client, other_api: httpx.Client, count: int
) -> None:
    """A display name of another provider does not select a configuration for a job."""
    name = new_name()
    for number in range(count):
        document = {
            "tag": f"{name}-{number}",
            "name": name,
            "step_configurations": STEPS,
        }
        assert other_api.post("/job_configurations", json=document).is_success
    sent = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": name}
    job = api.post("/jobs", json=sent)
    assert job.status_code == 201, job.text
    assert job.json()["configuration_id"] is None
    again = api.post("/jobs", json=sent | {"tag": f"{name}-0"})
    assert again.status_code == 409
    assert f"{name}-0" not in again.json()["detail"]
