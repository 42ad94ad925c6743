from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..models.finish_policy import FinishPolicy
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.job_configuration_input import JobConfigurationInput
    from ..models.metadata import Metadata


T = TypeVar("T", bound="JobInput")


@_attrs_define
class JobInput:
    """Properties of a new job."""

    provider_job_id: str
    """ The provider's own id of the job, unique for the provider. """
    customer_id: int
    """ The customer for whom the job is run. """
    tag: str
    """ Tag, or unambiguous display name, of the job configuration. """
    configuration: JobConfigurationInput | Unset = UNSET
    """ Steps of a job, with display names and weights. """
    finish: FinishPolicy | Unset = UNSET
    """ With `auto`, a job succeeds once all its steps are done or skipped. With `explicit`, a job succeeds only by
    a `complete` event without a step. """
    created_at: datetime.datetime | Unset = UNSET
    """ Time of the creation on the caller's clock. A missing time, or a time more than a year ahead, is replaced by
    the time of the request. """
    metadata: Metadata | Unset = UNSET
    """ Values of the provider. At most 50 keys, 8 KiB as JSON and five levels. Texts contain no NUL, and numbers
    are within ±(2^53 - 1). Keys may contain spaces. """
    title: str | Unset = UNSET
    """ Name of this job for the customer, such as "Brain MRI, 12 May". The customer's page shows it as the heading.
    """
    reference: str | Unset = UNSET
    """ Text that the customer quotes in questions about this job. The customer's page shows it. """

    def to_dict(self) -> dict[str, Any]:
        provider_job_id = self.provider_job_id

        customer_id = self.customer_id

        tag = self.tag

        configuration: dict[str, Any] | Unset = UNSET
        if not isinstance(self.configuration, Unset):
            configuration = self.configuration.to_dict()

        finish: str | Unset = UNSET
        if not isinstance(self.finish, Unset):
            finish = self.finish.value

        created_at: str | Unset = UNSET
        if not isinstance(self.created_at, Unset):
            created_at = self.created_at.isoformat()

        metadata: dict[str, Any] | Unset = UNSET
        if not isinstance(self.metadata, Unset):
            metadata = self.metadata.to_dict()

        title = self.title

        reference = self.reference

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "provider_job_id": provider_job_id,
                "customer_id": customer_id,
                "tag": tag,
            }
        )
        if configuration is not UNSET:
            field_dict["configuration"] = configuration
        if finish is not UNSET:
            field_dict["finish"] = finish
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if title is not UNSET:
            field_dict["title"] = title
        if reference is not UNSET:
            field_dict["reference"] = reference

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.job_configuration_input import JobConfigurationInput  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415

        d = dict(src_dict)
        provider_job_id = d.pop("provider_job_id")

        customer_id = d.pop("customer_id")

        tag = d.pop("tag")

        _configuration = d.pop("configuration", UNSET)
        configuration: JobConfigurationInput | Unset
        if isinstance(_configuration, Unset):
            configuration = UNSET
        else:
            configuration = JobConfigurationInput.from_dict(_configuration)

        _finish = d.pop("finish", UNSET)
        finish: FinishPolicy | Unset
        if isinstance(_finish, Unset):
            finish = UNSET
        else:
            finish = FinishPolicy(_finish)

        _created_at = d.pop("created_at", UNSET)
        created_at: datetime.datetime | Unset
        if isinstance(_created_at, Unset):
            created_at = UNSET
        else:
            created_at = datetime.datetime.fromisoformat(_created_at)

        _metadata = d.pop("metadata", UNSET)
        metadata: Metadata | Unset
        if isinstance(_metadata, Unset):
            metadata = UNSET
        else:
            metadata = Metadata.from_dict(_metadata)

        title = d.pop("title", UNSET)

        reference = d.pop("reference", UNSET)

        job_input = cls(
            provider_job_id=provider_job_id,
            customer_id=customer_id,
            tag=tag,
            configuration=configuration,
            finish=finish,
            created_at=created_at,
            metadata=metadata,
            title=title,
            reference=reference,
        )

        return job_input
