from enum import StrEnum


class MetadataKind(StrEnum):
    LINK = "link"
    NUMBER = "number"
    TEXT = "text"

    def __str__(self) -> str:
        return str(self.value)
