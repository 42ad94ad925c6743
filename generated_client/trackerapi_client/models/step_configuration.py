from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.metadata_configuration_seen import MetadataConfigurationSeen


T = TypeVar("T", bound="StepConfiguration")


@_attrs_define
class StepConfiguration:
    """A step of a stored job configuration."""

    tag: str
    name: str
    points: int
    metadata_configurations: list[MetadataConfigurationSeen]
    after: list[str] | Unset = UNSET
    """ Tags of the steps before this step; missing if the sent configuration has no `after`. """
    units: str | Unset = UNSET
    """ Name of the counted units; missing if the sent configuration has no `units`. """

    def to_dict(self) -> dict[str, Any]:
        tag = self.tag

        name = self.name

        points = self.points

        metadata_configurations = []
        for metadata_configurations_item_data in self.metadata_configurations:
            metadata_configurations_item = metadata_configurations_item_data.to_dict()
            metadata_configurations.append(metadata_configurations_item)

        after: list[str] | Unset = UNSET
        if not isinstance(self.after, Unset):
            after = self.after

        units = self.units

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "tag": tag,
                "name": name,
                "points": points,
                "metadata_configurations": metadata_configurations,
            }
        )
        if after is not UNSET:
            field_dict["after"] = after
        if units is not UNSET:
            field_dict["units"] = units

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.metadata_configuration_seen import MetadataConfigurationSeen  # noqa: PLC0415

        d = dict(src_dict)
        tag = d.pop("tag")

        name = d.pop("name")

        points = d.pop("points")

        metadata_configurations = []
        _metadata_configurations = d.pop("metadata_configurations")
        for metadata_configurations_item_data in _metadata_configurations:
            metadata_configurations_item = MetadataConfigurationSeen.from_dict(
                metadata_configurations_item_data
            )

            metadata_configurations.append(metadata_configurations_item)

        after = cast(list[str], d.pop("after", UNSET))

        units = d.pop("units", UNSET)

        step_configuration = cls(
            tag=tag,
            name=name,
            points=points,
            metadata_configurations=metadata_configurations,
            after=after,
            units=units,
        )

        return step_configuration
