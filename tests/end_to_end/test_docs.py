"""Pages of docs/: each marked block works as printed on a real backend."""

from pathlib import Path

import pytest

from demo.backend import DemoBackend, start_backend
from scripts.project import ROOT
from tests.support.documents import marked_blocks, run

PAGES = sorted(
    path.name for path in ROOT.glob("docs/*.md") if "```" in path.read_text()
)


@pytest.fixture
def backend(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Run one backend for each page: pages use fixed job ids."""
    with start_backend(tmp_path_factory.mktemp("backend")) as own:
        yield own


@pytest.mark.parametrize("page", PAGES)
def test_page_works_as_printed(page: str, backend: DemoBackend, tmp_path: Path) -> None:
    """The blocks of a page, written or run in order, print the documented output."""
    printed = ""
    blocks = marked_blocks(ROOT / "docs" / page)
    for block in blocks:
        if block.is_output:
            assert printed == block.text
        elif block.file_name:
            (tmp_path / block.file_name).write_text(block.text, encoding="utf-8")
        else:
            printed = run(
                ["bash", "-euc", block.text],
                tmp_path,
                TRACKERAPI_BASE_URL=backend.base_url,
                TRACKERAPI_API_KEY=backend.api_key,
            )

    assert blocks
