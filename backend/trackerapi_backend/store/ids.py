"""Ids of new rows: the millisecond of the creation, then random bits.

An id does not reveal the number of rows of other providers. Each new id of an owner is
larger than all earlier ids of the owner, so a list sorted by id is sorted by age.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, func, or_, select

from trackerapi_backend.instants import to_micros
from trackerapi_backend.store.schema import (
    MAX_ID,
    api_keys,
    audit_log,
    customers,
    job_configurations,
    jobs,
    providers,
    share_links,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Column, Connection

_RANDOM_BITS = 12
"""Number of low bits of an id, which are random.

The high bits are the millisecond of the creation."""

LAST_CLOCK_ID = MAX_ID - 2**40
"""Largest id that is derived from the clock, reached in September 2039."""


class NewIds:
    """Generator of ids for new rows of a table.

    Args:
        key: Column of the ids.
        owner: Column of the owner: ids grow among the rows of one owner. None if ids
            grow among all rows.
        max_newest: Largest id that counts as the newest id. Larger ids do not affect
            the ids of new rows.
        taken: Further columns with ids that no new row may get.
    """

    def __init__(
        self,
        key: Column[int],
        owner: Column[int] | None = None,
        *,
        max_newest: int = LAST_CLOCK_ID,
        taken: tuple[Column[int], ...] = (),
    ) -> None:
        newest = select(func.max(key)).where(key <= max_newest)
        if owner is not None:
            newest = newest.where(owner == bindparam("owner_id"))
        new_id = bindparam("new_id", type_=key.type)
        is_taken = or_(*(exists().where(each == new_id) for each in (key, *taken)))
        # Build the query once: SQLAlchemy takes longer to build a query than to run it.
        self._query = select(newest.scalar_subquery(), is_taken)

    def make(self, db: Connection, owner_id: int = 0, *, now: datetime) -> int:
        """Return an id that no row has, larger than the newest id of the owner.

        Args:
            db: Connection in a transaction. No other transaction may make ids at the
                same time.
            owner_id: Owner of the new row; ignored if ids grow among all rows.
            now: Time of the creation. If the clock went back, the new id follows the
                newest id.
        """
        first = max(min(first_id_at(now), LAST_CLOCK_ID), 1)
        while True:
            new_id = first + secrets.randbelow(2**_RANDOM_BITS)
            values = {"owner_id": owner_id, "new_id": new_id}
            newest, is_taken = db.execute(self._query, values).one()
            if not is_taken and new_id > (newest or 0):
                return new_id
            first = max(first, (newest or 0) + 1)


def first_id_at(instant: datetime) -> int:
    """Return the smallest id that a row created at an instant can have."""
    return to_micros(instant) // 1000 << _RANDOM_BITS


def created_by_id(row_id: int) -> int:
    """Return the time at which the backend made an id, in microseconds since 1970.

    In contrast, the `created_at` of a job may be a time on the clock of the client.
    """
    return (row_id >> _RANDOM_BITS) * 1000


PROVIDER_IDS = NewIds(providers.c.id)
# Lists of jobs are in the order of ids. So a new job id is larger than the newest id up
# to `MAX_ID`, even if a wrong clock has made the newest id.
JOB_IDS = NewIds(jobs.c.id, jobs.c.provider_id, max_newest=MAX_ID)
# The audit log has the ids of erased customers. No new customer gets such an id: a
# script for the erased customer would report jobs of the new customer.
CUSTOMER_IDS = NewIds(
    customers.c.id, customers.c.provider_id, taken=(audit_log.c.customer_id,)
)
API_KEY_IDS = NewIds(api_keys.c.id, api_keys.c.provider_id)
CONFIGURATION_IDS = NewIds(job_configurations.c.id, job_configurations.c.provider_id)
SHARE_LINK_IDS = NewIds(share_links.c.id, share_links.c.job_id)
