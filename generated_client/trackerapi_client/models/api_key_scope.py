from enum import StrEnum


class ApiKeyScope(StrEnum):
    ADMIN = "admin"
    INGEST = "ingest"
    READ = "read"

    def __str__(self) -> str:
        return str(self.value)
