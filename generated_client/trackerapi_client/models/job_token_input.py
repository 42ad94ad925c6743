from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="JobTokenInput")


@_attrs_define
class JobTokenInput:
    """Purpose and lifetime of a new job token."""

    label: str | Unset = UNSET
    """ Purpose of the token, in the provider's words. """
    expires_at: datetime.datetime | Unset = UNSET
    """ Expiry; 30 days after the request by default. A past time, and a time more than 366 days after the request,
    are rejected. """

    def to_dict(self) -> dict[str, Any]:
        label = self.label

        expires_at: str | Unset = UNSET
        if not isinstance(self.expires_at, Unset):
            expires_at = self.expires_at.isoformat()

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if label is not UNSET:
            field_dict["label"] = label
        if expires_at is not UNSET:
            field_dict["expires_at"] = expires_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        label = d.pop("label", UNSET)

        _expires_at = d.pop("expires_at", UNSET)
        expires_at: datetime.datetime | Unset
        if isinstance(_expires_at, Unset):
            expires_at = UNSET
        else:
            expires_at = datetime.datetime.fromisoformat(_expires_at)

        job_token_input = cls(
            label=label,
            expires_at=expires_at,
        )

        return job_token_input
