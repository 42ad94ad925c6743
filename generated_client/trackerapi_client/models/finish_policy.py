from enum import StrEnum


class FinishPolicy(StrEnum):
    AUTO = "auto"
    EXPLICIT = "explicit"

    def __str__(self) -> str:
        return str(self.value)
