"""Checks of operations: each succeeds, and all its responses fit the contract."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.conformance.checks.samples import SAMPLES, call_sample
from trackerapi_backend.conformance.expectations import Mismatch
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("operations")


def _check_operation(operation_id: str, session: Session) -> None:
    answer = call_sample(session, operation_id)
    if answer.status >= 400:
        raise Mismatch(f"status of {answer.request}", "a success", answer.status)
    for deviation in session.deviations[operation_id]:
        raise deviation


for _operation_id in SAMPLES:
    group.add(
        _operation_id,
        f"{_operation_id} succeeds, and its responses fit the contract",
        partial(_check_operation, _operation_id),
    )
