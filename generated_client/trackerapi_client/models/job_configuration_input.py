from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..models.metadata_policy import MetadataPolicy
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.step_configuration_input import StepConfigurationInput


T = TypeVar("T", bound="JobConfigurationInput")


@_attrs_define
class JobConfigurationInput:
    """Steps of a job, with display names and weights."""

    tag: str
    name: str
    """ Display name, for the customer. """
    step_configurations: list[StepConfigurationInput]
    version: str | Unset = UNSET
    """ Version by SemVer. Without a version, new content becomes the next revision. """
    metadata: MetadataPolicy | Unset = UNSET
    """ With `declared`, a client drops undeclared metadata keys before it stores an event. """

    def to_dict(self) -> dict[str, Any]:
        tag = self.tag

        name = self.name

        step_configurations = []
        for step_configurations_item_data in self.step_configurations:
            step_configurations_item = step_configurations_item_data.to_dict()
            step_configurations.append(step_configurations_item)

        version = self.version

        metadata: str | Unset = UNSET
        if not isinstance(self.metadata, Unset):
            metadata = self.metadata.value

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "tag": tag,
                "name": name,
                "step_configurations": step_configurations,
            }
        )
        if version is not UNSET:
            field_dict["version"] = version
        if metadata is not UNSET:
            field_dict["metadata"] = metadata

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.step_configuration_input import StepConfigurationInput  # noqa: PLC0415

        d = dict(src_dict)
        tag = d.pop("tag")

        name = d.pop("name")

        step_configurations = []
        _step_configurations = d.pop("step_configurations")
        for step_configurations_item_data in _step_configurations:
            step_configurations_item = StepConfigurationInput.from_dict(
                step_configurations_item_data
            )

            step_configurations.append(step_configurations_item)

        version = d.pop("version", UNSET)

        _metadata = d.pop("metadata", UNSET)
        metadata: MetadataPolicy | Unset
        if isinstance(_metadata, Unset):
            metadata = UNSET
        else:
            metadata = MetadataPolicy(_metadata)

        job_configuration_input = cls(
            tag=tag,
            name=name,
            step_configurations=step_configurations,
            version=version,
            metadata=metadata,
        )

        return job_configuration_input
