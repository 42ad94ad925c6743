from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.step_status import StepStatus
from ..types import UNSET, Unset

T = TypeVar("T", bound="JobStep")


@_attrs_define
class JobStep:
    """A step of a job, with status and progress."""

    tag: str
    name: str
    points: int
    status: StepStatus | str
    """ A status in responses; later releases may add values. """
    fraction: float
    """ Largest completed share of the step reported so far, 0 to 1. """
    completed: float | None
    """ Latest number of completed units reported before the end of the step. If parts of the step report counts,
    the sum of the largest count of each part. """
    total: float | None
    """ Latest number of units of the whole step reported before the end of the step. If parts of the step report
    counts, a missing total is replaced by the smallest total reported so far. """
    attempts: int
    """ Number of attempts that have begun. """
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    units: None | str | Unset = UNSET
    """ Name of the counted units, from the configuration; null for a step without `units`. """
    failed: float | None | Unset = UNSET
    """ Number of units that failed, among the completed ones; null without a report. """
    max_attempts: int | None | Unset = UNSET
    """ Maximum number of attempts, from the latest `error` that has it; null without a report. """

    def to_dict(self) -> dict[str, Any]:
        tag = self.tag

        name = self.name

        points = self.points

        status: str
        if isinstance(self.status, StepStatus):
            status = self.status.value
        else:
            status = self.status

        fraction = self.fraction

        completed: float | None
        completed = self.completed

        total: float | None
        total = self.total

        attempts = self.attempts

        started_at: None | str
        if isinstance(self.started_at, datetime.datetime):
            started_at = self.started_at.isoformat()
        else:
            started_at = self.started_at

        finished_at: None | str
        if isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()
        else:
            finished_at = self.finished_at

        units: None | str | Unset
        if isinstance(self.units, Unset):
            units = UNSET
        else:
            units = self.units

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
                "tag": tag,
                "name": name,
                "points": points,
                "status": status,
                "fraction": fraction,
                "completed": completed,
                "total": total,
                "attempts": attempts,
                "started_at": started_at,
                "finished_at": finished_at,
            }
        )
        if units is not UNSET:
            field_dict["units"] = units
        if failed is not UNSET:
            field_dict["failed"] = failed
        if max_attempts is not UNSET:
            field_dict["max_attempts"] = max_attempts

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        tag = d.pop("tag")

        name = d.pop("name")

        points = d.pop("points")

        def _parse_status(data: object) -> StepStatus | str:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_step_status_seen_type_0 = StepStatus(data)

                return componentsschemas_step_status_seen_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(StepStatus | str, data)

        status = _parse_status(d.pop("status"))

        fraction = d.pop("fraction")

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

        attempts = d.pop("attempts")

        def _parse_started_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                started_at_type_0 = datetime.datetime.fromisoformat(data)

                return started_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        started_at = _parse_started_at(d.pop("started_at"))

        def _parse_finished_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_at_type_0 = datetime.datetime.fromisoformat(data)

                return finished_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        finished_at = _parse_finished_at(d.pop("finished_at"))

        def _parse_units(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        units = _parse_units(d.pop("units", UNSET))

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

        job_step = cls(
            tag=tag,
            name=name,
            points=points,
            status=status,
            fraction=fraction,
            completed=completed,
            total=total,
            attempts=attempts,
            started_at=started_at,
            finished_at=finished_at,
            units=units,
            failed=failed,
            max_attempts=max_attempts,
        )

        return job_step
