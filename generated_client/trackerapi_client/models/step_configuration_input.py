from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.metadata_configuration import MetadataConfiguration


T = TypeVar("T", bound="StepConfigurationInput")


@_attrs_define
class StepConfigurationInput:
    """One step of a job configuration. The order of the steps is the order on the page."""

    tag: str
    """ Name of the step in events; unique in the configuration. """
    name: str
    """ Display name, for the customer. """
    points: int
    """ Weight of the step relative to the other steps. """
    metadata_configurations: list[MetadataConfiguration] | Unset = UNSET
    after: list[str] | Unset = UNSET
    """ Tags of the steps that must be done or skipped before this step is ready. Without `after`, the step waits
    for the previous step. """
    units: str | Unset = UNSET
    """ Name of the counted units, such as `images`. The customer's page shows it after the counts of the step. """

    def to_dict(self) -> dict[str, Any]:
        tag = self.tag

        name = self.name

        points = self.points

        metadata_configurations: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.metadata_configurations, Unset):
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
            }
        )
        if metadata_configurations is not UNSET:
            field_dict["metadata_configurations"] = metadata_configurations
        if after is not UNSET:
            field_dict["after"] = after
        if units is not UNSET:
            field_dict["units"] = units

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.metadata_configuration import MetadataConfiguration  # noqa: PLC0415

        d = dict(src_dict)
        tag = d.pop("tag")

        name = d.pop("name")

        points = d.pop("points")

        _metadata_configurations = d.pop("metadata_configurations", UNSET)
        metadata_configurations: list[MetadataConfiguration] | Unset = UNSET
        if _metadata_configurations is not UNSET:
            metadata_configurations = []
            for metadata_configurations_item_data in _metadata_configurations:
                metadata_configurations_item = MetadataConfiguration.from_dict(
                    metadata_configurations_item_data
                )

                metadata_configurations.append(metadata_configurations_item)

        after = cast(list[str], d.pop("after", UNSET))

        units = d.pop("units", UNSET)

        step_configuration_input = cls(
            tag=tag,
            name=name,
            points=points,
            metadata_configurations=metadata_configurations,
            after=after,
            units=units,
        )

        return step_configuration_input
