from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.api_key_scope import ApiKeyScope

T = TypeVar("T", bound="ApiKeyOwner")


@_attrs_define
class ApiKeyOwner:
    """Whose key it is."""

    provider_id: int
    provider_name: str
    key_id: str
    """ The public part of the key. """
    scopes: list[ApiKeyScope | str]
    expires_at: datetime.datetime | None
    """ Null when the key does not expire. """

    def to_dict(self) -> dict[str, Any]:
        provider_id = self.provider_id

        provider_name = self.provider_name

        key_id = self.key_id

        scopes = []
        for scopes_item_data in self.scopes:
            scopes_item: str
            if isinstance(scopes_item_data, ApiKeyScope):
                scopes_item = scopes_item_data.value
            else:
                scopes_item = scopes_item_data
            scopes.append(scopes_item)

        expires_at: None | str
        if isinstance(self.expires_at, datetime.datetime):
            expires_at = self.expires_at.isoformat()
        else:
            expires_at = self.expires_at

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "provider_id": provider_id,
                "provider_name": provider_name,
                "key_id": key_id,
                "scopes": scopes,
                "expires_at": expires_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        provider_id = d.pop("provider_id")

        provider_name = d.pop("provider_name")

        key_id = d.pop("key_id")

        scopes = []
        _scopes = d.pop("scopes")
        for scopes_item_data in _scopes:

            def _parse_scopes_item(data: object) -> ApiKeyScope | str:
                try:
                    if not isinstance(data, str):
                        raise TypeError()
                    componentsschemas_api_key_scope_seen_type_0 = ApiKeyScope(data)

                    return componentsschemas_api_key_scope_seen_type_0
                except (TypeError, ValueError, AttributeError, KeyError):
                    pass
                return cast(ApiKeyScope | str, data)

            scopes_item = _parse_scopes_item(scopes_item_data)

            scopes.append(scopes_item)

        def _parse_expires_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                expires_at_type_0 = datetime.datetime.fromisoformat(data)

                return expires_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        expires_at = _parse_expires_at(d.pop("expires_at"))

        api_key_owner = cls(
            provider_id=provider_id,
            provider_name=provider_name,
            key_id=key_id,
            scopes=scopes,
            expires_at=expires_at,
        )

        return api_key_owner
