"""Names of a job's configuration in the language of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConfiguredTexts:
    """Texts of a configuration in one language, or else its own names and units.

    Args:
        texts: Texts of the configuration, by language tag.
        language: Language of the page, such as `de`. Without texts in `de`, the first
            texts in a regional form such as `de-AT` count.
    """

    def __init__(self, texts: Mapping[str, Any], language: str) -> None:
        regional = (tag for tag in texts if tag.startswith(f"{language}-"))
        tag = language if language in texts else next(regional, None)
        self._texts: Mapping[str, Any] = texts[tag] if tag else {}

    def job_name(self, configured: str) -> str:
        """Return the name of the job; `configured` is the name without texts."""
        return str(self._texts.get("name", configured))

    def step_name(self, step: Mapping[str, Any]) -> str:
        """Return the name of a step of the configuration."""
        return str(self._step_texts(step).get("name", step["name"]))

    def units(self, step: Mapping[str, Any]) -> str | None:
        """Return the name of the units that a step counts; None without a name."""
        units: str | None = self._step_texts(step).get("units", step.get("units"))
        return units

    def metadata_name(self, key: str) -> str:
        """Return the name of a metadata key."""
        return str(self._texts.get("metadata", {}).get(key, key))

    def _step_texts(self, step: Mapping[str, Any]) -> Mapping[str, Any]:
        texts: Mapping[str, Any] = self._texts.get("steps", {}).get(step["tag"], {})
        return texts
