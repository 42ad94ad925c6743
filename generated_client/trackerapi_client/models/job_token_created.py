from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="JobTokenCreated")


@_attrs_define
class JobTokenCreated:
    """A new job token."""

    token: str
    """ The whole token, sent like any key. """
    key_id: str
    """ The public part, by which expire_api_key ends the token. """
    provider_job_id: str
    expires_at: datetime.datetime

    def to_dict(self) -> dict[str, Any]:
        token = self.token

        key_id = self.key_id

        provider_job_id = self.provider_job_id

        expires_at = self.expires_at.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "token": token,
                "key_id": key_id,
                "provider_job_id": provider_job_id,
                "expires_at": expires_at,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        token = d.pop("token")

        key_id = d.pop("key_id")

        provider_job_id = d.pop("provider_job_id")

        expires_at = datetime.datetime.fromisoformat(d.pop("expires_at"))

        job_token_created = cls(
            token=token,
            key_id=key_id,
            provider_job_id=provider_job_id,
            expires_at=expires_at,
        )

        return job_token_created
