from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.finish_policy import FinishPolicy
from ..models.job_status import JobStatus
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.job_step import JobStep
    from ..models.metadata import Metadata


T = TypeVar("T", bound="Job")


@_attrs_define
class Job:
    """A tracked job."""

    id: int
    """ The backend's id of the job; later jobs have larger ids. """
    provider_job_id: str
    customer_id: int
    tag: str
    name: str
    """ Display name of the configuration; the tag for a job without a configuration. """
    configuration_id: int | None
    """ Configuration of the job, which never changes; null for a job without a configuration. """
    finish: FinishPolicy | str
    """ A policy in responses; later releases may add values. """
    status: JobStatus | str
    """ A status in responses; later releases may add values. """
    percent: float | None
    """ Progress, 0 to 100 with two decimals. It never falls, and is 100 only once the job has succeeded. Null for a
    job without a configuration. """
    steps: list[JobStep]
    metadata: Metadata
    """ Values of the provider. At most 50 keys, 8 KiB as JSON and five levels. Texts contain no NUL, and numbers
    are within ±(2^53 - 1). Keys may contain spaces. """
    event_count: int
    """ Number of stored events of the job. """
    created_at: datetime.datetime
    started_at: datetime.datetime | None
    finished_at: datetime.datetime | None
    """ Time at which the job succeeded, failed or was cancelled. Null for an interrupted job, which is expected to
    continue. """
    last_event_at: datetime.datetime | None
    """ Time at which the latest event arrived, on the backend's clock. """
    last_occurred_at: datetime.datetime | None
    """ The latest `occurred_at` of an event, on the callers' clocks. """
    version: int
    """ Number that grows with each change of the job. """
    title: None | str | Unset = UNSET
    """ Name of this job for the customer, from its creation; null for a job that was created without a title. """
    reference: None | str | Unset = UNSET
    """ Text that the customer quotes in questions about this job, from its creation; null for a job that was
    created without a reference. """

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        provider_job_id = self.provider_job_id

        customer_id = self.customer_id

        tag = self.tag

        name = self.name

        configuration_id: int | None
        configuration_id = self.configuration_id

        finish: str
        if isinstance(self.finish, FinishPolicy):
            finish = self.finish.value
        else:
            finish = self.finish

        status: str
        if isinstance(self.status, JobStatus):
            status = self.status.value
        else:
            status = self.status

        percent: float | None
        percent = self.percent

        steps = []
        for steps_item_data in self.steps:
            steps_item = steps_item_data.to_dict()
            steps.append(steps_item)

        metadata = self.metadata.to_dict()

        event_count = self.event_count

        created_at = self.created_at.isoformat()

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

        last_event_at: None | str
        if isinstance(self.last_event_at, datetime.datetime):
            last_event_at = self.last_event_at.isoformat()
        else:
            last_event_at = self.last_event_at

        last_occurred_at: None | str
        if isinstance(self.last_occurred_at, datetime.datetime):
            last_occurred_at = self.last_occurred_at.isoformat()
        else:
            last_occurred_at = self.last_occurred_at

        version = self.version

        title: None | str | Unset
        if isinstance(self.title, Unset):
            title = UNSET
        else:
            title = self.title

        reference: None | str | Unset
        if isinstance(self.reference, Unset):
            reference = UNSET
        else:
            reference = self.reference

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
                "provider_job_id": provider_job_id,
                "customer_id": customer_id,
                "tag": tag,
                "name": name,
                "configuration_id": configuration_id,
                "finish": finish,
                "status": status,
                "percent": percent,
                "steps": steps,
                "metadata": metadata,
                "event_count": event_count,
                "created_at": created_at,
                "started_at": started_at,
                "finished_at": finished_at,
                "last_event_at": last_event_at,
                "last_occurred_at": last_occurred_at,
                "version": version,
            }
        )
        if title is not UNSET:
            field_dict["title"] = title
        if reference is not UNSET:
            field_dict["reference"] = reference

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.job_step import JobStep  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        provider_job_id = d.pop("provider_job_id")

        customer_id = d.pop("customer_id")

        tag = d.pop("tag")

        name = d.pop("name")

        def _parse_configuration_id(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        configuration_id = _parse_configuration_id(d.pop("configuration_id"))

        def _parse_finish(data: object) -> FinishPolicy | str:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_finish_policy_seen_type_0 = FinishPolicy(data)

                return componentsschemas_finish_policy_seen_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(FinishPolicy | str, data)

        finish = _parse_finish(d.pop("finish"))

        def _parse_status(data: object) -> JobStatus | str:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_job_status_seen_type_0 = JobStatus(data)

                return componentsschemas_job_status_seen_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JobStatus | str, data)

        status = _parse_status(d.pop("status"))

        def _parse_percent(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        percent = _parse_percent(d.pop("percent"))

        steps = []
        _steps = d.pop("steps")
        for steps_item_data in _steps:
            steps_item = JobStep.from_dict(steps_item_data)

            steps.append(steps_item)

        metadata = Metadata.from_dict(d.pop("metadata"))

        event_count = d.pop("event_count")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

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

        def _parse_last_event_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_event_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_event_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        last_event_at = _parse_last_event_at(d.pop("last_event_at"))

        def _parse_last_occurred_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_occurred_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_occurred_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        last_occurred_at = _parse_last_occurred_at(d.pop("last_occurred_at"))

        version = d.pop("version")

        def _parse_title(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        title = _parse_title(d.pop("title", UNSET))

        def _parse_reference(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        reference = _parse_reference(d.pop("reference", UNSET))

        job = cls(
            id=id,
            provider_job_id=provider_job_id,
            customer_id=customer_id,
            tag=tag,
            name=name,
            configuration_id=configuration_id,
            finish=finish,
            status=status,
            percent=percent,
            steps=steps,
            metadata=metadata,
            event_count=event_count,
            created_at=created_at,
            started_at=started_at,
            finished_at=finished_at,
            last_event_at=last_event_at,
            last_occurred_at=last_occurred_at,
            version=version,
            title=title,
            reference=reference,
        )

        return job
