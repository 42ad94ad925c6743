from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.share_link import ShareLink


T = TypeVar("T", bound="ShareLinkCreated")


@_attrs_define
class ShareLinkCreated:
    """A new link with its URL."""

    share_link: ShareLink
    """ A link without its URL. """
    url: str
    """ The address of the customer's page. """

    def to_dict(self) -> dict[str, Any]:
        share_link = self.share_link.to_dict()

        url = self.url

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "share_link": share_link,
                "url": url,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.share_link import ShareLink  # noqa: PLC0415

        d = dict(src_dict)
        share_link = ShareLink.from_dict(d.pop("share_link"))

        url = d.pop("url")

        share_link_created = cls(
            share_link=share_link,
            url=url,
        )

        return share_link_created
