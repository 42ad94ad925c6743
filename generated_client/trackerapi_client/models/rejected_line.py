from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.problem import Problem


T = TypeVar("T", bound="RejectedLine")


@_attrs_define
class RejectedLine:
    """A rejected line with the reason."""

    line: int
    """ Number of the line in the body; the first line is 1. """
    event_id: None | str
    """ The `event_id` of the line; null if it is missing or cannot be read. """
    problem: Problem
    """ Problem details (RFC 9457); later releases may add members. """

    def to_dict(self) -> dict[str, Any]:
        line = self.line

        event_id: None | str
        event_id = self.event_id

        problem = self.problem.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "line": line,
                "event_id": event_id,
                "problem": problem,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.problem import Problem  # noqa: PLC0415

        d = dict(src_dict)
        line = d.pop("line")

        def _parse_event_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        event_id = _parse_event_id(d.pop("event_id"))

        problem = Problem.from_dict(d.pop("problem"))

        rejected_line = cls(
            line=line,
            event_id=event_id,
            problem=problem,
        )

        return rejected_line
