from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.language import Language
from ..types import UNSET, Unset

T = TypeVar("T", bound="ProviderProfile")


@_attrs_define
class ProviderProfile:
    """What customers read about the provider. A value that is not set is null."""

    name: str
    """ Name of the provider in this backend. The customer's page shows it without a `display_name`. """
    display_name: None | str
    """ Name of the provider for customers. """
    contact_text: None | str
    """ Whom customers ask, and when. """
    contact_phone: None | str
    """ Telephone number. """
    contact_mail: None | str
    """ Mail address. """
    time_zone: None | str
    """ Time zone for times on the customer's page; null for UTC. """
    language: Language | None | str
    """ Language of the customer's page for a browser without a known language; null for English. """
    accent: None | str
    """ Colour of bars and links on a light page, such as `#0c6a60`. """
    accent_dark: None | str
    """ Colour of bars and links on a dark page: `accent` mixed with as much white as the contrast needs. """
    has_mark: bool | Unset = UNSET
    """ Whether an image is shown beside the name of the provider. """

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        display_name: None | str
        display_name = self.display_name

        contact_text: None | str
        contact_text = self.contact_text

        contact_phone: None | str
        contact_phone = self.contact_phone

        contact_mail: None | str
        contact_mail = self.contact_mail

        time_zone: None | str
        time_zone = self.time_zone

        language: None | str
        if isinstance(self.language, Language):
            language = self.language.value
        else:
            language = self.language

        accent: None | str
        accent = self.accent

        accent_dark: None | str
        accent_dark = self.accent_dark

        has_mark = self.has_mark

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "name": name,
                "display_name": display_name,
                "contact_text": contact_text,
                "contact_phone": contact_phone,
                "contact_mail": contact_mail,
                "time_zone": time_zone,
                "language": language,
                "accent": accent,
                "accent_dark": accent_dark,
            }
        )
        if has_mark is not UNSET:
            field_dict["has_mark"] = has_mark

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        def _parse_display_name(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        display_name = _parse_display_name(d.pop("display_name"))

        def _parse_contact_text(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        contact_text = _parse_contact_text(d.pop("contact_text"))

        def _parse_contact_phone(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        contact_phone = _parse_contact_phone(d.pop("contact_phone"))

        def _parse_contact_mail(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        contact_mail = _parse_contact_mail(d.pop("contact_mail"))

        def _parse_time_zone(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        time_zone = _parse_time_zone(d.pop("time_zone"))

        def _parse_language(data: object) -> Language | None | str:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_language_seen_type_0 = Language(data)

                return componentsschemas_language_seen_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Language | None | str, data)

        language = _parse_language(d.pop("language"))

        def _parse_accent(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        accent = _parse_accent(d.pop("accent"))

        def _parse_accent_dark(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        accent_dark = _parse_accent_dark(d.pop("accent_dark"))

        has_mark = d.pop("has_mark", UNSET)

        provider_profile = cls(
            name=name,
            display_name=display_name,
            contact_text=contact_text,
            contact_phone=contact_phone,
            contact_mail=contact_mail,
            time_zone=time_zone,
            language=language,
            accent=accent,
            accent_dark=accent_dark,
            has_mark=has_mark,
        )

        return provider_profile
