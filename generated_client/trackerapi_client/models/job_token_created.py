from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.api_key_scope import ApiKeyScope
from ..types import UNSET, Unset

T = TypeVar("T", bound="JobTokenCreated")


@_attrs_define
class JobTokenCreated:
    """A new job token."""

    token: str
    """ The whole token, which is sent like any key. """
    key_id: str
    """ Public part of the token, for expire_api_key. """
    provider_job_id: str
    expires_at: datetime.datetime
    scopes: list[ApiKeyScope | str] | Unset = UNSET
    """ Scopes of the token. """

    def to_dict(self) -> dict[str, Any]:
        token = self.token

        key_id = self.key_id

        provider_job_id = self.provider_job_id

        expires_at = self.expires_at.isoformat()

        scopes: list[str] | Unset = UNSET
        if not isinstance(self.scopes, Unset):
            scopes = []
            for scopes_item_data in self.scopes:
                scopes_item: str
                if isinstance(scopes_item_data, ApiKeyScope):
                    scopes_item = scopes_item_data.value
                else:
                    scopes_item = scopes_item_data
                scopes.append(scopes_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "token": token,
                "key_id": key_id,
                "provider_job_id": provider_job_id,
                "expires_at": expires_at,
            }
        )
        if scopes is not UNSET:
            field_dict["scopes"] = scopes

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        token = d.pop("token")

        key_id = d.pop("key_id")

        provider_job_id = d.pop("provider_job_id")

        expires_at = datetime.datetime.fromisoformat(d.pop("expires_at"))

        _scopes = d.pop("scopes", UNSET)
        scopes: list[ApiKeyScope | str] | Unset = UNSET
        if _scopes is not UNSET:
            scopes = []
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

        job_token_created = cls(
            token=token,
            key_id=key_id,
            provider_job_id=provider_job_id,
            expires_at=expires_at,
            scopes=scopes,
        )

        return job_token_created
