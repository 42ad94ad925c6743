"""The memory of providers, and files in its place that are damaged or no file."""

import json
import os
import threading
from pathlib import Path

from trackerapi.outbox.header import Binding
from trackerapi.outbox.providers import FILE_NAME, MAX_BYTES, Providers

BINDING = Binding(base_url="http://127.0.0.1:9", key_id="mine")


def line_of(key_id: str, provider_id: int) -> str:
    """Return a line of the memory."""
    members = {"base_url": BINDING.base_url, "key_id": key_id}
    return json.dumps({**members, "provider_id": provider_id}) + "\n"


def test_pipe_in_place_of_the_memory_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to knows no provider, and holds nobody up."""
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
    """Of a file beyond all bounds the newest lines count; the next line shortens it."""
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
