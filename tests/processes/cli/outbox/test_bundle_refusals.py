"""Bundles and places that `trackerapi outbox export` and `import` refuse."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.leftovers import (
    NO_SETTINGS,
    Desk,
    lines_of,
)
from trackerapi.cli.exit_statuses import (
    FINE,
    UNAVAILABLE,
    USAGE,
)


def write(bundle: Path, lines: list[dict[str, Any]]) -> None:
    """Write a bundle of these lines."""
    with gzip.open(bundle, "wb") as file:
        file.writelines(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_bundle_that_was_cut_off_is_refused_as_a_whole(
    desk: Desk, office: Desk, bundle: Path, kept: float
) -> None:
    """Wherever the copy broke off, nothing of it is taken in."""
    desk.leave(events=300)
    desk.run("outbox", "export", str(bundle))
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(len(content) * kept)])

    done = office.run("outbox", "import", str(bundle))

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.count("\n") == 1
    assert "cut off" in done.err
    assert not office.outbox.exists()


def test_bundle_with_a_line_less_or_more_is_refused(
    desk: Desk, office: Desk, bundle: Path
) -> None:
    """The last line holds the count, and nothing follows it."""
    desk.leave()
    desk.run("outbox", "export", str(bundle))
    lines = lines_of(bundle)

    for wrong, told in (
        (lines[:1] + lines[2:], "damaged"),
        ([*lines, lines[1]], "damaged"),
        (lines[:-1], "cut off"),
        ([lines[0], {"record": "text"}, lines[-1]], "damaged"),
    ):
        write(bundle, wrong)
        done = office.run("outbox", "import", str(bundle))
        assert done.status == USAGE
        assert told in done.err
    assert not office.outbox.exists()


def test_bundle_with_a_wrong_byte_is_refused(
    desk: Desk, office: Desk, bundle: Path
) -> None:
    """A medium that rots is found out."""
    desk.leave(events=300)
    desk.run("outbox", "export", str(bundle))
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 0xFF
    bundle.write_bytes(content)

    done = office.run("outbox", "import", str(bundle))

    assert (done.status, done.err.count("\n")) == (USAGE, 1)
    assert not office.outbox.exists()


def test_bundle_of_a_later_version_is_refused(
    desk: Desk, office: Desk, bundle: Path
) -> None:
    """What a later version means is not guessed."""
    desk.leave()
    desk.run("outbox", "export", str(bundle))
    header, *rest = lines_of(bundle)
    write(bundle, [{**header, "trackerapi_bundle": 2}, *rest])

    done = office.run("outbox", "import", str(bundle))

    assert done.status == USAGE
    assert "update trackerapi" in done.err


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello\n",
        gzip.compress(b"", mtime=0),
        gzip.compress(b"hello\n", mtime=0),
        b'{"a": 1}\n',
    ],
)
def test_file_that_is_no_bundle_is_refused(
    office: Desk, bundle: Path, content: bytes
) -> None:
    """Another file by mistake is one clear line."""
    bundle.write_bytes(content)

    done = office.run("outbox", "import", str(bundle))

    assert done.status == USAGE
    assert done.err == f"trackerapi: {bundle} is no bundle of trackerapi\n"


def test_export_never_overwrites_a_file(desk: Desk, bundle: Path) -> None:
    """A bundle of yesterday is not lost for one of today."""
    desk.leave()
    bundle.write_text("of yesterday")

    done = desk.run("outbox", "export", str(bundle), "--remove")

    assert done.status == USAGE
    assert "exists already" in done.err
    assert bundle.read_text() == "of yesterday"
    assert [file["waiting"] for file in desk.files] == [4]


def test_export_of_nothing_writes_no_file(desk: Desk, bundle: Path) -> None:
    """An empty bundle would only be carried in vain."""
    done = desk.run("outbox", "export", str(bundle))

    assert (done.status, done.out) == (FINE, "nothing to export\n")
    assert not bundle.exists()


def test_export_leaves_damaged_records_out(
    desk: Desk, office: Desk, bundle: Path
) -> None:
    """What no machine can read is counted, and harms no other record."""
    job_id = desk.leave(events=1)
    with desk.paths[0].open("ab") as file:
        file.write(b"damaged\n")

    done = desk.run("outbox", "export", str(bundle))

    assert done.err == "trackerapi: 1 damaged record left out\n"
    office.run("outbox", "import", str(bundle))
    office.run("sync")
    assert office.messages(job_id) == ["line 0"]


def test_export_tells_files_that_it_cannot_read(desk: Desk, bundle: Path) -> None:
    """A file of a later version is left, and the status says so."""
    desk.leave()
    (path,) = desk.paths
    later = path.read_bytes().replace(b'_outbox": 1', b'_outbox": 2')
    path.with_name("later.outbox").write_bytes(later)

    done = desk.run("outbox", "export", str(bundle), "--json")

    assert (done.status, done.json["waiting"]) == (UNAVAILABLE, 4)
    assert "1 file that cannot be read left out" in done.err


@pytest.mark.parametrize("command", ["export", "import"])
def test_place_that_cannot_be_written_is_told(
    desk: Desk, office: Desk, bundle: Path, command: str
) -> None:
    """One line, no traceback, and nothing half done."""
    desk.leave()
    if command == "export":
        done = desk.run("outbox", "export", "/dev/null/reports.bundle")
    else:
        desk.run("outbox", "export", str(bundle))
        office.outbox.parent.joinpath("file").write_text("")
        office.outbox = office.outbox.parent / "file" / "outbox"
        done = office.run("outbox", "import", str(bundle))

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.count("\n") == 1


def test_import_without_settings_is_wrong_usage(
    desk: Desk, office: Desk, bundle: Path
) -> None:
    """Where the records are to go has to be known."""
    desk.leave()
    desk.run("outbox", "export", str(bundle))

    done = office.run("outbox", "import", str(bundle), **NO_SETTINGS)

    assert done.status == USAGE
    assert "TRACKERAPI_BASE_URL" in done.err


def test_export_to_a_full_disk_leaves_nothing_behind(desk: Desk, bundle: Path) -> None:
    """Half a bundle is not left where somebody could take it for a whole one."""
    desk.leave(events=300)
    before = desk.texts()

    done = desk.spawn("outbox", "export", str(bundle), "--remove", limit="-f 1")

    assert (done.status, done.out, done.err.count("\n")) == (USAGE, "", 1)
    assert done.err.startswith(f"trackerapi: cannot write {bundle}: ")
    assert not bundle.exists()
    assert desk.texts() == before


def test_import_to_a_full_disk_leaves_nothing_behind(
    desk: Desk, office: Desk, bundle: Path
) -> None:
    """A part of a bundle is not taken in."""
    desk.leave(events=300)
    desk.run("outbox", "export", str(bundle))

    done = office.spawn("outbox", "import", str(bundle), limit="-f 1")

    assert (done.status, done.out, done.err.count("\n")) == (USAGE, "", 1)
    assert done.err.startswith(f"trackerapi: cannot write the outbox {office.outbox}: ")
    assert list(office.outbox.iterdir()) == []
