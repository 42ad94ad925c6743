from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="RevokedCredentials")


@_attrs_define
class RevokedCredentials:
    """Numbers of valid keys, job tokens and share links that expire_api_key has ended with `revoke_created`. In other
    responses, a key has no `revoked`.

    """

    expired_keys: int
    expired_tokens: int
    revoked_share_links: int

    def to_dict(self) -> dict[str, Any]:
        expired_keys = self.expired_keys

        expired_tokens = self.expired_tokens

        revoked_share_links = self.revoked_share_links

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "expired_keys": expired_keys,
                "expired_tokens": expired_tokens,
                "revoked_share_links": revoked_share_links,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        expired_keys = d.pop("expired_keys")

        expired_tokens = d.pop("expired_tokens")

        revoked_share_links = d.pop("revoked_share_links")

        revoked_credentials = cls(
            expired_keys=expired_keys,
            expired_tokens=expired_tokens,
            revoked_share_links=revoked_share_links,
        )

        return revoked_credentials
