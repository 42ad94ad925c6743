from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.api_key_scope import ApiKeyScope
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.revoked_credentials import RevokedCredentials


T = TypeVar("T", bound="ApiKey")


@_attrs_define
class ApiKey:
    """A key without its secret."""

    key_id: str
    label: str
    scopes: list[ApiKeyScope | str]
    created_at: datetime.datetime
    expires_at: datetime.datetime | None
    """ Expiry of the key; in the past for an expired key. Null means never. """
    last_used_at: datetime.datetime | None
    """ Time of the last use, to the minute; null for an unused key. """
    job_id: int | None | Unset = UNSET
    """ The only job that a job token is valid for; null for other keys. """
    created_by: None | str | Unset = UNSET
    """ The `key_id` of the key that created this key; null for a key that was created on the command line of the
    backend. """
    revoked: RevokedCredentials | Unset = UNSET
    """ Numbers of valid keys, job tokens and share links that expire_api_key has ended with `revoke_created`. In
    other responses, a key has no `revoked`. """

    def to_dict(self) -> dict[str, Any]:
        key_id = self.key_id

        label = self.label

        scopes = []
        for scopes_item_data in self.scopes:
            scopes_item: str
            if isinstance(scopes_item_data, ApiKeyScope):
                scopes_item = scopes_item_data.value
            else:
                scopes_item = scopes_item_data
            scopes.append(scopes_item)

        created_at = self.created_at.isoformat()

        expires_at: None | str
        if isinstance(self.expires_at, datetime.datetime):
            expires_at = self.expires_at.isoformat()
        else:
            expires_at = self.expires_at

        last_used_at: None | str
        if isinstance(self.last_used_at, datetime.datetime):
            last_used_at = self.last_used_at.isoformat()
        else:
            last_used_at = self.last_used_at

        job_id: int | None | Unset
        if isinstance(self.job_id, Unset):
            job_id = UNSET
        else:
            job_id = self.job_id

        created_by: None | str | Unset
        if isinstance(self.created_by, Unset):
            created_by = UNSET
        else:
            created_by = self.created_by

        revoked: dict[str, Any] | Unset = UNSET
        if not isinstance(self.revoked, Unset):
            revoked = self.revoked.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "key_id": key_id,
                "label": label,
                "scopes": scopes,
                "created_at": created_at,
                "expires_at": expires_at,
                "last_used_at": last_used_at,
            }
        )
        if job_id is not UNSET:
            field_dict["job_id"] = job_id
        if created_by is not UNSET:
            field_dict["created_by"] = created_by
        if revoked is not UNSET:
            field_dict["revoked"] = revoked

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.revoked_credentials import RevokedCredentials  # noqa: PLC0415

        d = dict(src_dict)
        key_id = d.pop("key_id")

        label = d.pop("label")

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

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

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

        def _parse_last_used_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_used_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_used_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        last_used_at = _parse_last_used_at(d.pop("last_used_at"))

        def _parse_job_id(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        job_id = _parse_job_id(d.pop("job_id", UNSET))

        def _parse_created_by(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        created_by = _parse_created_by(d.pop("created_by", UNSET))

        _revoked = d.pop("revoked", UNSET)
        revoked: RevokedCredentials | Unset
        if isinstance(_revoked, Unset):
            revoked = UNSET
        else:
            revoked = RevokedCredentials.from_dict(_revoked)

        api_key = cls(
            key_id=key_id,
            label=label,
            scopes=scopes,
            created_at=created_at,
            expires_at=expires_at,
            last_used_at=last_used_at,
            job_id=job_id,
            created_by=created_by,
            revoked=revoked,
        )

        return api_key
