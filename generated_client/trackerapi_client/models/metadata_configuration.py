from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.audience import Audience
from ..models.metadata_kind import MetadataKind
from ..types import UNSET, Unset

T = TypeVar("T", bound="MetadataConfiguration")


@_attrs_define
class MetadataConfiguration:
    """A metadata key of a step, with its format and audience."""

    name: str
    """ Key in the metadata of events; unique in the step. """
    kind: MetadataKind | Unset = UNSET
    """ Format in which a value is shown. """
    units: None | str | Unset = UNSET
    """ Unit that is shown after the value; null counts as missing. """
    audience: Audience | Unset = UNSET
    """ Reader of a value; the provider can always read it. """

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        kind: str | Unset = UNSET
        if not isinstance(self.kind, Unset):
            kind = self.kind.value

        units: None | str | Unset
        if isinstance(self.units, Unset):
            units = UNSET
        else:
            units = self.units

        audience: str | Unset = UNSET
        if not isinstance(self.audience, Unset):
            audience = self.audience.value

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
            }
        )
        if kind is not UNSET:
            field_dict["kind"] = kind
        if units is not UNSET:
            field_dict["units"] = units
        if audience is not UNSET:
            field_dict["audience"] = audience

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        _kind = d.pop("kind", UNSET)
        kind: MetadataKind | Unset
        if isinstance(_kind, Unset):
            kind = UNSET
        else:
            kind = MetadataKind(_kind)

        def _parse_units(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        units = _parse_units(d.pop("units", UNSET))

        _audience = d.pop("audience", UNSET)
        audience: Audience | Unset
        if isinstance(_audience, Unset):
            audience = UNSET
        else:
            audience = Audience(_audience)

        metadata_configuration = cls(
            name=name,
            kind=kind,
            units=units,
            audience=audience,
        )

        return metadata_configuration
