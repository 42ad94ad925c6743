"""Pepper of an installation: the database recognizes a foreign or missing file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from trackerapi_backend.cli import dev, serve
from trackerapi_backend.cli.main import main
from trackerapi_backend.pepper import PepperFile
from trackerapi_backend.requests.credentials import parse_key_id

from backend.tests.support.revisions import downgrade
from backend.tests.support.service import prepare, serve_existing, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backend.tests.support.service import Service

NEEDS_PEPPER = [
    ("serve", "--port", "0"),
    ("migrate",),
    ("key", "create", "--label", "new"),
    ("export", "NEW"),
    ("import", "OLD"),
]
FOREIGN = "f" * 64
ACCEPT = "trackerapi-backend migrate --accept-pepper"


@pytest.fixture(autouse=True)
def _no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a command in this process from changing the configuration of logging."""
    for module in (dev, serve):
        monkeypatch.setattr(module, "start_log", lambda _settings: None)


class Installation:
    """Database with keys and its pepper file, with commands in this process."""

    def __init__(
        self,
        folder: Path,
        url: str | None,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.folder, self.url, self._capsys = folder, url, capsys
        self.keys = prepare(folder, url)
        self.pepper = folder / "pepper"
        for name, value in variables_of(folder, url).items():
            monkeypatch.setenv(name, value)
        self.run("export", str(folder / "OLD"))

    def run(self, *arguments: str) -> str:
        """Run a command; return its output."""
        assert main(arguments) == 0, self._capsys.readouterr().err
        return self._capsys.readouterr().out

    def fail(self, *arguments: str) -> str:
        """Run a command in which the database rejects the pepper; return the error."""
        paths = {name: str(self.folder / name) for name in ("OLD", "NEW")}
        assert main([paths.get(each, each) for each in arguments]) == 1
        assert not (self.folder / "NEW").exists()
        [line] = self._capsys.readouterr().err.splitlines()
        assert FOREIGN not in line
        assert str(self.pepper) in line
        return line

    def status(self, key: str) -> int:
        """Return the status of a request with a key to a new server."""
        with self.serving() as service:
            [status] = statuses(service, key)
        return status

    @contextmanager
    def serving(self) -> Iterator[Service]:
        """Run a server during the block."""
        running = serve_existing(self.folder, self.keys, self.url)
        with running as (_process, service):
            yield service

    @contextmanager
    def rotating(self) -> Iterator[tuple[Service, str]]:
        """Run a server during the block; yield it with a key made after a rotation."""
        with self.serving() as service:
            self.run("pepper", "rotate")
            yield service, self.run("key", "create", "--label", "new").strip()


def statuses(service: Service, *keys: str) -> list[int]:
    """Return the status of a request with each key."""
    with service.client(None) as anyone:
        return [
            anyone.get("/jobs", headers={"X-API-Key": key}).status_code for key in keys
        ]


@pytest.fixture
def installation(
    tmp_path: Path,
    database_url: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Installation:
    """An installation with keys, on each engine."""
    return Installation(tmp_path, database_url, monkeypatch, capsys)


@pytest.mark.parametrize("arguments", NEEDS_PEPPER, ids=" ".join)
def test_foreign_pepper_is_rejected(
    installation: Installation, arguments: tuple[str, ...]
) -> None:
    """Every command that uses the pepper names a foreign file and the database."""
    own = installation.pepper.read_text()
    installation.pepper.write_text(FOREIGN)
    line = installation.fail(*arguments)
    assert "is not the pepper of" in line
    if arguments[0] != "import":
        name = installation.url and "the PostgreSQL database"
        assert (name or f"{installation.folder / 'backend.db'}") in line
        assert ACCEPT in line
    # The rejected file has not replaced the recorded pepper.
    installation.pepper.write_text(own)
    installation.run("key", "create", "--label", "new")


@pytest.mark.parametrize("arguments", NEEDS_PEPPER, ids=" ".join)
def test_missing_pepper_of_keys_is_not_made_again(
    installation: Installation, arguments: tuple[str, ...]
) -> None:
    """No command creates a new pepper beside keys: all keys would become invalid."""
    installation.pepper.unlink()
    line = installation.fail(*arguments)
    assert "is missing: copy it" in line
    assert ACCEPT in line
    assert not installation.pepper.exists()


@pytest.mark.parametrize("content", [None, FOREIGN], ids=["missing", "foreign"])
def test_dev_rejects_the_pepper(tmp_path: Path, content: str | None) -> None:
    """`dev` rejects a missing or foreign pepper and keeps its key file."""
    prepare(tmp_path)
    (tmp_path / "pepper").unlink()
    if content is not None:
        (tmp_path / "pepper").write_text(content)
    assert main(["dev", "--port", "0", "--data-dir", str(tmp_path)]) == 1
    assert not (tmp_path / "api_key").exists()


def test_import_rejects_a_database_with_another_pepper(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import fails if the target already has keys of another pepper."""
    other = tmp_path / "other"
    other.mkdir()
    prepare(other)
    monkeypatch.delenv("TRACKERAPI_BACKEND_DATABASE_URL", raising=False)
    line = installation.fail("import", "OLD", "--database", str(other / "backend.db"))
    assert f"is not the pepper of {other / 'backend.db'}" in line


@pytest.mark.parametrize("arguments", NEEDS_PEPPER[:4], ids=" ".join)
def test_migrated_keys_get_the_pepper_of_migrate(
    installation: Installation, arguments: tuple[str, ...]
) -> None:
    """`migrate` records the pepper for the keys of a release that recorded none."""
    downgrade(installation.folder, "0005", installation.url)
    installation.run("migrate")
    installation.pepper.write_text(FOREIGN)
    assert "is not the pepper of" in installation.fail(*arguments)


@pytest.mark.parametrize("content", [None, FOREIGN], ids=["lost", "replaced"])
def test_accepted_pepper_makes_old_keys_invalid(
    installation: Installation, content: str | None
) -> None:
    """`migrate --accept-pepper` makes a database with a lost pepper usable."""
    installation.pepper.unlink()
    if content is not None:
        installation.pepper.write_text(content)
    installation.run("migrate", "--accept-pepper")
    key = installation.run("key", "create", "--label", "new").strip()
    assert installation.status(key) == 200
    assert installation.status(installation.keys["all"]) == 401


def test_keys_stay_valid_through_a_rotation(installation: Installation) -> None:
    """A rotation needs no restart; each used key moves to the new pepper."""
    old, known = installation.pepper.read_text().strip(), installation.keys
    with installation.rotating() as (service, new):
        used = [known["all"], known["ingest"], new]
        assert statuses(service, *used, known["expired"]) == [200, 403, 200, 401]
        # The keys read, admin and other have not been used since the rotation.
        first, *listed = installation.run("pepper", "status").splitlines()
        assert first == "a rotation runs; valid keys with the old pepper: 3"
        unused = [known["read"], known["admin"], known["other"]]
        assert {line.split("\t")[1] for line in listed} == {
            parse_key_id(key) for key in unused
        }
        assert f"{installation.pepper}: 3. " in installation.fail("pepper", "finish")
        assert "has not ended" in installation.fail("pepper", "rotate")
        installation.run("pepper", "finish", "--expire-keys")
        assert installation.run("pepper", "status") == "no rotation runs\n"
        assert statuses(service, *used, *unused) == [200, 403, 200, 401, 401, 401]
    content = installation.pepper.read_text()
    assert old not in content
    assert old.encode().hex() not in content


def test_interrupted_rotation_can_be_ended(installation: Installation) -> None:
    """After a crash within `rotate`, all keys work; `finish` ends the rotation."""
    PepperFile(installation.pepper).begin_rotation()
    assert installation.status(installation.keys["all"]) == 200
    installation.run("pepper", "finish", "--expire-keys")
    assert installation.status(installation.keys["all"]) == 200
    assert "no rotation of" in installation.fail("pepper", "finish")


def test_host_without_the_new_pepper_asks_for_it(installation: Installation) -> None:
    """A key of a pepper that a host lacks gets 503, and is valid after the copy."""
    old = installation.pepper.read_bytes()
    installation.run("pepper", "rotate")
    key = installation.run("key", "create", "--label", "new").strip()
    rotated = installation.pepper.read_bytes()
    installation.pepper.write_bytes(old)
    with installation.serving() as service:
        assert statuses(service, key, installation.keys["all"]) == [503, 200]
        installation.pepper.write_bytes(rotated)
        assert statuses(service, key) == [200]


@pytest.mark.parametrize("secret", [b"x" * 32, b"\xff\n" * 32, b"previous 00" * 4])
def test_rotation_keeps_any_secret_and_the_key_of_erasures(
    tmp_path: Path, secret: bytes
) -> None:
    """A pepper from an operator may have any bytes, and is valid until `finish`."""
    path = tmp_path / "pepper"
    path.write_bytes(secret + b"\n")
    file = PepperFile(path)
    first = file.read()
    file.begin_rotation()
    second = file.read()
    assert second.fingerprints[1] == first.fingerprints[0]
    file.end_rotation()
    third = PepperFile(path).read()
    assert third.fingerprints == second.fingerprints[:1]
    assert {first.erasure_key, second.erasure_key, third.erasure_key} == {
        first.erasure_key
    }
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "content", [b"", b"short", None], ids=["empty", "short", "deleted"]
)
def test_server_keeps_the_pepper_while_the_file_is_unusable(
    installation: Installation, content: bytes | None
) -> None:
    """A damaged or deleted file changes nothing until the next start."""
    with installation.serving() as service:
        if content is None:
            installation.pepper.unlink()
        else:
            installation.pepper.write_bytes(content)
        assert statuses(service, installation.keys["all"]) == [200]
