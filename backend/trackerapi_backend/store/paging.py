"""Pages of a list by key (keyset pagination): the last page is as fast as the first.

A cursor is the key of the last item of the previous page. A cursor is valid for any
filter, and new items do not shift later pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Column, Connection, Row, Select

DEFAULT_LIMIT = 50
MAX_PAGE_LENGTH = 200
MAX_WEIGHT = 4 * 1024 * 1024
"""Maximum total weight of the items of one page: about their length in characters."""

_CURSOR_VERSION = "c1"


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a list that one page covers.

    Attributes:
        after: Key of the last item of the previous page; None for the first page.
        limit: Maximum number of items in the page, 1 to 200.
    """

    after: int | None = None
    limit: int = DEFAULT_LIMIT

    @property
    def cursor(self) -> str:
        """Cursor of the page, in the form that callers send."""
        return f"{_CURSOR_VERSION}{self.after or 0:x}"

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Span:
        """Return the span for the valid parameters `cursor` and `limit`."""
        cursor = parameters.get("cursor")
        after = None if cursor is None else int(cursor[len(_CURSOR_VERSION) :], 16)
        return cls(after, parameters.get("limit", DEFAULT_LIMIT))


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Attributes:
        next_span: Span of the next page; None after the last page.
    """

    rows: Sequence[Row[Any]]
    next_span: Span | None

    @property
    def next_cursor(self) -> str | None:
        """Cursor of the next page; None after the last page."""
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
    """Read one page of a list, in the order of `key`.

    Args:
        db: Connection to read from.
        query: Query of the whole list; its rows have `key` under the column's name.
        key: Unique column; larger for newer items.
        span: Part of the list to read.
        ascending: Whether the oldest item comes first.
        weigh: Function that returns the weight of a row, called in the order of the
            rows. A page ends before its weight exceeds `MAX_WEIGHT`, but has at
            least one item.
    """
    rows: list[Row[Any]] = []
    weight = 0
    with db.execute(select_span(query, key, span, ascending=ascending)) as found:
        for row in found:
            weight += weigh(row)
            if len(rows) == span.limit or (rows and weight > MAX_WEIGHT):
                return Page(rows, Span(getattr(rows[-1], key.key), span.limit))
            rows.append(row)
    return Page(rows, None)


def fetch_all(fetch: Callable[[Span], Page]) -> Iterator[Row[Any]]:
    """Yield all rows of a list; `fetch` reads one page."""
    span: Span | None = Span(limit=MAX_PAGE_LENGTH)
    while span is not None:
        page = fetch(span)
        yield from page.rows
        span = page.next_span


def select_span(
    query: Select[Any], key: Column[int], span: Span, *, ascending: bool = False
) -> Select[Any]:
    """Return the query of a span in the order of `key`.

    The query returns up to one row more than the limit of the span: the additional row
    shows that another page follows.
    """
    if span.after is not None:
        query = query.where(key > span.after if ascending else key < span.after)
    return query.order_by(key if ascending else key.desc()).limit(span.limit + 1)
