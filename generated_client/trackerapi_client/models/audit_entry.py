from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

if TYPE_CHECKING:
    from ..models.audit_details import AuditDetails


T = TypeVar("T", bound="AuditEntry")


@_attrs_define
class AuditEntry:
    """An administrative change."""

    at: datetime.datetime
    key_id: None | str
    """ Public part of the key that made the change; null for a command or the backend itself. """
    action: str
    """ Name of the change: the operation of this contract, or another name such as `delete_old_jobs`. """
    job_id: int | None
    """ Job of the change; null for a change without a job. """
    customer_id: int | None
    """ Customer of the change; null for a change without a customer. """
    details: AuditDetails | None
    """ Details of the change, such as `scopes` and `expires_at`; null for a change without details, and after an
    erasure. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.audit_details import AuditDetails  # noqa: PLC0415

        at = self.at.isoformat()

        key_id: None | str
        key_id = self.key_id

        action = self.action

        job_id: int | None
        job_id = self.job_id

        customer_id: int | None
        customer_id = self.customer_id

        details: dict[str, Any] | None
        if isinstance(self.details, AuditDetails):
            details = self.details.to_dict()
        else:
            details = self.details

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "at": at,
                "key_id": key_id,
                "action": action,
                "job_id": job_id,
                "customer_id": customer_id,
                "details": details,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.audit_details import AuditDetails  # noqa: PLC0415

        d = dict(src_dict)
        at = datetime.datetime.fromisoformat(d.pop("at"))

        def _parse_key_id(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        key_id = _parse_key_id(d.pop("key_id"))

        action = d.pop("action")

        def _parse_job_id(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        job_id = _parse_job_id(d.pop("job_id"))

        def _parse_customer_id(data: object) -> int | None:
            if data is None:
                return data
            return cast(int | None, data)

        customer_id = _parse_customer_id(d.pop("customer_id"))

        def _parse_details(data: object) -> AuditDetails | None:
            if data is None:
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                details_type_0 = AuditDetails.from_dict(data)

                return details_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AuditDetails | None, data)

        details = _parse_details(d.pop("details"))

        audit_entry = cls(
            at=at,
            key_id=key_id,
            action=action,
            job_id=job_id,
            customer_id=customer_id,
            details=details,
        )

        return audit_entry
