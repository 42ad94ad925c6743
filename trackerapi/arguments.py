"""Checks of arguments that Python itself does not make."""

from collections.abc import Collection
from collections.abc import Set as AbstractSet


def refuse_unknown(call: str, given: AbstractSet[str], known: AbstractSet[str]) -> None:
    """Refuse keyword arguments that a call does not have.

    Args:
        call: Name of what was called, for the error.
        given: Names of the arguments.
        known: Names that the call has.

    Raises:
        TypeError: If one is unknown, so that a typo is not taken for "not given".
    """
    for name in sorted(given - known):
        raise TypeError(f"{call}() got an unexpected keyword argument {name!r}")


def check_words(argument: str, values: object, known: Collection[str]) -> list[str]:
    """Return `values` as a list if each is a known word.

    Args:
        argument: Name of the argument, for the error.
        values: What the caller gave; a list or another collection of words.
        known: The words there are.

    Raises:
        TypeError: If it is no collection; a text alone is none.
        ValueError: If a word is unknown.
    """
    if isinstance(values, str) or not isinstance(values, Collection):
        kind = type(values).__name__
        raise TypeError(f"{argument} must be a list of words, got {kind}")
    words: list[str] = list(values)
    for word in words:
        if word not in known:
            listed = ", ".join(map(repr, known))
            raise ValueError(f"{argument} must hold words of {listed}, got {word!r}")
    return words
