"""One change between two contracts, in words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between two contracts, and its effect on present clients.

    Attributes:
        place: Location in names of the contract, such as `JobInput.tag`.
        what: The change in words.
        breaking: Whether a client made from the old contract may fail.
    """

    place: str
    what: str
    breaking: bool

    def __str__(self) -> str:
        return (
            f"{'breaking' if self.breaking else 'additive'}: {self.place}: {self.what}"
        )
