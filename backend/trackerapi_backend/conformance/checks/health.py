"""Checks of health: both operations answer without a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.conformance.group import Group
from trackerapi_backend.conformance.session import NO_KEY

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("health")


@group.check("livez")
def _livez(session: Session) -> None:
    """`/livez` answers 200 without a key."""
    session.call("livez", key=NO_KEY).require(200)


@group.check("readyz")
def _readyz(session: Session) -> None:
    """`/readyz` answers 200 without a key."""
    session.call("readyz", key=NO_KEY).require(200)
