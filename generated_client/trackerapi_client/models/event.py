from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.metadata import Metadata


T = TypeVar("T", bound="Event")


@_attrs_define
class Event:
    """A stored event."""

    id: UUID
    """ The same as `event_id`. """
    event_id: UUID
    sequence: int
    """ Number of the event in the order of arrival; the first event of a job is 1. """
    provider_job_id: str
    kind: str
    tag: None | str
    """ Tag of the step; null for an event of the job itself. """
    event_metadata: Metadata
    """ Values of the provider. At most 50 keys, 8 KiB as JSON and five levels. Texts contain no NUL, and numbers
    are within ±(2^53 - 1). Keys may contain spaces. """
    occurred_at: datetime.datetime
    received_at: datetime.datetime
    completed: float | None
    total: float | None
    fraction: float | None
    retrying: bool
    message: None | str
    detail: None | str
    part: None | str | Unset = UNSET
    """ Name of the worker that counts; null for an event without a part. """
    failed: float | None | Unset = UNSET
    max_attempts: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        id = str(self.id)

        event_id = str(self.event_id)

        sequence = self.sequence

        provider_job_id = self.provider_job_id

        kind = self.kind

        tag: None | str
        tag = self.tag

        event_metadata = self.event_metadata.to_dict()

        occurred_at = self.occurred_at.isoformat()

        received_at = self.received_at.isoformat()

        completed: float | None
        completed = self.completed

        total: float | None
        total = self.total

        fraction: float | None
        fraction = self.fraction

        retrying = self.retrying

        message: None | str
        message = self.message

        detail: None | str
        detail = self.detail

        part: None | str | Unset
        if isinstance(self.part, Unset):
            part = UNSET
        else:
            part = self.part

        failed: float | None | Unset
        if isinstance(self.failed, Unset):
            failed = UNSET
        else:
            failed = self.failed

        max_attempts: int | None | Unset
        if isinstance(self.max_attempts, Unset):
            max_attempts = UNSET
        else:
            max_attempts = self.max_attempts

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
                "event_id": event_id,
                "sequence": sequence,
                "provider_job_id": provider_job_id,
                "kind": kind,
                "tag": tag,
                "event_metadata": event_metadata,
                "occurred_at": occurred_at,
                "received_at": received_at,
                "completed": completed,
                "total": total,
                "fraction": fraction,
                "retrying": retrying,
                "message": message,
                "detail": detail,
            }
        )
        if part is not UNSET:
            field_dict["part"] = part
        if failed is not UNSET:
            field_dict["failed"] = failed
        if max_attempts is not UNSET:
            field_dict["max_attempts"] = max_attempts

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.metadata import Metadata  # noqa: PLC0415

        d = dict(src_dict)
        id = UUID(d.pop("id"))

        event_id = UUID(d.pop("event_id"))

        sequence = d.pop("sequence")

        provider_job_id = d.pop("provider_job_id")

        kind = d.pop("kind")

        def _parse_tag(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        tag = _parse_tag(d.pop("tag"))

        event_metadata = Metadata.from_dict(d.pop("event_metadata"))

        occurred_at = datetime.datetime.fromisoformat(d.pop("occurred_at"))

        received_at = datetime.datetime.fromisoformat(d.pop("received_at"))

        def _parse_completed(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        completed = _parse_completed(d.pop("completed"))

        def _parse_total(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        total = _parse_total(d.pop("total"))

        def _parse_fraction(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        fraction = _parse_fraction(d.pop("fraction"))

        retrying = d.pop("retrying")

        def _parse_message(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        message = _parse_message(d.pop("message"))

        def _parse_detail(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        detail = _parse_detail(d.pop("detail"))

        def _parse_part(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        part = _parse_part(d.pop("part", UNSET))

        def _parse_failed(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        failed = _parse_failed(d.pop("failed", UNSET))

        def _parse_max_attempts(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        max_attempts = _parse_max_attempts(d.pop("max_attempts", UNSET))

        event = cls(
            id=id,
            event_id=event_id,
            sequence=sequence,
            provider_job_id=provider_job_id,
            kind=kind,
            tag=tag,
            event_metadata=event_metadata,
            occurred_at=occurred_at,
            received_at=received_at,
            completed=completed,
            total=total,
            fraction=fraction,
            retrying=retrying,
            message=message,
            detail=detail,
            part=part,
            failed=failed,
            max_attempts=max_attempts,
        )

        return event
