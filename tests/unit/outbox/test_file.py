"""One outbox file: records, header, position, claims and archiving."""

import errno
import fcntl
import json
import os
import resource
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.lines import creation_line, event_line, event_lines
from tests.support.no_locks import forbid_locks
from tests.support.reporting_process import BINDING
from tests.support.small_disk import SmallDisk
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.header import FORMAT_VERSION, Binding, Header

A_MIB = 1024 * 1024

# A leftover file of the first release; keep these bytes unchanged.
VERSION_1 = (
    b'{"trackerapi_outbox": 1, "base_url": "http://backend.test", '
    b'"key_id": "3kTMd9aZ", "provider_id": null, '
    b'"created_at": "2026-11-24T12:00:00Z"}' + b" " * 64 + b"\n"
    b'{"create_job":{"provider_job_id":"import-42","customer_id":142,'
    b'"tag":"import"},"state":"waiting"}\n'
    b'{"event_id":"019ab4c2-7a10-7c3e-9d55-0f6a3b1c2d3e",'
    b'"provider_job_id":"import-42","kind":"start","tag":"download",'
    b'"occurred_at":"2026-11-24T12:00:01.000000Z"}\n'
    b'{"event_id":"019ab4c2-7a11-7c3e-9d55-0f6a3b1c2d3f",'
    b'"provider_job_id":"import-42","kind":"step","tag":"download",'
    b'"occurred_at":"2026-11-24T12:00:02.000000Z"}\n'
)
VERSION_1_HEADER_BYTES = VERSION_1.index(b"\n") + 1
VERSION_1_POSITION = VERSION_1.index(b'{"event_id":"019ab4c2-7a11')
VERSION_1_ACK = (
    f'{{"position": {VERSION_1_POSITION}, "delivered": 1, "dropped": 0}}'.ljust(159)
    + "\n"
).encode()


def claim_file(path: Path) -> OutboxFile:
    """Claim a leftover file and return it."""
    file = OutboxFile.claim(path)
    assert file is not None
    return file


def undelivered_records(file: OutboxFile) -> list[bytes]:
    """Return the undelivered records, and release the file."""
    lines = file.peek(A_MIB).splitlines(keepends=True)
    file.close()
    return lines


def leftover_of(folder: Path, lines: list[bytes]) -> Path:
    """Return the leftover file of a process that recorded lines."""
    file = OutboxFile.create(folder, BINDING)
    for line in lines:
        file.append(line)
    file.close()
    return file.path


def test_only_its_user_can_read_an_outbox(folder: Path) -> None:
    """With umask 0 the folder has mode 700 and each file in it mode 600."""
    before = os.umask(0)
    try:
        file = OutboxFile.create(folder, BINDING)
        file.append(event_line())
        file.settle(file.undelivered_bytes, 1, delivered=1)
        file.close()
    finally:
        os.umask(before)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_record_has_left_the_process_when_append_returns(folder: Path) -> None:
    """When `append()` returns, the file contains the record, byte for byte."""
    file, line = OutboxFile.create(folder, BINDING), event_line()

    file.append(line)

    assert file.path.read_bytes().partition(b"\n")[2] == line
    file.close()


def test_cut_file_keeps_its_whole_lines(folder: Path) -> None:
    """A file cut at any byte yields exactly the lines before the cut."""
    lines = event_lines(3)
    path = leftover_of(folder, lines)
    content = path.read_bytes()
    start = content.index(b"\n") + 1

    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        file = OutboxFile.claim(path)
        if cut < start:
            assert file is None, cut
        else:
            assert file is not None, cut
            whole = content[start:cut].splitlines(keepends=True)
            expected = [line for line in whole if line.endswith(b"\n")]
            assert file.undelivered_bytes == sum(map(len, expected)), cut
            assert undelivered_records(file) == expected, cut


def test_torn_line_longer_than_one_read_is_left_out(folder: Path) -> None:
    """A torn last line of 300 kB is ignored; the whole line before it is kept."""
    line = event_line()
    path = leftover_of(folder, [line])
    with path.open("ab") as file:
        file.write(event_line(message="x" * 300_000)[:-1])

    taken = claim_file(path)
    assert taken.undelivered_bytes == len(line)
    assert undelivered_records(taken) == [line]


@pytest.mark.parametrize("room_bytes", [0, 1, 50])
def test_record_that_finds_no_room_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, room_bytes: int
) -> None:
    """A record that a full disk cut short is removed; the next record is whole."""
    disk = SmallDisk(monkeypatch, folder)
    file = OutboxFile.create(folder, BINDING)
    first, refused, last = event_lines(3)
    file.append(first)

    disk.room_bytes = room_bytes
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the code is looked at
        file.append(refused)
    disk.room_bytes = None
    file.append(last)

    assert caught.value.errno == errno.ENOSPC
    assert file.appended == 2
    assert file.peek(A_MIB).splitlines(keepends=True) == [first, last]
    file.close()
    assert undelivered_records(claim_file(file.path)) == [first, last]


def test_record_beyond_a_file_size_limit_leaves_nothing_behind(
    folder: Path,
) -> None:
    """A record cut short by the file size limit is removed from the file."""
    file = OutboxFile.create(folder, BINDING)
    first, refused, last = event_lines(3)
    file.append(first)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.end + 20, hard))
        with pytest.raises(OSError):  # noqa: PT011 - the next line looks at its effect
            file.append(refused)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    file.append(last)
    file.close()

    assert undelivered_records(claim_file(file.path)) == [first, last]


def test_half_a_record_that_cannot_be_cut_off_damages_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If removing a half-written record fails, later records are still whole."""
    disk = SmallDisk(monkeypatch, folder)
    file = OutboxFile.create(folder, BINDING)
    first, refused, last = event_lines(3)
    file.append(first)

    def refuse(fd: int, length: int) -> None:
        raise OSError(errno.EIO, "the disk refuses")

    disk.room_bytes = 50
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OSError):  # noqa: PT011 - whichever of the two
            file.append(refused)
    disk.room_bytes = None
    file.append(last)

    assert last in file.peek(A_MIB).splitlines(keepends=True)
    file.close()
    assert last in undelivered_records(claim_file(file.path))


def test_half_a_record_that_is_cut_off_late_leaves_no_blank_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written record that is removed later leaves no blank line."""
    disk = SmallDisk(monkeypatch, folder)
    file = OutboxFile.create(folder, BINDING)
    first, refused, last = event_lines(3)
    file.append(first)

    def refuse(fd: int, length: int) -> None:
        raise OSError(errno.EIO, "the disk refuses")

    disk.room_bytes = 50
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(OSError):  # noqa: PT011 - whichever of the two
            file.append(refused)
    disk.room_bytes = 30
    with pytest.raises(OSError):  # noqa: PT011 - the next line looks at its effect
        file.append(refused)
    disk.room_bytes = None
    file.append(last)

    found = file.peek(A_MIB).splitlines(keepends=True)
    assert found[0] == first
    assert found[-1] == last
    assert all(line.strip() for line in found)
    assert file.appended == len(found)
    file.close()


def test_append_interrupted_after_its_write_is_recovered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Ctrl-C follows the write of a record, `recover()` counts the record once."""
    file = OutboxFile.create(folder, BINDING)
    first, broken_off, last = event_lines(3)
    file.append(first)
    write = os.pwrite

    def interrupt(fd: int, data: bytes, position: int) -> int:
        write(fd, data, position)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", interrupt)
        with pytest.raises(KeyboardInterrupt):
            file.append(broken_off)
    file.recover()
    file.append(last)

    assert file.appended == 3
    assert file.peek(A_MIB).splitlines(keepends=True) == [first, broken_off, last]
    file.close()


def test_file_without_room_for_its_header_is_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose header finds no room on the disk is removed."""
    folder.mkdir()
    SmallDisk(monkeypatch, folder).room_bytes = 20

    with pytest.raises(OSError, match="No space left"):
        OutboxFile.create(folder, BINDING)

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("provider_id", [1, 2**53 - 1])
def test_provider_is_filled_in_without_moving_a_record(
    folder: Path, provider_id: int
) -> None:
    """`name_provider()` keeps the length of the header and the records behind it."""
    file, line = OutboxFile.create(folder, BINDING), event_line()
    file.append(line)
    size = file.path.stat().st_size

    file.name_provider(provider_id)

    first, _, rest = file.path.read_bytes().partition(b"\n")
    header = Header.parse(first)
    assert header is not None
    assert header.binding.provider_id == provider_id
    assert header.created_at == file.header.created_at
    assert rest == line
    assert file.path.stat().st_size == size
    file.append(line)
    assert file.path.read_bytes().partition(b"\n")[2] == line * 2
    file.close()


def test_header_names_backend_and_key_id_and_holds_no_secret(folder: Path) -> None:
    """The first line has version, address, key id, provider id and time only."""
    file = OutboxFile.create(folder, BINDING)
    first = file.path.read_bytes()
    file.close()

    members = json.loads(first)
    assert members.pop("created_at").endswith("Z")
    assert members == {
        "trackerapi_outbox": FORMAT_VERSION,
        "base_url": "http://backend.test",
        "key_id": "3kTMd9aZ",
        "provider_id": None,
    }


def test_header_of_another_spelling_names_the_same_address(folder: Path) -> None:
    """Files for `HTTP://BACKEND.test:80/` are files for `http://backend.test`."""
    other = Binding(base_url="HTTP://BACKEND.test:80/", key_id=BINDING.key_id)
    file = OutboxFile.create(folder, other)
    first = file.path.read_bytes()
    file.close()

    header = Header.parse(first)
    assert header is not None
    assert header.binding == BINDING


@pytest.mark.parametrize("has_ack", [False, True])
def test_first_version_of_the_format_is_read(folder: Path, has_ack: bool) -> None:
    """A leftover file in the format of the first release is delivered."""
    folder.mkdir()
    path = folder / "1732449600000000000-0123456789ab.outbox"
    path.write_bytes(VERSION_1)
    if has_ack:
        path.with_suffix(".ack").write_bytes(VERSION_1_ACK)

    file = claim_file(path)

    records = VERSION_1[VERSION_1_HEADER_BYTES:].splitlines(keepends=True)
    assert file.header.binding == BINDING
    assert file.start == VERSION_1_HEADER_BYTES
    assert file.delivered == (1 if has_ack else 0)
    assert undelivered_records(file) == (records[2:] if has_ack else records)


def test_newer_version_of_the_format_is_left_alone(folder: Path) -> None:
    """A file in a newer format is not claimed and not changed."""
    folder.mkdir()
    path = folder / "1-newer.outbox"
    content = VERSION_1.replace(
        b'"trackerapi_outbox": 1', f'"trackerapi_outbox": {FORMAT_VERSION + 1}'.encode()
    )
    path.write_bytes(content)

    assert OutboxFile.claim(path) is None
    assert path.read_bytes() == content
    assert list(folder.iterdir()) == [path]


def test_file_of_a_living_owner_is_not_claimed(folder: Path) -> None:
    """A file is claimed only after its owner released it; then any process may."""
    owned = OutboxFile.create(folder, BINDING)
    owned.append(event_line())

    assert OutboxFile.claim(owned.path) is None
    owned.close()
    claim_file(owned.path).close()


def test_file_is_claimed_by_one_at_a_time(folder: Path) -> None:
    """Of two processes that find the same leftover file, only one claims it."""
    first = claim_file(leftover_of(folder, [event_line()]))

    assert OutboxFile.claim(first.path) is None
    first.close()


def test_file_that_was_moved_while_it_was_opened_is_not_claimed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is moved between its opening and its locking is not claimed."""
    path = leftover_of(folder, [event_line()])
    flock = fcntl.flock

    def lock_late(fd: int, operation: int) -> None:
        path.rename(path.with_suffix(".moved"))
        flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", lock_late)

    assert OutboxFile.claim(path) is None


@pytest.mark.parametrize(
    "code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]
)
def test_file_system_without_locks_allows_claims(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Files are created and claimed without a lock, and are marked as unlocked."""
    forbid_locks(monkeypatch, code)
    line = event_line()

    owned = OutboxFile.create(folder, BINDING)
    owned.append(line)
    taken = claim_file(owned.path)

    assert not owned.has_lock
    assert not taken.has_lock
    assert undelivered_records(taken) == [line]
    owned.close()


def test_next_process_continues_at_the_settled_position(folder: Path) -> None:
    """After a claim, the position and the count of the last process are used."""
    first, second = event_lines(2)
    path = leftover_of(folder, [first, second])
    file = claim_file(path)
    file.settle(len(first), 1, delivered=1)
    assert file.undelivered_bytes == len(second)
    file.close()

    again = claim_file(path)

    assert not again.is_delivered
    assert again.delivered == 1
    assert undelivered_records(again) == [second]


def test_settled_and_undelivered_records_are_distinguished(folder: Path) -> None:
    """Each record of a small file is either settled or undelivered."""
    lines = event_lines(3)
    file = claim_file(leftover_of(folder, lines))
    file.settle(len(lines[0]), 1, delivered=1)

    assert list(file.settled_lines()) == lines[:1]
    assert list(file.undelivered_lines()) == lines[1:]
    assert file.count_undelivered_lines() == 2
    file.close()


def test_position_stays_at_a_line_start_however_long_the_numbers_get(
    folder: Path,
) -> None:
    """The position file keeps its size, and its JSON is valid after each settlement."""
    lines = event_lines(40)
    path = leftover_of(folder, lines)
    file = claim_file(path)
    sizes = set()
    for number, line in enumerate(lines, start=1):
        file.settle(len(line), 1, delivered=1)
        ack = path.with_suffix(".ack").read_bytes()
        sizes.add(len(ack))
        assert json.loads(ack)["delivered"] == number
        assert json.loads(ack)["position"] == file.position

    assert file.is_delivered
    assert len(sizes) == 1
    file.close()


@pytest.mark.parametrize(
    "ack",
    [
        b"",
        b"\0" * 160,
        b"not json",
        b"[1, 2]",
        b"null",
        b'"position"',
        b"{}",
        b'{"position": null, "delivered": 0}',
        b'{"position": "x", "delivered": 0}',
        b'{"position": -1, "delivered": 0}',
        b'{"position": 0, "delivered": 0}',
        b'{"position": 7, "delivered": 0}',
        b'{"position": 250, "delivered": 0}',
        b'{"position": 99999999, "delivered": 0}',
        b'{"position": Infinity, "delivered": 0}',
        b'{"position": NaN, "delivered": 0}',
        b'{"position": 1e999, "delivered": 0}',
        b'{"position": ' + b"9" * 5000 + b', "delivered": 0}',
        b'{"position": [], "delivered": 0}',
        b"[" * 100_000,
        b"\xff\xfe{",
        b'{"position": 300, "del',
    ],
    ids=lambda ack: repr(ack[:24]),
)
def test_impossible_position_delivers_all_again(folder: Path, ack: bytes) -> None:
    """With a damaged `.ack` file, all records are delivered again."""
    lines = event_lines(3)
    path = leftover_of(folder, lines)
    path.with_suffix(".ack").write_bytes(ack)

    file = claim_file(path)

    assert file.position == file.start
    assert file.delivered == 0
    assert undelivered_records(file) == lines


def test_impossible_position_gives_no_counts(
    folder: Path,
) -> None:
    """If the position is invalid, the counts in `.ack` are ignored, too."""
    path = leftover_of(folder, event_lines(3))
    path.with_suffix(".ack").write_text('{"position": 7, "delivered": 3, "dropped": 1}')

    file = claim_file(path)

    assert (file.delivered, file.dropped) == (0, 0)
    file.close()


@given(cut=st.integers(0, 160))
def test_cut_position_skips_no_record(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    """After a cut of `.ack` at any byte, no undelivered record is skipped."""
    lines = event_lines(3)
    path = leftover_of(tmp_path_factory.mktemp("outbox"), lines)
    file = claim_file(path)
    file.settle(len(lines[0]), 1, delivered=1)
    file.close()
    ack = path.with_suffix(".ack")
    ack.write_bytes(ack.read_bytes()[:cut])

    assert undelivered_records(claim_file(path)) in (lines, lines[1:])


def test_position_that_cannot_be_written_loses_no_record(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a position cannot be written, delivery repeats from the last written one."""
    lines = event_lines(3)
    path = leftover_of(folder, lines)
    file = claim_file(path)
    file.settle(len(lines[0]), 1, delivered=1)

    def refuse(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        file.settle(len(lines[1]), 1, delivered=1)

    assert file.peek(A_MIB) == lines[2]
    file.close()
    assert undelivered_records(claim_file(path)) == lines[1:]


def test_position_without_a_file_loses_no_record(folder: Path) -> None:
    """If `.ack` cannot be opened, the next process delivers all records again."""
    line = event_line()
    path = leftover_of(folder, [line])
    path.with_suffix(".ack").mkdir()
    file = claim_file(path)

    file.settle(len(line), 1, delivered=1)

    assert file.is_delivered
    file.close()
    assert undelivered_records(claim_file(path)) == [line]


@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=12),
    max_bytes=st.integers(1, 2000),
)
def test_reading_in_pieces_gives_each_line_once(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], max_bytes: int
) -> None:
    """`peek()` returns whole lines; only a single long line exceeds the size limit."""
    lines = [event_line(message="x" * size) for size in sizes]
    path = leftover_of(tmp_path_factory.mktemp("outbox"), lines)
    file = claim_file(path)
    found: list[bytes] = []

    while chunk := file.peek(max_bytes):
        piece = chunk.splitlines(keepends=True)
        assert len(chunk) <= max_bytes or len(piece) == 1
        found += piece
        file.settle(len(chunk), len(piece), delivered=len(piece))

    assert found == lines
    assert file.is_delivered
    assert file.settled == file.delivered == len(lines)
    file.close()


def test_moved_file_keeps_its_position(folder: Path) -> None:
    """After `move_to()` the settled position is unchanged."""
    first, second = event_lines(2)
    path = leftover_of(folder, [first, second])
    file = claim_file(path)
    file.settle(len(first), 1, delivered=1)

    file.move_to(folder / "delivered")
    file.close()

    assert not path.exists()
    assert not path.with_suffix(".ack").exists()
    assert undelivered_records(claim_file(folder / "delivered" / path.name)) == [second]


def test_removed_file_leaves_nothing_beside_it(folder: Path) -> None:
    """`remove()` deletes the file, its position and its journal."""
    line = event_line()
    file = claim_file(leftover_of(folder, [line]))
    file.settle(len(line), 1, delivered=1)
    file.held.path.write_bytes(b"")

    file.remove()

    assert list(folder.iterdir()) == []


def test_closed_file_gives_nothing_and_can_be_closed_again(folder: Path) -> None:
    """`peek()` of a closed file returns no bytes; a second `close()` does not raise."""
    file = claim_file(leftover_of(folder, [event_line()]))

    file.close()
    file.close()

    assert file.peek(A_MIB) == b""


def test_file_that_is_archived_while_it_is_read_raises_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`oldest_undelivered_at()` returns None if the file is closed during the read."""
    file = claim_file(leftover_of(folder, [event_line("info", message="x" * 100_000)]))
    read = os.pread

    def read_and_archive(fd: int, count: int, offset: int) -> bytes:
        monkeypatch.setattr(os, "pread", read)
        chunk = read(fd, count, offset)
        file.close()
        return chunk

    monkeypatch.setattr(os, "pread", read_and_archive)

    assert file.oldest_undelivered_at() is None


def test_creations_and_events_keep_their_order(folder: Path) -> None:
    """Creations and events are read back in the order of their appends."""
    lines = [creation_line(), event_line(), creation_line("other"), event_line()]

    assert undelivered_records(claim_file(leftover_of(folder, lines))) == lines


@pytest.mark.parametrize(
    ("ours", "theirs", "admits"),
    [
        (("http://a", "k", None), ("http://a", "k", None), True),
        (("http://a", "k", 1), ("http://a", "k", None), True),
        (("http://a", "k", None), ("http://a", "k", 1), True),
        (("http://a", "new", 1), ("http://a", "old", 1), True),
        (("http://a", "k", 1), ("http://a", "k", 2), True),
        (("http://a", "new", 1), ("http://a", "old", 2), False),
        (("http://a", "new", 1), ("http://a", "old", None), False),
        (("http://a", "new", None), ("http://a", "old", 1), False),
        (("http://a", None, None), ("http://a", None, None), False),
        (("http://a", None, 1), ("http://a", None, 1), True),
        (("http://b", "k", 1), ("http://a", "k", 1), False),
    ],
)
def test_binding_admits_the_same_backend_and_provider_only(
    ours: tuple[str, str | None, int | None],
    theirs: tuple[str, str | None, int | None],
    admits: bool,
) -> None:
    """A binding admits files of its own address with the same key or provider id."""

    def binding(members: tuple[str, str | None, int | None]) -> Binding:
        return Binding(base_url=members[0], key_id=members[1], provider_id=members[2])

    assert binding(ours).admits(binding(theirs)) is admits
