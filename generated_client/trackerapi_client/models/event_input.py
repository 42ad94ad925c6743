from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.metadata import Metadata


T = TypeVar("T", bound="EventInput")


@_attrs_define
class EventInput:
    """One report about a job or a step of the job. Known kinds: start, progress, step, skip, error, complete, cancel,
    interrupt, info, heartbeat; any other kind is stored and shown like info. A `complete` with a step counts as `step`.
    A `cancel` or `interrupt` with a step changes nothing.

    """

    provider_job_id: str
    kind: str
    """ Kind of the event. """
    event_id: UUID | Unset = UNSET
    """ Id that the caller chooses, so that the backend detects repeats. UUIDv7 is best. """
    tag: str | Unset = UNSET
    """ Tag or display name of the step; missing for an event of the job itself. """
    name: str | Unset = UNSET
    """ Accepted in place of `tag`. Different values of `name` and `tag` are rejected. """
    event_metadata: Metadata | None | Unset = UNSET
    """ Values of the provider; null counts as missing. """
    occurred_at: datetime.datetime | Unset = UNSET
    """ Time of the event on the caller's clock. A missing time, or a time more than a year ahead, is replaced by
    the time of the request. Lines of one batch without a time keep their order. """
    completed: float | Unset = UNSET
    """ Number of completed units of the step, or of the part. """
    total: float | Unset = UNSET
    """ Number of units of the whole step. """
    fraction: float | Unset = UNSET
    """ Completed share of the step. """
    part: str | Unset = UNSET
    """ Name of the worker that counts, if several workers share one step; at most 1,000 parts a step. The
    `completed` of the step is the sum of the largest count in the `progress` events of each part. Events without a
    part count as one more part. The fraction of the step is at least this sum, divided by the smallest total
    reported for the step. """
    retrying: bool | Unset = UNSET
    """ On an `error` of a step: whether another attempt follows. """
    failed: float | Unset = UNSET
    """ On a `progress`: number of units that failed, among the completed units of the step or of the part. The
    `failed` of the step is the sum of the largest number of each part. """
    max_attempts: int | Unset = UNSET
    """ On an `error` of a step with `retrying`: maximum number of attempts, with the failed ones. """
    message: str | Unset = UNSET
    """ Text for the customer. """
    detail: str | Unset = UNSET
    """ Text for the provider alone, such as a traceback. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.metadata import Metadata  # noqa: PLC0415

        provider_job_id = self.provider_job_id

        kind = self.kind

        event_id: str | Unset = UNSET
        if not isinstance(self.event_id, Unset):
            event_id = str(self.event_id)

        tag = self.tag

        name = self.name

        event_metadata: dict[str, Any] | None | Unset
        if isinstance(self.event_metadata, Unset):
            event_metadata = UNSET
        elif isinstance(self.event_metadata, Metadata):
            event_metadata = self.event_metadata.to_dict()
        else:
            event_metadata = self.event_metadata

        occurred_at: str | Unset = UNSET
        if not isinstance(self.occurred_at, Unset):
            occurred_at = self.occurred_at.isoformat()

        completed = self.completed

        total = self.total

        fraction = self.fraction

        part = self.part

        retrying = self.retrying

        failed = self.failed

        max_attempts = self.max_attempts

        message = self.message

        detail = self.detail

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "provider_job_id": provider_job_id,
                "kind": kind,
            }
        )
        if event_id is not UNSET:
            field_dict["event_id"] = event_id
        if tag is not UNSET:
            field_dict["tag"] = tag
        if name is not UNSET:
            field_dict["name"] = name
        if event_metadata is not UNSET:
            field_dict["event_metadata"] = event_metadata
        if occurred_at is not UNSET:
            field_dict["occurred_at"] = occurred_at
        if completed is not UNSET:
            field_dict["completed"] = completed
        if total is not UNSET:
            field_dict["total"] = total
        if fraction is not UNSET:
            field_dict["fraction"] = fraction
        if part is not UNSET:
            field_dict["part"] = part
        if retrying is not UNSET:
            field_dict["retrying"] = retrying
        if failed is not UNSET:
            field_dict["failed"] = failed
        if max_attempts is not UNSET:
            field_dict["max_attempts"] = max_attempts
        if message is not UNSET:
            field_dict["message"] = message
        if detail is not UNSET:
            field_dict["detail"] = detail

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.metadata import Metadata  # noqa: PLC0415

        d = dict(src_dict)
        provider_job_id = d.pop("provider_job_id")

        kind = d.pop("kind")

        _event_id = d.pop("event_id", UNSET)
        event_id: UUID | Unset
        if isinstance(_event_id, Unset):
            event_id = UNSET
        else:
            event_id = UUID(_event_id)

        tag = d.pop("tag", UNSET)

        name = d.pop("name", UNSET)

        def _parse_event_metadata(data: object) -> Metadata | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                event_metadata_type_0 = Metadata.from_dict(data)

                return event_metadata_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Metadata | None | Unset, data)

        event_metadata = _parse_event_metadata(d.pop("event_metadata", UNSET))

        _occurred_at = d.pop("occurred_at", UNSET)
        occurred_at: datetime.datetime | Unset
        if isinstance(_occurred_at, Unset):
            occurred_at = UNSET
        else:
            occurred_at = datetime.datetime.fromisoformat(_occurred_at)

        completed = d.pop("completed", UNSET)

        total = d.pop("total", UNSET)

        fraction = d.pop("fraction", UNSET)

        part = d.pop("part", UNSET)

        retrying = d.pop("retrying", UNSET)

        failed = d.pop("failed", UNSET)

        max_attempts = d.pop("max_attempts", UNSET)

        message = d.pop("message", UNSET)

        detail = d.pop("detail", UNSET)

        event_input = cls(
            provider_job_id=provider_job_id,
            kind=kind,
            event_id=event_id,
            tag=tag,
            name=name,
            event_metadata=event_metadata,
            occurred_at=occurred_at,
            completed=completed,
            total=total,
            fraction=fraction,
            part=part,
            retrying=retrying,
            failed=failed,
            max_attempts=max_attempts,
            message=message,
            detail=detail,
        )

        return event_input
