"""Keyword arguments of typed dictionaries, refused as Python refuses its own."""

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
