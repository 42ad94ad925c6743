from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="StepTexts")


@_attrs_define
class StepTexts:
    """Texts of one step in one language."""

    name: str | Unset = UNSET
    """ Display name of the step. """
    units: str | Unset = UNSET
    """ Name of the counted units. """

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        units = self.units

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if name is not UNSET:
            field_dict["name"] = name
        if units is not UNSET:
            field_dict["units"] = units

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name", UNSET)

        units = d.pop("units", UNSET)

        step_texts = cls(
            name=name,
            units=units,
        )

        return step_texts
