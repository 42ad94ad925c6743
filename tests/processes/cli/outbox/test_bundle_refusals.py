"""Bundles that `import` refuses, and paths that `export` refuses."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.leftovers import (
    NO_SETTINGS,
    Machine,
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
    machine: Machine, second_machine: Machine, bundle: Path, kept: float
) -> None:
    """Import of a truncated bundle ends with status 2 and imports no record."""
    machine.leave(events=300)
    machine.run("outbox", "export", str(bundle))
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(len(content) * kept)])

    done = second_machine.run("outbox", "import", str(bundle))

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.count("\n") == 1
    assert "cut off" in done.err
    assert not second_machine.outbox.exists()


def test_bundle_with_a_missing_or_extra_line_is_refused(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """Import refuses a bundle with a missing, an extra or a malformed line."""
    machine.leave()
    machine.run("outbox", "export", str(bundle))
    lines = lines_of(bundle)

    for wrong, reason in (
        (lines[:1] + lines[2:], "damaged"),
        ([*lines, lines[1]], "damaged"),
        (lines[:-1], "cut off"),
        ([lines[0], {"record": "text"}, lines[-1]], "damaged"),
    ):
        write(bundle, wrong)
        done = second_machine.run("outbox", "import", str(bundle))
        assert done.status == USAGE
        assert reason in done.err
    assert not second_machine.outbox.exists()


def test_bundle_with_a_wrong_byte_is_refused(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """Import refuses a bundle with one changed byte and imports no record."""
    machine.leave(events=300)
    machine.run("outbox", "export", str(bundle))
    content = bytearray(bundle.read_bytes())
    content[len(content) // 2] ^= 0xFF
    bundle.write_bytes(content)

    done = second_machine.run("outbox", "import", str(bundle))

    assert (done.status, done.err.count("\n")) == (USAGE, 1)
    assert not second_machine.outbox.exists()


def test_bundle_of_a_later_version_is_refused(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """Import refuses a bundle of format 2 and advises an update of trackerapi."""
    machine.leave()
    machine.run("outbox", "export", str(bundle))
    header, *rest = lines_of(bundle)
    write(bundle, [{**header, "trackerapi_bundle": 2}, *rest])

    done = second_machine.run("outbox", "import", str(bundle))

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
    second_machine: Machine, bundle: Path, content: bytes
) -> None:
    """Import of a file in another format prints one line that names the file."""
    bundle.write_bytes(content)

    done = second_machine.run("outbox", "import", str(bundle))

    assert done.status == USAGE
    assert done.err == f"trackerapi: {bundle} is not a trackerapi bundle\n"


def test_export_never_overwrites_a_file(machine: Machine, bundle: Path) -> None:
    """Export to an existing path ends with status 2; file and records are unchanged."""
    machine.leave()
    bundle.write_text("of yesterday")

    done = machine.run("outbox", "export", str(bundle), "--remove")

    assert done.status == USAGE
    assert "exists already" in done.err
    assert bundle.read_text() == "of yesterday"
    assert [file["waiting"] for file in machine.files] == [4]


def test_export_of_nothing_writes_no_file(machine: Machine, bundle: Path) -> None:
    """Export of an empty outbox prints "nothing to export" and ends with status 0."""
    done = machine.run("outbox", "export", str(bundle))

    assert (done.status, done.out) == (FINE, "nothing to export\n")
    assert not bundle.exists()


def test_export_leaves_damaged_records_out(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """A damaged record is counted and left out; the other records are exported."""
    job_id = machine.leave(events=1)
    with machine.paths[0].open("ab") as file:
        file.write(b"damaged\n")

    done = machine.run("outbox", "export", str(bundle))

    assert done.err == "trackerapi: 1 damaged record left out\n"
    second_machine.run("outbox", "import", str(bundle))
    second_machine.run("sync")
    assert second_machine.messages(job_id) == ["line 0"]


def test_export_names_files_that_it_cannot_read(machine: Machine, bundle: Path) -> None:
    """A file of a later version is counted and left out; export ends with status 1."""
    machine.leave()
    (path,) = machine.paths
    later = path.read_bytes().replace(b'_outbox": 1', b'_outbox": 2')
    path.with_name("later.outbox").write_bytes(later)

    done = machine.run("outbox", "export", str(bundle), "--json")

    assert (done.status, done.json["waiting"]) == (UNAVAILABLE, 4)
    assert "1 file that cannot be read left out" in done.err


@pytest.mark.parametrize("command", ["export", "import"])
def test_unwritable_path_is_one_line(
    machine: Machine, second_machine: Machine, bundle: Path, command: str
) -> None:
    """An unwritable path ends with status 2 and one line on standard error."""
    machine.leave()
    if command == "export":
        done = machine.run("outbox", "export", "/dev/null/reports.bundle")
    else:
        machine.run("outbox", "export", str(bundle))
        second_machine.outbox.parent.joinpath("file").write_text("")
        second_machine.outbox = second_machine.outbox.parent / "file" / "outbox"
        done = second_machine.run("outbox", "import", str(bundle))

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.count("\n") == 1


def test_import_without_settings_is_wrong_usage(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """Import without an address and a key ends with status 2."""
    machine.leave()
    machine.run("outbox", "export", str(bundle))

    done = second_machine.run("outbox", "import", str(bundle), **NO_SETTINGS)

    assert done.status == USAGE
    assert "TRACKERAPI_BASE_URL" in done.err


def test_export_to_a_full_disk_leaves_nothing_behind(
    machine: Machine, bundle: Path
) -> None:
    """If the disk is full, export removes its partial bundle and keeps all records."""
    machine.leave(events=300)
    before = machine.texts()

    done = machine.spawn("outbox", "export", str(bundle), "--remove", limit="-f 1")

    assert (done.status, done.out, done.err.count("\n")) == (USAGE, "", 1)
    assert done.err.startswith(f"trackerapi: cannot write {bundle}: ")
    assert not bundle.exists()
    assert machine.texts() == before


def test_import_to_a_full_disk_leaves_nothing_behind(
    machine: Machine, second_machine: Machine, bundle: Path
) -> None:
    """If the disk is full, import ends with status 2 and leaves no file."""
    machine.leave(events=300)
    machine.run("outbox", "export", str(bundle))

    done = second_machine.spawn("outbox", "import", str(bundle), limit="-f 1")

    assert (done.status, done.out, done.err.count("\n")) == (USAGE, "", 1)
    assert done.err.startswith(
        f"trackerapi: cannot write the outbox {second_machine.outbox}: "
    )
    assert list(second_machine.outbox.iterdir()) == []
