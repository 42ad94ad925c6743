"""Findings of the dialect's rules about the contract."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A construct that the generator compiles wrongly, and its fix.

    Attributes:
        place: JSON pointer into the contract.
        fault: The fault in words.
        fix: The construct to write instead.
    """

    place: str
    fault: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place}: {self.fault}; {self.fix}"
