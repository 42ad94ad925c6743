"""What a rule of the dialect says about one place of the contract."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and its mend.

    Attributes:
        place: JSON pointer into the contract.
        fault: What is wrong there.
        mend: What to write instead.
    """

    place: str
    fault: str
    mend: str

    def __str__(self) -> str:
        return f"{self.place}: {self.fault}; {self.mend}"
