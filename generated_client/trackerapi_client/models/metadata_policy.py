from enum import StrEnum


class MetadataPolicy(StrEnum):
    DECLARED = "declared"

    def __str__(self) -> str:
        return str(self.value)
