"""Cards below the progress of a job: contact, facts about the job and its link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from trackerapi_backend.instants import to_micros

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
class About:
    """Facts about one share link.

    Attributes:
        facts: Name and value of each fact.
        address: Address of the share link, to be copied.
    """

    facts: Sequence[tuple[Markup, Markup]]
    address: str


def about_link(link: Row[Any], address: str, formats: Formats) -> About:
    """Return the facts about a share link.

    Args:
        link: Share link of the reader.
        address: Address of the share link.
        formats: Language and time zone of the page.
    """
    word = formats.word
    until = word("about_until", until=formats.time(to_micros(link.expires_at)))
    facts = [
        (word("about_times"), formats.zone_name()),
        (word("about_readers"), until),
    ]
    return About(facts, address)


def about_job(
    job: Row[Any], started_at: int | None, formats: Formats
) -> list[tuple[Markup, Markup]]:
    """Return name and value of each fact about a job: its reference and its begin."""
    facts = []
    if job.reference is not None:
        facts.append((formats.word("about_reference"), formats.said(job.reference)))
    if started_at is not None:
        facts.append((formats.word("about_start"), formats.time(started_at)))
    return facts


def contact_of(job: Row[Any], profile: Row[Any], formats: Formats) -> Contact | None:
    """Return the contact for questions about a job; None without a contact."""
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
