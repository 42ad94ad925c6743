"""Pages of a list by key: a page costs the same however far back it lies.

A cursor is the key of the last item seen, so any cursor fits any filter, and items
that come in between neither shift nor repeat others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, Connection, Row, Select

DEFAULT_LIMIT = 50
LONGEST_PAGE = 200
MAX_WEIGHT = 4 * 1024 * 1024
"""Characters of configurations that one page may need."""

_CURSOR_VERSION = "c1"


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a list is asked for.

    Attributes:
        after: Key of the last item of the page before; None for the first page.
        limit: Items in a page, 1 to 200.
    """

    after: int | None = None
    limit: int = DEFAULT_LIMIT

    @property
    def cursor(self) -> str:
        """Where it begins, as callers send it."""
        return f"{_CURSOR_VERSION}{self.after or 0:x}"

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Span:
        """Return what the parameters `cursor` and `limit` ask for; both valid."""
        cursor = parameters.get("cursor")
        after = None if cursor is None else int(cursor[len(_CURSOR_VERSION) :], 16)
        return cls(after, parameters.get("limit", DEFAULT_LIMIT))


@dataclass(frozen=True, slots=True)
class Page:
    """One part of a list.

    Attributes:
        next_span: What follows it; None at the end.
    """

    rows: Sequence[Row[Any]]
    next_span: Span | None

    @property
    def next_cursor(self) -> str | None:
        """What a caller sends for the next page; None at the end."""
        return None if self.next_span is None else self.next_span.cursor


def fetch_page(
    db: Connection,
    query: Select[Any],
    key: Column[int],
    span: Span,
    *,
    ascending: bool = False,
    weigh: Callable[[Row[Any]], int] = lambda _row: 0,
) -> Page:
    """Return the part of `query` that `span` asks for, in the order of `key`.

    Args:
        db: Connection to read from.
        query: All items; its rows carry `key` under the name of its column.
        key: Unique column that grows with the age of the list.
        span: The part.
        ascending: Oldest first; otherwise newest first.
        weigh: What a row adds to the weight of a page, in the order of the rows; a
            page of more than `MAX_WEIGHT` ends early, but has one item at least.
    """
    rows: list[Row[Any]] = []
    weight = 0
    with db.execute(part_of(query, key, span, ascending=ascending)) as found:
        for row in found:
            weight += weigh(row)
            if len(rows) == span.limit or (rows and weight > MAX_WEIGHT):
                return Page(rows, Span(getattr(rows[-1], key.key), span.limit))
            rows.append(row)
    return Page(rows, None)


def part_of(
    query: Select[Any], key: Column[int], span: Span, *, ascending: bool = False
) -> Select[Any]:
    """Return the query of a part of a list and of one item more, in order."""
    if span.after is not None:
        query = query.where(key > span.after if ascending else key < span.after)
    return query.order_by(key if ascending else key.desc()).limit(span.limit + 1)
