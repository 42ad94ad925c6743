from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.language import Language
from ..types import UNSET, Unset

T = TypeVar("T", bound="ShareLink")


@_attrs_define
class ShareLink:
    """A link without its URL."""

    id: int
    job_id: int
    created_at: datetime.datetime
    expires_at: datetime.datetime
    revoked_at: datetime.datetime | None
    label: None | str | Unset = UNSET
    """ Purpose of the link, in the provider's words; null for a link that was created without a label. """
    language: Language | None | str | Unset = UNSET
    """ Language of the page until its reader chooses another; null for the language of the browser. """
    last_opened_at: datetime.datetime | None | Unset = UNSET
    """ Time of the last view of the page, to five minutes; null for a link that nobody has opened. """

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        job_id = self.job_id

        created_at = self.created_at.isoformat()

        expires_at = self.expires_at.isoformat()

        revoked_at: None | str
        if isinstance(self.revoked_at, datetime.datetime):
            revoked_at = self.revoked_at.isoformat()
        else:
            revoked_at = self.revoked_at

        label: None | str | Unset
        if isinstance(self.label, Unset):
            label = UNSET
        else:
            label = self.label

        language: None | str | Unset
        if isinstance(self.language, Unset):
            language = UNSET
        elif isinstance(self.language, Language):
            language = self.language.value
        else:
            language = self.language

        last_opened_at: None | str | Unset
        if isinstance(self.last_opened_at, Unset):
            last_opened_at = UNSET
        elif isinstance(self.last_opened_at, datetime.datetime):
            last_opened_at = self.last_opened_at.isoformat()
        else:
            last_opened_at = self.last_opened_at

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
                "job_id": job_id,
                "created_at": created_at,
                "expires_at": expires_at,
                "revoked_at": revoked_at,
            }
        )
        if label is not UNSET:
            field_dict["label"] = label
        if language is not UNSET:
            field_dict["language"] = language
        if last_opened_at is not UNSET:
            field_dict["last_opened_at"] = last_opened_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        job_id = d.pop("job_id")

        created_at = datetime.datetime.fromisoformat(d.pop("created_at"))

        expires_at = datetime.datetime.fromisoformat(d.pop("expires_at"))

        def _parse_revoked_at(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                revoked_at_type_0 = datetime.datetime.fromisoformat(data)

                return revoked_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        revoked_at = _parse_revoked_at(d.pop("revoked_at"))

        def _parse_label(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        label = _parse_label(d.pop("label", UNSET))

        def _parse_language(data: object) -> Language | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_language_seen_type_0 = Language(data)

                return componentsschemas_language_seen_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Language | None | str | Unset, data)

        language = _parse_language(d.pop("language", UNSET))

        def _parse_last_opened_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_opened_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_opened_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        last_opened_at = _parse_last_opened_at(d.pop("last_opened_at", UNSET))

        share_link = cls(
            id=id,
            job_id=job_id,
            created_at=created_at,
            expires_at=expires_at,
            revoked_at=revoked_at,
            label=label,
            language=language,
            last_opened_at=last_opened_at,
        )

        return share_link
