"""Numbers, times and sentences of the customer's page in the language of the reader."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from string import Formatter
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from trackerapi_backend.instants import from_micros
from trackerapi_backend.pages.numbers import number_text
from trackerapi_backend.pages.texts import STATES
from trackerapi_backend.pages.words import MONTHS, ORDINALS, WORDS
from trackerapi_backend.pages.zones import abbreviation, in_zone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, tzinfo

    from trackerapi_backend.pages.texts import Sentence, State

_NOW_SECONDS = 10
_MINUTE, _HOUR, _DAY = 60, 60 * 60, 24 * 60 * 60
_GERMAN_SEPARATORS = str.maketrans(",.", ".,")


@dataclass(frozen=True, slots=True)
class Formats:
    """Texts for one request.

    Attributes:
        language: Language of the reader, a key of `LANGUAGES`.
        now: Time of the request, in UTC.
        zone: Time zone of all times.
        root: Path of the public address; all addresses of the page begin with it.
    """

    language: str
    now: datetime
    zone: tzinfo = UTC
    root: str = ""

    def word(self, key: str, **values: Any) -> Markup:
        """Return a text of `WORDS` with escaped values."""
        return Markup(WORDS[self.language][key]).format(**values)  # noqa: S704

    def plural(self, one: str, n: int) -> Markup:
        """Return a counted text, such as `1 minute` or `2 minutes` for `minute`."""
        return self.word(one if n == 1 else f"{one}s", n=self.number(n))

    def headline(self, state: State, values: Mapping[str, Any]) -> Markup:
        """Return the headline of a state."""
        template = STATES[state][self.language].headline
        return Markup(template).format(**values)  # noqa: S704

    def line(self, state: State, values: Mapping[str, Any]) -> Markup:
        """Return the line of a state, without sentences with a value of None."""
        return _fill(STATES[state][self.language].line, values)

    def number(self, value: float) -> str:
        """Return a number with the separators of the language."""
        text = number_text(value)
        return text.translate(_GERMAN_SEPARATORS) if self.language == "de" else text

    def ordinal(self, n: int) -> str | None:
        """Return a word such as `Second`; None for a number without a word."""
        words = ORDINALS[self.language]
        return words[n - 1] if n <= len(words) else None

    def counted(self, value: float, units: str | None) -> Markup:
        """Return a number, followed by its units unless they are None."""
        number = escape(self.number(value))
        return number if units is None else number + " " + self.said(units)

    def said(self, text: str) -> Markup:
        """Return a text of the provider; its script determines its direction."""
        return Markup('<span class="said" dir="auto">{}</span>').format(text)

    def time(self, micros: int) -> Markup:
        """Return a time such as `14:02 CET`, with the day unless it is today."""
        instant = from_micros(micros)
        local, now = in_zone(instant, self.zone), in_zone(self.now, self.zone)
        clock = self._clock(local)
        if local.date() == now.date():
            return self._element(instant, clock)
        is_this_year = local.year == now.year
        day = self._day(local) if is_this_year else self._date(local)
        return self._element(instant, self.word("on_day", clock=clock, day=day))

    def duration(self, seconds: int) -> Markup:
        """Return a duration such as `40 min`, in minutes from one minute on."""
        minutes, hours = seconds // _MINUTE, seconds // _HOUR
        if not minutes:
            text = f"{seconds} s"
        elif not hours:
            text = f"{minutes} min"
        else:
            rest = minutes - hours * 60
            text = f"{hours} h {rest} min" if rest else f"{hours} h"
        return _duration_element(seconds, text)

    def age(self, seconds: int) -> Markup:
        """Return an age in words, such as `8 minutes`, in its largest unit.

        Seconds are rounded down to tens.
        """
        units = (("hour", _HOUR), ("minute", _MINUTE), ("second", 1))
        unit, size = next(each for each in units if seconds >= each[1] or each[1] == 1)
        if unit == "second":
            seconds -= seconds % _NOW_SECONDS
        return self._age_element(seconds, self.plural(unit, seconds // size))

    def every(self, seconds: float) -> Markup:
        """Return an interval such as `every 3 minutes`, rounded to its largest unit.

        Intervals from 10 seconds to a minute are rounded to tens of seconds.
        """
        whole = max(1, round(seconds))
        if whole >= _NOW_SECONDS:
            whole = round(seconds / 10) * 10
        if whole < _MINUTE:
            return self.plural("every_second", whole)
        minutes = round(seconds / _MINUTE)
        if minutes < _HOUR // _MINUTE:
            return self.plural("every_minute", minutes)
        return self.plural("every_hour", round(seconds / _HOUR))

    def reported(self, micros: int, age: int) -> Markup:
        """Return a text such as `Reported 20 seconds ago (14:25 UTC)`."""
        at = self.time(micros).striptags()
        if age >= _DAY:
            text = self.word("reported_earlier", at=at)
        elif age < _NOW_SECONDS:
            text = self.word("reported", age=self.word("now"), at=at)
        else:
            words = self.word("ago", age=self.age(age).striptags())
            text = self.word("reported", age=words, at=at)
        return self._element(from_micros(micros), text, form="reported")

    def as_of(self) -> Markup:
        """Return the time of the request as a sentence."""
        now = in_zone(self.now, self.zone)
        text = self.word("as_of", at=self._clock(now), day=self._date(now))
        return self._element(self.now, text, form="as_of")

    def zone_name(self) -> Markup:
        """Return the name of the time zone, such as `Europe/Berlin (CET)`.

        The script of the page replaces the name by that of the reader's zone.
        """
        short = abbreviation(in_zone(self.now, self.zone), self.language)
        name = str(self.zone)
        text = short if name == short else f"{name} ({short})"
        return Markup('<span id="zone">{}</span>').format(text)

    def _clock(self, local: datetime) -> str:
        return f"{local:%H:%M} {abbreviation(local, self.language)}"

    def _day(self, instant: datetime) -> str:
        month = MONTHS[self.language][instant.month - 1]
        return self.word("day", day=instant.day, month=month)

    def _date(self, instant: datetime) -> str:
        return f"{self._day(instant)} {instant.year}"

    def _element(
        self, instant: datetime, text: str, *, form: str | None = None
    ) -> Markup:
        """Return an element with a time.

        Args:
            instant: The time.
            text: Text of the element.
            form: Form in which the script of the page shows the time in the zone of
                the reader; None for the time only.
        """
        local = in_zone(instant, self.zone)
        zone = abbreviation(local, self.language)
        title = f"{self._date(local)}, {local:%H:%M:%S} {zone}"
        data = Markup(' data-form="{}"').format(form) if form else ""
        element = Markup('<time datetime="{}" title="{}"{}>{}</time>')
        return element.format(instant.isoformat(), title, data, text)

    def _age_element(self, seconds: int, text: str) -> Markup:
        since = self.now - timedelta(seconds=seconds)
        element = Markup(
            '<time datetime="PT{}S" data-form="age" data-since="{}">{}</time>'
        )
        return element.format(seconds, since.isoformat(), text)


def _duration_element(seconds: int, text: str) -> Markup:
    return Markup('<time datetime="PT{}S">{}</time>').format(seconds, text)


def _fill(sentences: Sequence[Sentence], values: Mapping[str, Any]) -> Markup:
    known = {name for name, value in values.items() if value is not None}
    shown = []
    for sentence in sentences:
        variants = (sentence,) if isinstance(sentence, str) else sentence
        usable = (each for each in variants if _names(each) <= known)
        text = next(usable, None)
        if text is not None:
            shown.append(Markup(text).format(**values))  # noqa: S704
    return Markup(" ").join(shown)


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
