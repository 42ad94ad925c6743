from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.rejected_line import RejectedLine


T = TypeVar("T", bound="BatchReport")


@_attrs_define
class BatchReport:
    """Counts of stored lines and duplicates, and the rejected lines."""

    accepted: int
    """ Number of lines that this request has stored. """
    duplicates: int
    """ Number of lines with an event that was stored before. """
    rejected: list[RejectedLine]
    """ All rejected lines, in the order of the lines. In a long list, later problems have no `errors` and a
    shortened `detail`. """

    def to_dict(self) -> dict[str, Any]:
        accepted = self.accepted

        duplicates = self.duplicates

        rejected = []
        for rejected_item_data in self.rejected:
            rejected_item = rejected_item_data.to_dict()
            rejected.append(rejected_item)

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "accepted": accepted,
                "duplicates": duplicates,
                "rejected": rejected,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.rejected_line import RejectedLine  # noqa: PLC0415

        d = dict(src_dict)
        accepted = d.pop("accepted")

        duplicates = d.pop("duplicates")

        rejected = []
        _rejected = d.pop("rejected")
        for rejected_item_data in _rejected:
            rejected_item = RejectedLine.from_dict(rejected_item_data)

            rejected.append(rejected_item)

        batch_report = cls(
            accepted=accepted,
            duplicates=duplicates,
            rejected=rejected,
        )

        return batch_report
