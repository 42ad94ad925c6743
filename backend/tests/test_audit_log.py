"""Audit log: one entry for each administrative change, without secrets and texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.requests.contract import operations

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    command_here,
    error_line,
    new_job,
    prepare,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary"
SECRET_KEYS = ("api_key", "token", "url")
NOT_ADMINISTRATIVE = {
    "register_job_configuration",
    "create_job",
    "create_event",
    "import_events",
}
"""Operations that report work; all other operations with a change have an entry."""

Environment = dict[str, str]
Change = Callable[[httpx.Client], httpx.Response]


def job_path(api: httpx.Client, *parts: str) -> str:
    """Return a path of a new job."""
    return "/".join(("/jobs", str(new_job(api)["id"]), *parts))


def expire_new_key(api: httpx.Client) -> httpx.Response:
    """Expire a new key."""
    sent = {"label": CANARY, "scopes": ["read"]}
    key_id = api.post("/api-keys", json=sent).json()["key"]["key_id"]
    return api.post(f"/api-keys/{key_id}/expire")


def revoke_new_link(api: httpx.Client) -> httpx.Response:
    """Revoke a new share link."""
    link = api.post(job_path(api, "share-links"), json={"label": CANARY}).json()
    return api.post(f"/share-links/{link['share_link']['id']}/revoke")


def erase_new_customer(api: httpx.Client) -> httpx.Response:
    """Erase a new customer."""
    customer = api.post("/customers", json={"name": CANARY}).json()
    return api.delete(f"/customers/{customer['id']}")


BY_REQUEST: dict[str, Change] = {
    "create_api_key": lambda api: api.post(
        "/api-keys", json={"label": CANARY, "scopes": ["read", "ingest"]}
    ),
    "expire_api_key": expire_new_key,
    "create_job_token": lambda api: api.post(
        job_path(api, "tokens"), json={"label": CANARY}
    ),
    "create_share_link": lambda api: api.post(
        job_path(api, "share-links"), json={"label": CANARY}
    ),
    "revoke_share_link": revoke_new_link,
    "create_customer": lambda api: api.post(
        "/customers", json={"reference": CANARY, "name": CANARY}
    ),
    "update_provider_profile": lambda api: api.patch(
        "/provider-profile", json={"display_name": CANARY, "accent": None}
    ),
    "erase_job": lambda api: api.delete(job_path(api)),
    "erase_customer": erase_new_customer,
}
PREPARED = {
    "expire_api_key": ["create_api_key"],
    "revoke_share_link": ["create_share_link"],
    "erase_customer": ["create_customer"],
}
"""Changes that prepare an operation, by the operation: they have entries too."""
BY_COMMAND = {
    "create_provider": ("customer", "create", "--provider", CANARY),
    "create_api_key": ("key", "create", "--label", CANARY),
    "expire_api_key": ("key", "expire"),
    "create_customer": ("customer", "create", "--reference", f"{CANARY} 2"),
    "update_provider_profile": ("provider", "set", "--contact-text", CANARY),
    "set_retention": ("provider", "set", "--retention-days", "90"),
}


def entries(environment: Environment, *arguments: str) -> list[dict[str, Any]]:
    """Return the audit log as the command prints it, the newest entry last."""
    listed = command_here("audit", "--json", *arguments, environment=environment)
    assert listed.returncode == 0, listed.stderr
    return [json.loads(line) for line in listed.stdout.splitlines()]


def secrets_in(answer: Any) -> list[str]:
    """Return the secrets of an answer."""
    if not isinstance(answer, dict):
        return []
    own = [value for name, value in answer.items() if name in SECRET_KEYS]
    return own + [each for value in answer.values() for each in secrets_in(value)]


def test_every_operation_that_changes_something_is_classified() -> None:
    """Each operation with a method other than GET is in one of the two tables."""
    changing = {each.operation_id for each in operations() if each.method != "GET"}
    assert changing == NOT_ADMINISTRATIVE | set(BY_REQUEST)


def test_each_administrative_request_leaves_one_entry(
    tmp_path: Path, database_url: str | None
) -> None:
    """An entry names the key, the change and the job, but no secret and no text."""
    keys = prepare(tmp_path, database_url)
    environment = variables_of(tmp_path, database_url)
    before = len(entries(environment, "--all"))
    expected, secrets = [], list(keys.values())
    with (
        serve_existing(tmp_path, keys, database_url) as (process, service),
        service.client() as api,
    ):
        for action, change in BY_REQUEST.items():
            answer = change(api)
            assert answer.is_success, answer.text
            secrets += secrets_in(answer.json())
            expected += [*PREPARED.get(action, ()), action]
        # Repeated, refused and empty requests change nothing.
        assert api.patch("/provider-profile", json={}).is_success
        assert api.post("/customers", json={"reference": CANARY}).status_code == 409
        process.terminate()
        process.wait(MAX_WAIT_SECONDS)
    found = entries(environment, "--provider", "One")
    ours = [each for each in found if each["key_id"] is not None]
    assert len(entries(environment, "--all")) == before + len(expected)
    assert [each["action"] for each in ours] == expected
    assert {each["key_id"] for each in ours} == {keys["all"].split("_")[1]}
    about_jobs = {each["action"] for each in ours if each["job_id"] is not None}
    assert about_jobs == {
        *("create_job_token", "create_share_link", "revoke_share_link", "erase_job")
    }
    texts = json.dumps(found)
    for secret in [*secrets, CANARY]:
        # The public part of a key may be in the log.
        assert secret.rpartition("/")[2].split("_", 2)[-1] not in texts
    assert '"members": ["accent", "display_name"]' in texts


def test_each_administrative_command_leaves_one_entry(
    tmp_path: Path, database_url: str | None
) -> None:
    """A change by a command has an entry without a key id, and without texts."""
    environment = variables_of(tmp_path, database_url)
    assert command_here("migrate", environment=environment).returncode == 0
    key = ""
    for action, arguments in BY_COMMAND.items():
        given = [*arguments, key] if action == "expire_api_key" else arguments
        result = command_here(*given, environment=environment)
        assert result.returncode == 0, result.stderr
        key = result.stdout.strip() if action == "create_api_key" else key
    # The second expiry changes nothing.
    assert command_here("key", "expire", key, environment=environment).returncode == 0
    found = entries(environment, "--all")
    # `customer create` has created the provider too.
    actions = ["create_provider", "create_customer", *list(BY_COMMAND)[1:]]
    assert [each["action"] for each in found] == actions
    assert {each["key_id"] for each in found} == {None}
    shown = command_here("audit", environment=environment).stdout
    for text in (CANARY, key.split("_")[2]):
        assert text not in json.dumps(found)
        assert text not in shown
    latest = entries(environment, "--limit", "2")
    assert latest == found[-2:]
    assert entries(environment, "--since", latest[0]["at"], "--limit", "500") == latest
    lines = shown.splitlines()
    assert len(lines) == len(found)
    assert lines[2].split("\t")[1:5] == [
        *("command", "create_api_key", "provider 1"),
        f"key_id {key.split('_')[1]}",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (("--all", "--provider", "One"), 1, "--all and --provider"),
        (("--provider", "Nobody"), 1, "the provider does not exist"),
        (("--limit", "0"), 2, "--limit"),
        (("--since", "yesterday"), 2, "is not a time"),
    ],
)
def test_wrong_arguments_of_audit_are_named(
    tmp_path: Path, arguments: tuple[str, ...], status: int, named: str
) -> None:
    """A wrong argument has one error, which names the argument."""
    prepare(tmp_path)
    environment = variables_of(tmp_path)
    result = command_here("audit", *arguments, environment=environment)
    assert result.returncode == status
    assert named in (error_line(result) if status == 1 else result.stderr)
