from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.audience import Audience
from ..models.metadata_kind import MetadataKind

T = TypeVar("T", bound="MetadataConfigurationSeen")


@_attrs_define
class MetadataConfigurationSeen:
    """A metadata key of a step, in responses."""

    name: str
    kind: MetadataKind | str
    """ A kind in responses; later releases may add values. """
    units: None | str
    audience: Audience | str
    """ An audience in responses; later releases may add values. """

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        kind: str
        if isinstance(self.kind, MetadataKind):
            kind = self.kind.value
        else:
            kind = self.kind

        units: None | str
        units = self.units

        audience: str
        if isinstance(self.audience, Audience):
            audience = self.audience.value
        else:
            audience = self.audience

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
                "kind": kind,
                "units": units,
                "audience": audience,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        def _parse_kind(data: object) -> MetadataKind | str:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_metadata_kind_seen_type_0 = MetadataKind(data)

                return componentsschemas_metadata_kind_seen_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(MetadataKind | str, data)

        kind = _parse_kind(d.pop("kind"))

        def _parse_units(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        units = _parse_units(d.pop("units"))

        def _parse_audience(data: object) -> Audience | str:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_audience_seen_type_0 = Audience(data)

                return componentsschemas_audience_seen_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Audience | str, data)

        audience = _parse_audience(d.pop("audience"))

        metadata_configuration_seen = cls(
            name=name,
            kind=kind,
            units=units,
            audience=audience,
        )

        return metadata_configuration_seen
