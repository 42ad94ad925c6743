"""Rules of job configurations: sameness, revisions, and which one a name means."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from trackerapi_backend.jobs.step_order import check_order
from trackerapi_backend.problems import Problem, invalid, shortened
from trackerapi_backend.store import configurations as stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from trackerapi_backend.generated import models

MAX_DIFFERENCES = 5
LONGEST_VALUE = 200

_NUMBER = re.compile(r"[0-9]+")


def register(
    db: Connection,
    provider_id: int,
    sent: models.JobConfigurationInput,
    *,
    now: datetime,
    pointer: str = "",
) -> tuple[Row[Any], bool]:
    """Store a configuration unless it is stored; return it and whether it is new.

    Args:
        db: Connection in a transaction.
        provider_id: Whose it becomes.
        sent: What a caller sent; its shape was checked before.
        now: When it was sent.
        pointer: Where in the body it stands.

    Raises:
        Problem: If names in it are not unique, steps of it can never become ready,
            or its version is stored with other content; the difference is spelled
            out.
    """
    document = canonical(sent, pointer)
    content_hash = hashlib.sha256(
        json.dumps(document, sort_keys=True).encode()
    ).digest()
    version = document.get("version")
    tag = document["tag"]
    known = stored.find_content(db, provider_id, tag, content_hash)
    if known is not None:
        return known, False
    other = version and stored.find_version(db, provider_id, tag, version)
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
    }
    return stored.create_configuration(db, values), True


def canonical(sent: models.JobConfigurationInput, pointer: str) -> dict[str, Any]:
    """Return the content with everything said that may be left out.

    Args:
        sent: What a caller sent; its shape was checked before.
        pointer: Where in the body it stands.

    Raises:
        Problem: If names in it are not unique, or steps can never become ready.
    """
    steps = sent["step_configurations"]
    pointer = f"{pointer}/step_configurations"
    _check_unique([step["tag"] for step in steps], pointer, "tag")
    check_order(steps, pointer)
    document: dict[str, Any] = dict(sent)
    document["step_configurations"] = [
        {
            "tag": step["tag"],
            "name": step["name"],
            "points": int(step["points"]),
            "metadata_configurations": _canonical_metadata(
                step, f"{pointer}/{place}/metadata_configurations"
            ),
            # Left out it stays, so that the hashes of older contents stay too.
            **({"after": step["after"]} if "after" in step else {}),
        }
        for place, step in enumerate(steps)
    ]
    return document


def _canonical_metadata(
    step: models.StepConfigurationInput, pointer: str
) -> list[dict[str, Any]]:
    entries = step.get("metadata_configurations", [])
    _check_unique([entry["name"] for entry in entries], pointer, "name")
    left_out = {"kind": "text", "units": None, "audience": "provider"}
    return [{**left_out, **entry} for entry in entries]


def _check_unique(names: Sequence[str], pointer: str, member: str) -> None:
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        first = seen.setdefault(name, place)
        if first != place:
            raise invalid(
                f"{pointer}/{place}/{member}",
                f"is the same as {pointer}/{first}/{member}",
            )


def _differences(old: object, new: object) -> list[str]:
    """Return where two contents differ, a sentence a place, at most a few."""
    found = list(_walk("", old, new))
    more = len(found) - MAX_DIFFERENCES
    return found[:MAX_DIFFERENCES] + ([f"{more} more"] if more > 0 else [])


def _walk(pointer: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _walk(f"{pointer}/{name}", old.get(name), new.get(name))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _walk(f"{pointer}/{place}", before, after)
    elif isinstance(old, list) and isinstance(new, list):
        yield f"{pointer} has {len(new)} items, was {len(old)}"
    elif old != new:
        values = [shortened(json.dumps(value), LONGEST_VALUE) for value in (new, old)]
        yield f"{pointer} is {values[0]}, was {values[1]}"


def resolve(
    db: Connection, provider_id: int, name: str, carried: Row[Any] | None
) -> Row[Any] | None:
    """Return the configuration that a new job's tag or display name means.

    Args:
        db: Connection to read from.
        provider_id: Whose configurations.
        name: A tag, which wins, or an unambiguous display name.
        carried: The configuration that came along with the job.

    Raises:
        Problem: If the name is ambiguous, or not that of `carried`.
    """
    if carried is not None and carried.tag == name:
        return carried
    of_tag = _latest_of_tag(db, provider_id, name)
    if of_tag is not None:
        return of_tag
    if carried is not None and carried.name == name:
        return carried
    if carried is not None:
        raise Problem(
            "conflict",
            "The job's tag is neither tag nor name of the configuration sent along,"
            f" which is {carried.tag!r}.",
        )
    tags = stored.tags_of_name(db, provider_id, name)
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
    """Return the latest revision of a tag, the only one whose content is read."""
    revisions = stored.versions(db, provider_id, tag)
    if not revisions:
        return None
    return stored.find_configuration(db, provider_id, latest(revisions).id)


def latest(revisions: Sequence[Row[Any]]) -> Row[Any]:
    """Return the highest SemVer of a tag, else the newest revision."""
    return max(revisions, key=lambda row: (*_precedence(row.version), row.revision))


def latest_ids(revisions: Iterable[Row[Any]]) -> list[int]:
    """Return the ids of the latest of each tag."""
    by_tag: dict[str, list[Row[Any]]] = {}
    for row in revisions:
        by_tag.setdefault(row.tag, []).append(row)
    return [latest(of_tag).id for of_tag in by_tag.values()]


def _precedence(version: str | None) -> tuple[Any, ...]:
    """Return a key that sorts versions as SemVer 2.0.0 does, none before any."""
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
    """The tags that the steps of a configuration go by.

    Args:
        document: The configuration; None for a job without one.
    """

    def __init__(self, document: Mapping[str, Any] | None) -> None:
        steps = document["step_configurations"] if document else []
        uses = Counter(step["name"] for step in steps)
        self._tags = {
            step["name"]: step["tag"] for step in steps if uses[step["name"]] == 1
        }
        self._tags |= {step["tag"]: step["tag"] for step in steps}

    def tag_of(self, name: str | None) -> str | None:
        """Return the tag meant by a tag, which wins, or an unambiguous name.

        A name that means no step is returned as it is.
        """
        return None if name is None else self._tags.get(name, name)


def points_of(document: Mapping[str, Any] | None) -> dict[str, int] | None:
    """Return the points of a configuration by step tag, in its order."""
    if document is None:
        return None
    return {step["tag"]: step["points"] for step in document["step_configurations"]}
