from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.api_key import ApiKey


T = TypeVar("T", bound="ApiKeyCreated")


@_attrs_define
class ApiKeyCreated:
    """A new key with its secret."""

    key: ApiKey
    """ A key without its secret. """
    api_key: str
    """ The whole key. Store the key where scripts can read it. """

    def to_dict(self) -> dict[str, Any]:
        key = self.key.to_dict()

        api_key = self.api_key

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "key": key,
                "api_key": api_key,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.api_key import ApiKey  # noqa: PLC0415

        d = dict(src_dict)
        key = ApiKey.from_dict(d.pop("key"))

        api_key = d.pop("api_key")

        api_key_created = cls(
            key=key,
            api_key=api_key,
        )

        return api_key_created
