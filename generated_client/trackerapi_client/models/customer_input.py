from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="CustomerInput")


@_attrs_define
class CustomerInput:
    """Properties of a new customer."""

    reference: str | Unset = UNSET
    """ The provider's own id of the customer, unique for the provider. """
    name: str | Unset = UNSET
    """ The provider's name of the customer. """

    def to_dict(self) -> dict[str, Any]:
        reference = self.reference

        name = self.name

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if reference is not UNSET:
            field_dict["reference"] = reference
        if name is not UNSET:
            field_dict["name"] = name

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        reference = d.pop("reference", UNSET)

        name = d.pop("name", UNSET)

        customer_input = cls(
            reference=reference,
            name=name,
        )

        return customer_input
