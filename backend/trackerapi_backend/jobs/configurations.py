"""Rules of job configurations: canonical content, revisions, lookup by tag or name."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from trackerapi_backend.jobs.step_order import check_order
from trackerapi_backend.jobs.texts import check_texts
from trackerapi_backend.problems import Problem, invalid, shorten
from trackerapi_backend.store import configurations as stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from trackerapi_backend.generated import models

MAX_DIFFERENCES = 5
MAX_VALUE_LENGTH = 200

_NUMBER = re.compile(r"[0-9]+")

# Settings for the customer's page: not part of the content, each in its own column.
_PAGE_SETTINGS = ("texts", "silent_after")


class Registration(NamedTuple):
    """A registered configuration.

    Attributes:
        row: The configuration.
        is_new: Whether this registration has stored the content.
    """

    row: Row[Any]
    is_new: bool = False


def register(
    db: Connection,
    provider_id: int,
    sent: models.JobConfigurationInput,
    *,
    now: datetime,
    pointer: str = "",
) -> Registration:
    """Store a configuration unless its content is stored already.

    `texts` and `silent_after` of the request replace the stored values: they are not
    part of the content.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the configuration.
        sent: Configuration of the request, valid by its schema.
        now: Time of the request.
        pointer: JSON Pointer to the configuration in the body.

    Raises:
        Problem: If names are not unique, a step can never become ready, a text is for
            an unknown step or metadata key, or the version is stored with other
            content; the message names the differences.
    """
    document = canonicalize(sent, pointer)
    check_texts(sent, pointer)
    page_settings = _page_settings(sent)
    content_hash = hashlib.sha256(
        json.dumps(document, sort_keys=True).encode()
    ).digest()
    # No race between query and insert: the writer runs one transaction at a time.
    version = document.get("version")
    tag = document["tag"]
    known = stored.find_configuration_by_content(db, provider_id, tag, content_hash)
    if known is not None:
        if all(value == getattr(known, name) for name, value in page_settings.items()):
            return Registration(known)
        return Registration(stored.update_configuration(db, known.id, page_settings))
    other = version and stored.find_configuration_by_version(
        db, provider_id, tag, version
    )
    if other:
        changes = "; ".join(_differences(other.document, document))
        raise Problem(
            "conflict",
            f"Version {version} of {tag!r} is stored with other content: {changes}."
            " Give the new content a new version.",
        )
    values = {
        "provider_id": provider_id,
        "tag": tag,
        "name": document["name"],
        "version": version,
        "content_hash": content_hash,
        "document": document,
        "created_at": now,
        **page_settings,
    }
    return Registration(stored.create_configuration(db, values), is_new=True)


def canonicalize(sent: models.JobConfigurationInput, pointer: str) -> dict[str, Any]:
    """Return the content of a configuration with the defaults of missing members.

    `texts` and `silent_after` are not part of the content.

    Args:
        sent: Configuration of the request, valid by its schema.
        pointer: JSON Pointer to the configuration in the body.

    Raises:
        Problem: If names are not unique, or a step can never become ready.
    """
    steps = sent["step_configurations"]
    pointer = f"{pointer}/step_configurations"
    _check_unique([step["tag"] for step in steps], pointer, "tag")
    check_order(steps, pointer)
    document: dict[str, Any] = {
        name: value for name, value in sent.items() if name not in _PAGE_SETTINGS
    }
    document["step_configurations"] = [
        {
            "tag": step["tag"],
            "name": step["name"],
            "points": int(step["points"]),
            "metadata_configurations": _canonicalize_metadata(
                step, f"{pointer}/{index}/metadata_configurations"
            ),
            **_later_members(step),
        }
        for index, step in enumerate(steps)
    ]
    return document


def _page_settings(sent: models.JobConfigurationInput) -> dict[str, Any]:
    """Return the sent settings for the customer's page."""
    members: dict[str, Any] = dict(sent)
    page_settings = {name: members[name] for name in _PAGE_SETTINGS if name in members}
    if "silent_after" in page_settings:
        # JSON Schema also accepts 600.0 as an integer.
        page_settings["silent_after"] = int(page_settings["silent_after"])
    return page_settings


def _later_members(step: models.StepConfigurationInput) -> dict[str, Any]:
    """Return the members that steps of the first release did not have.

    A missing member stays missing: its default would change the hashes of contents that
    are stored already.
    """
    members: dict[str, Any] = dict(step)
    return {name: members[name] for name in ("after", "units") if name in members}


def _canonicalize_metadata(
    step: models.StepConfigurationInput, pointer: str
) -> list[dict[str, Any]]:
    entries = step.get("metadata_configurations", [])
    _check_unique([entry["name"] for entry in entries], pointer, "name")
    defaults = {"kind": "text", "units": None, "audience": "provider"}
    return [{**defaults, **entry} for entry in entries]


def _check_unique(names: Sequence[str], pointer: str, member: str) -> None:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        first = seen.setdefault(name, index)
        if first != index:
            raise invalid(
                f"{pointer}/{index}/{member}",
                f"is the same as {pointer}/{first}/{member}",
            )


def _differences(old: object, new: object) -> list[str]:
    """Return the differences of two contents, one sentence for each location.

    After `MAX_DIFFERENCES` sentences, a last sentence counts the other differences.
    """
    found = list(_find_differences("", old, new))
    more = len(found) - MAX_DIFFERENCES
    return found[:MAX_DIFFERENCES] + ([f"{more} more"] if more > 0 else [])


def _find_differences(pointer: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _find_differences(
                f"{pointer}/{name}", old.get(name), new.get(name)
            )
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _find_differences(f"{pointer}/{index}", before, after)
    elif isinstance(old, list) and isinstance(new, list):
        yield f"{pointer} has {len(new)} items, was {len(old)}"
    elif old != new:
        values = [shorten(json.dumps(value), MAX_VALUE_LENGTH) for value in (new, old)]
        yield f"{pointer} is {values[0]}, was {values[1]}"


def resolve(
    db: Connection, provider_id: int, name: str, included: Row[Any] | None
) -> Row[Any] | None:
    """Find the configuration of a new job by tag or display name.

    Args:
        db: Connection to read from.
        provider_id: Provider of the job.
        name: Tag, or unambiguous display name; a tag has priority.
        included: Configuration in the request of the job; None without configuration.

    Returns:
        The configuration; None if no configuration has this tag or name.

    Raises:
        Problem: If several tags have this display name, or the request includes a
            configuration with another tag and another display name.
    """
    if included is not None and included.tag == name:
        return included
    of_tag = _latest_of_tag(db, provider_id, name)
    if of_tag is not None:
        return of_tag
    if included is not None and included.name == name:
        return included
    if included is not None:
        raise Problem(
            "conflict",
            "The job's tag is neither tag nor name of the configuration in the request,"
            f" whose tag is {included.tag!r}.",
        )
    tags = stored.list_tags_with_name(db, provider_id, name)
    if len(tags) > 1:
        raise Problem(
            "conflict",
            f"Several job configurations have this name; send one of the tags"
            f" {', '.join(map(repr, tags[:10]))}.",
        )
    if not tags:
        return None
    return _latest_of_tag(db, provider_id, tags[0])


def _latest_of_tag(db: Connection, provider_id: int, tag: str) -> Row[Any] | None:
    """Return the latest revision of a tag; None for an unknown tag."""
    # Only the content of the latest revision is read: contents may be large.
    revisions = stored.list_revisions(db, provider_id, tag)
    if not revisions:
        return None
    return stored.find_configuration(db, provider_id, latest(revisions).id)


def latest(revisions: Sequence[Row[Any]]) -> Row[Any]:
    """Return the revision with the highest SemVer version.

    Without versions, return the newest revision.
    """
    return max(revisions, key=lambda row: (*_precedence(row.version), row.revision))


def latest_ids(revisions: Iterable[Row[Any]]) -> list[int]:
    """Return the id of the latest revision of each tag."""
    by_tag: dict[str, list[Row[Any]]] = {}
    for row in revisions:
        by_tag.setdefault(row.tag, []).append(row)
    return [latest(of_tag).id for of_tag in by_tag.values()]


def _precedence(version: str | None) -> tuple[Any, ...]:
    """Return a sort key for the precedence of SemVer 2.0.0; None sorts first."""
    if version is None:
        return ((), False, ())
    core, _, before_release = version.partition("+")[0].partition("-")
    identifiers = tuple(
        (0, int(part), "") if _NUMBER.fullmatch(part) else (1, 0, part)
        for part in before_release.split(".")
    )
    numbers = tuple(int(part) for part in core.split("."))
    return (numbers, not before_release, identifiers)


class StepNames:
    """Tags and display names of the steps of a configuration.

    Args:
        document: Configuration; None for a job without a configuration.
    """

    def __init__(self, document: Mapping[str, Any] | None) -> None:
        steps = document["step_configurations"] if document else []
        uses = Counter(step["name"] for step in steps)
        self._tags = {
            step["name"]: step["tag"] for step in steps if uses[step["name"]] == 1
        }
        self._tags |= {step["tag"]: step["tag"] for step in steps}

    def find_tag(self, name: str | None) -> str | None:
        """Return the tag of the step with this tag or unambiguous display name.

        A tag has priority over a display name. An unknown name is returned unchanged.
        """
        return None if name is None else self._tags.get(name, name)


def points_of(document: Mapping[str, Any] | None) -> dict[str, int] | None:
    """Return the points of a configuration by step tag, in the order of the steps."""
    if document is None:
        return None
    return {step["tag"]: step["points"] for step in document["step_configurations"]}
