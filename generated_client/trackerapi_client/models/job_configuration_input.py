from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..models.metadata_policy import MetadataPolicy
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.configuration_texts import ConfigurationTexts
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
    texts: ConfigurationTexts | Unset = UNSET
    """ Texts for the customer by language, such as `de` or `pt-BR`; at most 50 languages. The customer's page shows
    the texts of its language in place of the names and units in the configuration. Texts are not part of the
    content of a revision. """
    silent_after: int | Unset = UNSET
    """ Age of the newest report, in seconds, from which the customer's page calls a job silent. Without a value,
    the age follows from the usual interval between reports. `silent_after` is not part of the content of a
    revision. """

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

        texts: dict[str, Any] | Unset = UNSET
        if not isinstance(self.texts, Unset):
            texts = self.texts.to_dict()

        silent_after = self.silent_after

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
        if texts is not UNSET:
            field_dict["texts"] = texts
        if silent_after is not UNSET:
            field_dict["silent_after"] = silent_after

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.configuration_texts import ConfigurationTexts  # noqa: PLC0415
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

        _texts = d.pop("texts", UNSET)
        texts: ConfigurationTexts | Unset
        if isinstance(_texts, Unset):
            texts = UNSET
        else:
            texts = ConfigurationTexts.from_dict(_texts)

        silent_after = d.pop("silent_after", UNSET)

        job_configuration_input = cls(
            tag=tag,
            name=name,
            step_configurations=step_configurations,
            version=version,
            metadata=metadata,
            texts=texts,
            silent_after=silent_after,
        )

        return job_configuration_input
