"""Provider memory (the file `FILE_NAME`): oversized files, and a pipe in its place."""

import json
import os
import threading
from pathlib import Path

from trackerapi.outbox.header import Binding
from trackerapi.outbox.providers import FILE_NAME, MAX_BYTES, Providers

BINDING = Binding(base_url="http://127.0.0.1:9", key_id="mine")


def line_of(key_id: str, provider_id: int) -> str:
    """Return a line of the provider memory."""
    members = {"base_url": BINDING.base_url, "key_id": key_id}
    return json.dumps({**members, "provider_id": provider_id}) + "\n"


def test_pipe_in_place_of_the_memory_does_not_block(tmp_path: Path) -> None:
    """A pipe without a writer yields no provider and does not block."""
    os.mkfifo(tmp_path / FILE_NAME)
    known: list[int | None] = []

    def ask() -> None:
        providers = Providers(tmp_path)
        providers.remember(BINDING, 1)
        known.append(providers.find(BINDING))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(60)

    assert known == [None]


def test_huge_memory_is_read_from_its_end_and_shrinks(tmp_path: Path) -> None:
    """Of an oversized file the newest lines are read; the next write shortens it."""
    memory = tmp_path / FILE_NAME
    others = "".join(line_of(f"other-{number}", 7) for number in range(100_000))
    memory.write_text(line_of("mine", 5) + others + line_of("mine", 6))
    assert memory.stat().st_size > 5 * MAX_BYTES
    providers = Providers(tmp_path)

    assert providers.find(BINDING) == 6
    providers.remember(BINDING, 8)

    assert memory.stat().st_size < MAX_BYTES
    assert Providers(tmp_path).find(BINDING) == 8
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
