from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.metadata_policy import MetadataPolicy
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.configuration_texts import ConfigurationTexts
    from ..models.step_configuration import StepConfiguration


T = TypeVar("T", bound="JobConfiguration")


@_attrs_define
class JobConfiguration:
    """A stored job configuration. Only its `texts` and `silent_after` can change."""

    id: int
    tag: str
    name: str
    version: None | str
    revision: int
    """ Number of this content among all contents of the tag; the first content is 1. """
    metadata: MetadataPolicy | None | str
    step_configurations: list[StepConfiguration]
    created_at: datetime.datetime
    texts: ConfigurationTexts | Unset = UNSET
    """ Texts for the customer by language, such as `de` or `pt-BR`; at most 50 languages. The customer's page shows
    the texts of its language in place of the names and units in the configuration. Texts are not part of the
    content of a revision. """
    silent_after: int | None | Unset = UNSET
    """ The latest `silent_after` of this revision, in seconds; null without a value. """

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        tag = self.tag

        name = self.name

        version: None | str
        version = self.version

        revision = self.revision

        metadata: None | str
        if isinstance(self.metadata, MetadataPolicy):
            metadata = self.metadata.value
        else:
            metadata = self.metadata

        step_configurations = []
        for step_configurations_item_data in self.step_configurations:
            step_configurations_item = step_configurations_item_data.to_dict()
            step_configurations.append(step_configurations_item)

        created_at = self.created_at.isoformat()

        texts: dict[str, Any] | Unset = UNSET
        if not isinstance(self.texts, Unset):
            texts = self.texts.to_dict()

        silent_after: int | None | Unset
        if isinstance(self.silent_after, Unset):
            silent_after = UNSET
        else:
            silent_after = self.silent_after

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
                "tag": tag,
                "name": name,
                "version": version,
                "revision": revision,
                "metadata": metadata,
                "step_configurations": step_configurations,
                "created_at": created_at,
            }
        )
        if texts is not UNSET:
            field_dict["texts"] = texts
        if silent_after is not UNSET:
            field_dict["silent_after"] = silent_after

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.configuration_texts import ConfigurationTexts  # noqa: PLC0415
        from ..models.step_configuration import StepConfiguration  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        tag = d.pop("tag")

        name = d.pop("name")

        def _parse_version(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        version = _parse_version(d.pop("version"))

        revision = d.pop("revision")

        def _parse_metadata(data: object) -> MetadataPolicy | None | str:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_metadata_policy_seen_type_0 = MetadataPolicy(data)

                return componentsschemas_metadata_policy_seen_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(MetadataPolicy | None | str, data)

        metadata = _parse_metadata(d.pop("metadata"))

        step_configurations = []
        _step_configurations = d.pop("step_configurations")
        for step_configurations_item_data in _step_configurations:
            step_configurations_item = StepConfiguration.from_dict(step_configurations_item_data)

            step_configurations.append(step_configurations_item)

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        _texts = d.pop("texts", UNSET)
        texts: ConfigurationTexts | Unset
        if isinstance(_texts, Unset):
            texts = UNSET
        else:
            texts = ConfigurationTexts.from_dict(_texts)

        def _parse_silent_after(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        silent_after = _parse_silent_after(d.pop("silent_after", UNSET))

        job_configuration = cls(
            id=id,
            tag=tag,
            name=name,
            version=version,
            revision=revision,
            metadata=metadata,
            step_configurations=step_configurations,
            created_at=created_at,
            texts=texts,
            silent_after=silent_after,
        )

        return job_configuration
