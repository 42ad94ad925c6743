from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.language import Language
from ..types import UNSET, Unset

T = TypeVar("T", bound="ProviderProfileChange")


@_attrs_define
class ProviderProfileChange:
    """New values of the profile. A missing member leaves its value unchanged, and null removes the value."""

    display_name: None | str | Unset = UNSET
    """ Name of the provider for customers. """
    contact_text: None | str | Unset = UNSET
    """ Whom customers ask, and when, such as "Front desk, until 18:00". """
    contact_phone: None | str | Unset = UNSET
    """ Telephone number, such as `+49 30 1234567`; digits, spaces and `( ) . / -`. """
    contact_mail: None | str | Unset = UNSET
    """ Mail address without a name. """
    time_zone: None | str | Unset = UNSET
    """ Time zone for times on the customer's page, by its name in the IANA database, such as `Europe/Berlin`. """
    language: Language | None | Unset = UNSET
    """ Language of the customer's page for a browser without a known language. """
    accent: None | str | Unset = UNSET
    """ Colour of bars and links, with a contrast of at least 4.5 to 1 on white. """
    mark: None | str | Unset = UNSET
    """ Small image beside the name of the provider: a PNG without interlacing in base64, of at most 8,192 bytes and
    512 x 512 pixels. Texts and other parts that change no pixel are not stored. """

    def to_dict(self) -> dict[str, Any]:
        display_name: None | str | Unset
        if isinstance(self.display_name, Unset):
            display_name = UNSET
        else:
            display_name = self.display_name

        contact_text: None | str | Unset
        if isinstance(self.contact_text, Unset):
            contact_text = UNSET
        else:
            contact_text = self.contact_text

        contact_phone: None | str | Unset
        if isinstance(self.contact_phone, Unset):
            contact_phone = UNSET
        else:
            contact_phone = self.contact_phone

        contact_mail: None | str | Unset
        if isinstance(self.contact_mail, Unset):
            contact_mail = UNSET
        else:
            contact_mail = self.contact_mail

        time_zone: None | str | Unset
        if isinstance(self.time_zone, Unset):
            time_zone = UNSET
        else:
            time_zone = self.time_zone

        language: None | str | Unset
        if isinstance(self.language, Unset):
            language = UNSET
        elif isinstance(self.language, Language):
            language = self.language.value
        else:
            language = self.language

        accent: None | str | Unset
        if isinstance(self.accent, Unset):
            accent = UNSET
        else:
            accent = self.accent

        mark: None | str | Unset
        if isinstance(self.mark, Unset):
            mark = UNSET
        else:
            mark = self.mark

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if display_name is not UNSET:
            field_dict["display_name"] = display_name
        if contact_text is not UNSET:
            field_dict["contact_text"] = contact_text
        if contact_phone is not UNSET:
            field_dict["contact_phone"] = contact_phone
        if contact_mail is not UNSET:
            field_dict["contact_mail"] = contact_mail
        if time_zone is not UNSET:
            field_dict["time_zone"] = time_zone
        if language is not UNSET:
            field_dict["language"] = language
        if accent is not UNSET:
            field_dict["accent"] = accent
        if mark is not UNSET:
            field_dict["mark"] = mark

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_display_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        display_name = _parse_display_name(d.pop("display_name", UNSET))

        def _parse_contact_text(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        contact_text = _parse_contact_text(d.pop("contact_text", UNSET))

        def _parse_contact_phone(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        contact_phone = _parse_contact_phone(d.pop("contact_phone", UNSET))

        def _parse_contact_mail(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        contact_mail = _parse_contact_mail(d.pop("contact_mail", UNSET))

        def _parse_time_zone(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        time_zone = _parse_time_zone(d.pop("time_zone", UNSET))

        def _parse_language(data: object) -> Language | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                language_type_0 = Language(data)

                return language_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Language | None | Unset, data)

        language = _parse_language(d.pop("language", UNSET))

        def _parse_accent(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        accent = _parse_accent(d.pop("accent", UNSET))

        def _parse_mark(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        mark = _parse_mark(d.pop("mark", UNSET))

        provider_profile_change = cls(
            display_name=display_name,
            contact_text=contact_text,
            contact_phone=contact_phone,
            contact_mail=contact_mail,
            time_zone=time_zone,
            language=language,
            accent=accent,
            mark=mark,
        )

        return provider_profile_change
