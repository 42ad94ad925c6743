"""Cards below the progress of a job: contact, readers, end of the link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from trackerapi_backend.instants import to_micros
from trackerapi_backend.projection.statuses import ENDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup
    from sqlalchemy import Row

    from trackerapi_backend.pages.formats import Formats


@dataclass(frozen=True, slots=True)
class Contact:
    """Contact of the provider, and the reference to quote.

    Attributes:
        text: Contact in the provider's words; None without a text.
        quote: Sentence with the reference of the job; None without a reference.
        links: Address and text of each link: telephone and mail.
    """

    text: str | None
    quote: Markup | None
    links: Sequence[tuple[str, Markup]]


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards of one share link.

    Attributes:
        is_open: Whether the job has not ended: the reader need not wait on the page.
        contact: Contact of the provider; None without one.
        facts: Name and value of each fact about the page.
        address: Address of the share link, to be copied.
    """

    is_open: bool
    contact: Contact | None
    facts: Sequence[tuple[Markup, Markup]]
    address: str


def cards_of(
    job: Row[Any], profile: Row[Any], link: Row[Any], address: str, formats: Formats
) -> Cards:
    """Return the cards of a page.

    Args:
        job: Job of the page.
        profile: Row of its provider.
        link: Share link of the reader.
        address: Address of the share link.
        formats: Language and time zone of the page.
    """
    word = formats.word
    facts = [
        (word("about_times"), formats.zone_name()),
        (
            word("about_readers"),
            word("about_until", until=formats.time(to_micros(link.expires_at))),
        ),
    ]
    if job.reference is not None:
        facts.insert(0, (word("about_reference"), formats.said(job.reference)))
    return Cards(
        job.status not in ENDED, _contact(job, profile, formats), facts, address
    )


def _contact(job: Row[Any], profile: Row[Any], formats: Formats) -> Contact | None:
    phone, mail = profile.contact_phone, profile.contact_mail
    links: list[tuple[str, Markup]] = []
    if phone is not None:
        digits = "".join(each for each in phone if each in "+0123456789")
        links.append((f"tel:{digits}", formats.word("call", phone=phone)))
    if mail is not None:
        subject = "" if job.reference is None else f"?subject={quote(job.reference)}"
        address = f"mailto:{quote(mail, safe='@')}{subject}"
        links.append((address, formats.word("write", mail=mail)))
    if profile.contact_text is None and not links:
        return None
    reference = None
    if job.reference is not None:
        reference = formats.word("please_quote", reference=formats.said(job.reference))
    return Contact(profile.contact_text, reference, links)
