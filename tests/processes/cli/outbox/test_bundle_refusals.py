"""Bundles that `import` refuses, and paths that `export` refuses."""

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
    """Write a compressed bundle with one JSON object per line."""
    with gzip.open(bundle, "wb") as file:
        file.writelines(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.mark.parametrize("kept", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_bundle_cut_at_any_byte_is_refused_as_a_whole(
    desk: Desk, office: Desk, bundle: Path, kept: float
) -> None:
    """Import of a truncated bundle ends with status 2 and imports no record."""
    desk.leave(events=300)
    desk.run("outbox", "export", str(bundle))
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(len(content) * kept)])

    done = office.run("outbox", "import", str(bundle))

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.count("\n") == 1
    assert "cut off" in done.err
    assert not office.outbox.exists()


def test_bundle_with_a_missing_or_extra_line_is_refused(
    desk: Desk, office: Desk, bundle: Path
) -> None:
    """Import refuses a bundle with a missing, an extra or a malformed line."""
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
    """Import refuses a bundle with one changed byte and imports no record."""
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
    """Import refuses a bundle of format 2 and advises an update of trackerapi."""
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
    """Import of a file in another format prints one line that names the file."""
    bundle.write_bytes(content)

    done = office.run("outbox", "import", str(bundle))

    assert done.status == USAGE
    assert done.err == f"trackerapi: {bundle} is not a trackerapi bundle\n"


def test_export_never_overwrites_a_file(desk: Desk, bundle: Path) -> None:
    """Export to an existing path ends with status 2; file and records are unchanged."""
    desk.leave()
    bundle.write_text("of yesterday")

    done = desk.run("outbox", "export", str(bundle), "--remove")

    assert done.status == USAGE
    assert "exists already" in done.err
    assert bundle.read_text() == "of yesterday"
    assert [file["waiting"] for file in desk.files] == [4]


def test_export_of_nothing_writes_no_file(desk: Desk, bundle: Path) -> None:
    """Export of an empty outbox prints "nothing to export" and ends with status 0."""
    done = desk.run("outbox", "export", str(bundle))

    assert (done.status, done.out) == (FINE, "nothing to export\n")
    assert not bundle.exists()


def test_export_leaves_damaged_records_out(
    desk: Desk, office: Desk, bundle: Path
) -> None:
    """A damaged record is counted and left out; the other records are exported."""
    job_id = desk.leave(events=1)
    with desk.paths[0].open("ab") as file:
        file.write(b"damaged\n")

    done = desk.run("outbox", "export", str(bundle))

    assert done.err == "trackerapi: 1 damaged record left out\n"
    office.run("outbox", "import", str(bundle))
    office.run("sync")
    assert office.messages(job_id) == ["line 0"]


def test_export_names_files_that_it_cannot_read(desk: Desk, bundle: Path) -> None:
    """A file of a later version is counted and left out; export ends with status 1."""
    desk.leave()
    (path,) = desk.paths
    later = path.read_bytes().replace(b'_outbox": 1', b'_outbox": 2')
    path.with_name("later.outbox").write_bytes(later)

    done = desk.run("outbox", "export", str(bundle), "--json")

    assert (done.status, done.json["waiting"]) == (UNAVAILABLE, 4)
    assert "1 file that cannot be read left out" in done.err


@pytest.mark.parametrize("command", ["export", "import"])
def test_unwritable_path_is_one_line(
    desk: Desk, office: Desk, bundle: Path, command: str
) -> None:
    """An unwritable path ends with status 2 and one line on standard error."""
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
    """Import without an address and a key ends with status 2."""
    desk.leave()
    desk.run("outbox", "export", str(bundle))

    done = office.run("outbox", "import", str(bundle), **NO_SETTINGS)

    assert done.status == USAGE
    assert "TRACKERAPI_BASE_URL" in done.err


def test_export_to_a_full_disk_leaves_nothing_behind(desk: Desk, bundle: Path) -> None:
    """If the disk is full, export removes its partial bundle and keeps all records."""
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
    """If the disk is full, import ends with status 2 and leaves no file."""
    desk.leave(events=300)
    desk.run("outbox", "export", str(bundle))

    done = office.spawn("outbox", "import", str(bundle), limit="-f 1")

    assert (done.status, done.out, done.err.count("\n")) == (USAGE, "", 1)
    assert done.err.startswith(f"trackerapi: cannot write the outbox {office.outbox}: ")
    assert list(office.outbox.iterdir()) == []
