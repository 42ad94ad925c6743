from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.metadata_names import MetadataNames
    from ..models.texts_of_steps import TextsOfSteps


T = TypeVar("T", bound="LanguageTexts")


@_attrs_define
class LanguageTexts:
    """Texts in one language. A missing text is replaced by the text in the configuration."""

    name: str | Unset = UNSET
    """ Display name of the job configuration. """
    steps: TextsOfSteps | Unset = UNSET
    """ Texts of steps by tag; an unknown tag is rejected (422). """
    metadata: MetadataNames | Unset = UNSET
    """ Display names of metadata keys, by key. If the steps have metadata configurations, a key in none of them is
    rejected (422). """

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        steps: dict[str, Any] | Unset = UNSET
        if not isinstance(self.steps, Unset):
            steps = self.steps.to_dict()

        metadata: dict[str, Any] | Unset = UNSET
        if not isinstance(self.metadata, Unset):
            metadata = self.metadata.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if name is not UNSET:
            field_dict["name"] = name
        if steps is not UNSET:
            field_dict["steps"] = steps
        if metadata is not UNSET:
            field_dict["metadata"] = metadata

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.metadata_names import MetadataNames  # noqa: PLC0415
        from ..models.texts_of_steps import TextsOfSteps  # noqa: PLC0415

        d = dict(src_dict)
        name = d.pop("name", UNSET)

        _steps = d.pop("steps", UNSET)
        steps: TextsOfSteps | Unset
        if isinstance(_steps, Unset):
            steps = UNSET
        else:
            steps = TextsOfSteps.from_dict(_steps)

        _metadata = d.pop("metadata", UNSET)
        metadata: MetadataNames | Unset
        if isinstance(_metadata, Unset):
            metadata = UNSET
        else:
            metadata = MetadataNames.from_dict(_metadata)

        language_texts = cls(
            name=name,
            steps=steps,
            metadata=metadata,
        )

        return language_texts
