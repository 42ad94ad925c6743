"""The blocks of a document that a reader would write into files or run."""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"<!-- (?P<what>run|prints|file: (?P<name>[\w.]+)) -->\n```\w+\n(?P<text>.*?)```",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One marked block.

    Attributes:
        file_name: File that holds the text; None for commands and what they print.
        is_output: Whether it is what the commands before it print.
        text: The text between the fences.
    """

    file_name: str | None
    is_output: bool
    text: str


def marked_blocks(path: Path) -> list[Block]:
    """Return the marked blocks of a document, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(found["name"], found["what"] == "prints", found["text"])
        for found in _BLOCK.finditer(text)
    ]
