"""The table of answers says what the contract says."""

from typing import Any

import pytest

from tests.contract_document import operations
from trackerapi.wire.models import ANSWERS, reads_as_answer

SHARE_LINK: dict[str, Any] = {
    "id": 1,
    "job_id": 2,
    "created_at": "2026-11-24T01:00:00Z",
    "expires_at": "2026-12-24T01:00:00Z",
    "revoked_at": None,
}


def test_answers_are_those_of_the_contract() -> None:
    """Each operation is there, with the one schema that its good answers have."""
    ours = {key: frozenset({model.__name__}) for key, model in ANSWERS.items()}

    assert ours == {operation.key: operation.answers for operation in operations()}


@pytest.mark.parametrize("path", ["/share-links/1/revoke", "/api/share-links/1/revoke"])
def test_answer_is_read_below_any_base_address(path: str) -> None:
    """A backend behind a path of its own is understood."""
    assert reads_as_answer("POST", path, SHARE_LINK)


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/share-links/1/revoke", SHARE_LINK),
        ("POST", "/share-links/revoke", SHARE_LINK),
        ("POST", "/share-links/1/revoke", {}),
        ("POST", "/share-links/1/revoke", {**SHARE_LINK, "created_at": "yesterday"}),
        ("POST", "/share-links/1/revoke", {**SHARE_LINK, "created_at": None}),
        ("POST", "/jobs/1/share-links", SHARE_LINK),
        ("GET", "/", {}),
        ("GET", "/livez/more", {"status": "ok"}),
    ],
)
def test_answer_of_something_else_is_none_of_ours(
    method: str, path: str, content: dict[str, Any]
) -> None:
    """JSON alone makes no answer: it has to be that of the operation asked for."""
    assert not reads_as_answer(method, path, content)
