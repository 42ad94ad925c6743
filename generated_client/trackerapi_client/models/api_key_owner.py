from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.api_key_scope import ApiKeyScope
from ..types import UNSET, Unset

T = TypeVar("T", bound="ApiKeyOwner")


@_attrs_define
class ApiKeyOwner:
    """Owner and permissions of a key."""

    provider_id: int
    provider_name: str
    key_id: str
    """ The public part of the key. """
    scopes: list[ApiKeyScope | str]
    expires_at: datetime.datetime | None
    """ Null when the key does not expire. """
    job_id: int | None | Unset = UNSET
    """ The only job that a job token is valid for; null for other keys. """
    provider_job_id: None | str | Unset = UNSET
    """ The provider's own id of the job of the token; null for other keys. """

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

        job_id: int | None | Unset
        if isinstance(self.job_id, Unset):
            job_id = UNSET
        else:
            job_id = self.job_id

        provider_job_id: None | str | Unset
        if isinstance(self.provider_job_id, Unset):
            provider_job_id = UNSET
        else:
            provider_job_id = self.provider_job_id

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
        if job_id is not UNSET:
            field_dict["job_id"] = job_id
        if provider_job_id is not UNSET:
            field_dict["provider_job_id"] = provider_job_id

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

        def _parse_job_id(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        job_id = _parse_job_id(d.pop("job_id", UNSET))

        def _parse_provider_job_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        provider_job_id = _parse_provider_job_id(d.pop("provider_job_id", UNSET))

        api_key_owner = cls(
            provider_id=provider_id,
            provider_name=provider_name,
            key_id=key_id,
            scopes=scopes,
            expires_at=expires_at,
            job_id=job_id,
            provider_job_id=provider_job_id,
        )

        return api_key_owner
