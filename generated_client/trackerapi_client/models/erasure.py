from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

T = TypeVar("T", bound="Erasure")


@_attrs_define
class Erasure:
    """Result of an erasure."""

    erased_at: datetime.datetime
    """ Time of the erasure, on the clock of the backend. """
    erased_jobs: int
    """ Number of erased jobs. """
    backups: list[str]
    """ Names of known backups that may still contain the erased data, without their folders. """
    residue: None | str
    """ Reason why bytes of the erased data may still be in the files of the database; null if they were removed.
    """

    def to_dict(self) -> dict[str, Any]:
        erased_at = self.erased_at.isoformat()

        erased_jobs = self.erased_jobs

        backups = self.backups

        residue: None | str
        residue = self.residue

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "erased_at": erased_at,
                "erased_jobs": erased_jobs,
                "backups": backups,
                "residue": residue,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        erased_at = datetime.datetime.fromisoformat(d.pop("erased_at"))

        erased_jobs = d.pop("erased_jobs")

        backups = cast(list[str], d.pop("backups"))

        def _parse_residue(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        residue = _parse_residue(d.pop("residue"))

        erasure = cls(
            erased_at=erased_at,
            erased_jobs=erased_jobs,
            backups=backups,
            residue=residue,
        )

        return erasure
