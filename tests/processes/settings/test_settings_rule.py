"""Common rule for all settings of library and backend, checked for each setting.

The README states the rule below its table of settings.
"""

import pwd
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from trackerapi_backend.cli import main as cli
from trackerapi_backend.settings import PREFIX, settings_from
from trackerapi_backend.settings import SettingsError as BackendSettingsError

from backend.tests.support.service import same_logging
from scripts.project import ROOT
from trackerapi.errors import SettingsError
from trackerapi.settings.job_token import JobToken
from trackerapi.settings.settings import Settings

KEY: Final = "trk_3kTMd9aZ_canarysecretcanarysecret_abc123"
URL: Final = "https://tracker.example"
TOKEN: Final = JobToken(KEY, "job-1").as_text()
ENOUGH: Final[Mapping[str, object]] = {"base_url": URL, "api_key": KEY}
ENOUGH_OF_BACKEND: Final = {"TRACKERAPI_BACKEND_DATABASE": "/data/backend.db"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: a row of `TABLE`.

    Attributes:
        variable: Environment variable; empty if only an argument exists.
        argument: Name of the argument; empty if only a variable exists.
        good: A valid value; `FILE` stands for a file with valid content.
        is_path: Whether the value is the path of a file or folder.
        without: Arguments of `ENOUGH` to omit, because they override the setting.
    """

    variable: str = ""
    argument: str = ""
    good: str = ""
    is_path: bool = False
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.variable or self.argument

    @property
    def is_of_backend(self) -> bool:
        """Whether the backend reads this setting, and not the library."""
        return self.variable.startswith(PREFIX)

    def read(
        self, variable: str | None = None, argument: object = None
    ) -> tuple[object, str]:
        """Return settings and an empty text, or None and the reason of the error."""
        environment = {} if variable is None else {self.variable: variable}
        if self.is_of_backend:
            assert argument is None or isinstance(argument, str)
            enough = ENOUGH_OF_BACKEND
            if self.variable.startswith(f"{PREFIX}DATABASE"):
                enough = {f"{PREFIX}PEPPER_FILE": "/data/pepper"}
            try:
                given = {self.argument: argument} if self.argument else {}
                return settings_from(given, {**enough, **environment}), ""
            except BackendSettingsError as error:
                return None, str(error)
        usual = {n: v for n, v in ENOUGH.items() if n not in self.without}
        if argument is not None:
            usual[self.argument] = argument
        try:
            return Settings.resolve(usual, environment), ""
        except SettingsError as error:
            return None, error.setting


TABLE: Final = (
    Setting(
        variable="TRACKERAPI_BASE_URL",
        argument="base_url",
        good="http://127.0.0.1:8000",
        without=("base_url",),
    ),
    Setting(
        variable="TRACKERAPI_API_KEY",
        argument="api_key",
        good=KEY,
        without=("api_key",),
    ),
    Setting(
        variable="TRACKERAPI_API_KEY_FILE",
        argument="api_key_file",
        good="FILE",
        is_path=True,
        without=("api_key",),
    ),
    Setting(variable="TRACKERAPI_JOB", good=TOKEN, without=("api_key",)),
    Setting(variable="TRACKERAPI_STRICT", good="yes"),
    Setting(variable="TRACKERAPI_MODE", argument="mode", good="offline"),
    Setting(variable="TRACKERAPI_ON_SIGTERM", argument="on_sigterm", good="cancel"),
    Setting(variable="TRACKERAPI_OUTBOX", argument="outbox", good="FILE", is_path=True),
    Setting(
        variable="TRACKERAPI_SHUTDOWN_TIMEOUT", argument="shutdown_timeout", good="3.5"
    ),
    Setting(variable="TRACKERAPI_ON_SIGTERM", argument="on_sigterm", good="cancel"),
    Setting(variable="TRACKERAPI_PROGRESS", argument="progress", good="plain"),
    Setting(
        variable="TRACKERAPI_PROGRESS_SECONDS", argument="progress_seconds", good="20"
    ),
    Setting(
        variable="TRACKERAPI_CA_FILE", argument="ca_file", good="FILE", is_path=True
    ),
    Setting(variable="SSL_CERT_FILE", good="FILE", is_path=True),
    Setting(variable="SSLKEYLOGFILE", good="FILE"),
    Setting(variable="HTTPS_PROXY", good="http://proxy.example"),
    Setting(variable="https_proxy", good="http://proxy.example"),
    Setting(variable="ALL_PROXY", good="http://proxy.example"),
    Setting(variable="all_proxy", good="http://proxy.example"),
    Setting(variable="NO_PROXY", good="tracker.example"),
    Setting(argument="proxy", good="http://proxy.example"),
    Setting(argument="strict"),
    Setting(argument="verify"),
    Setting(argument="fsync"),
    Setting(argument="outbox_limit_bytes"),
    Setting(argument="timeout_seconds"),
    Setting(
        variable=f"{PREFIX}DATABASE", argument="database", good="FILE", is_path=True
    ),
    Setting(
        variable=f"{PREFIX}DATABASE_URL",
        good="postgresql://tracker@db.example.org/tracker",
    ),
    Setting(
        variable=f"{PREFIX}PEPPER_FILE",
        argument="pepper_file",
        good="FILE",
        is_path=True,
    ),
    Setting(variable=f"{PREFIX}ERASURES_FILE", good="FILE", is_path=True),
    Setting(variable=f"{PREFIX}HOST", argument="host", good="0.0.0.0"),  # noqa: S104
    Setting(variable=f"{PREFIX}PORT", argument="port", good="8001"),
    Setting(
        variable=f"{PREFIX}PUBLIC_BASE_URL",
        argument="public_base_url",
        good="https://status.example",
    ),
    Setting(
        variable=f"{PREFIX}TRUSTED_PROXIES",
        argument="trusted_proxies",
        good="10.0.0.5,fd00::/8",
    ),
    Setting(
        variable=f"{PREFIX}MAX_CONNECTIONS", argument="max_connections", good="500"
    ),
    Setting(
        variable=f"{PREFIX}METRICS_ADDRESS",
        argument="metrics_address",
        good="127.0.0.1:9100",
    ),
    Setting(variable=f"{PREFIX}LOG_LEVEL", argument="log_level", good="warning"),
    Setting(
        variable=f"{PREFIX}LOG_FILE", argument="log_file", good="FILE", is_path=True
    ),
    *(
        Setting(variable=f"{PREFIX}{name.upper()}", argument=name, good="100")
        for name in (
            "key_requests_per_second",
            "provider_requests_per_second",
            "key_requests_at_once",
            "provider_requests_at_once",
            "unknown_keys_per_minute",
        )
    ),
)

VARIABLES: Final = [each for each in TABLE if each.variable]
PATHS: Final = [each for each in VARIABLES if each.is_path]
ARGUMENTS: Final = [each for each in TABLE if each.argument]

BLANK: Final = ["", " ", "\t\n"]
ODD: Final = [
    "80a",
    "-1",
    "nan",
    "1e999",
    "9" * 5000,
    "x" * 100_000,
    "/" + "x" * 100_000,
    "~",
    "~nobody-here/x",
    "\udcff",
    "\ud800",
    "line\nbreak",
    "<placeholder>",
    "http://[::1",
    "tcp://10.0.0.1:80",
    "☃",
]
WRONG: Final[list[Any]] = [
    5,
    -1,
    10**5000,
    -(10**5000),
    float("nan"),
    float("inf"),
    True,
    b"bytes",
    ["list"],
    {},
    object(),
    "nul\0",
    Path("x" * 100_000),
]


def for_each(settings: list[Setting]) -> pytest.MarkDecorator:
    """Return a mark that runs a test once for each of `settings`."""
    return pytest.mark.parametrize("setting", settings, ids=str)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make `tmp_path` the current directory and the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the content of a certificate file that TLS contexts accept."""
    import certifi

    return Path(certifi.where()).read_bytes()


def valid_value(setting: Setting, path: Path, certificates: bytes) -> str:
    """Return a valid value of a setting; a file that the setting needs is written."""
    if setting.good != "FILE":
        return setting.good
    if setting.variable.endswith("API_KEY_FILE"):
        path.write_text(KEY)
    elif setting.variable in {"TRACKERAPI_CA_FILE", "SSL_CERT_FILE"}:
        path.write_bytes(certificates)
    return str(path)


def comparable(settings: object) -> str:
    """Return settings as text without object addresses; empty for None."""
    return re.sub(r"0x[0-9a-f]+", "", repr(settings)) if settings else ""


def test_table_names_every_variable() -> None:
    """A new variable without a row in the table fails this test."""
    pattern = re.compile(r"\bTRACKERAPI_[A-Z_]+[A-Z]\b")
    sources = [ROOT / "trackerapi", ROOT / "backend/trackerapi_backend"]
    paths = [p for source in sources for p in source.rglob("*.py")]
    read = {name for path in paths for name in pattern.findall(path.read_text())}

    known = {each.variable for each in VARIABLES}
    assert read - {"TRACKERAPI_BACKEND"} <= known, read - known


@for_each(VARIABLES)
@pytest.mark.parametrize("blank", BLANK)
def test_blank_variable_is_not_set(setting: Setting, blank: str) -> None:
    """`export NAME=` has the effect of `unset NAME`."""
    settings, reason = setting.read(blank)

    unset, usual_reason = setting.read()
    assert reason == usual_reason
    assert comparable(settings) == comparable(unset)


@for_each(ARGUMENTS)
@pytest.mark.parametrize("blank", BLANK)
def test_blank_argument_is_an_error(
    setting: Setting, blank: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A blank argument is an error that names the argument."""
    if setting.is_of_backend:
        option = f"--{setting.argument.replace('_', '-')}"
        with pytest.raises(SystemExit):
            cli.main(["serve", option, blank])
        assert f"argument {option}: " in capsys.readouterr().err
        return
    settings, reason = setting.read(argument=blank)

    assert settings is None
    assert reason.startswith(setting.argument)


@for_each([each for each in VARIABLES if each.argument])
def test_argument_wins_over_its_variable(
    setting: Setting, tmp_path: Path, certificates: bytes
) -> None:
    """A variable beside its argument is not read, even if its value is invalid."""
    good = valid_value(setting, tmp_path / "file", certificates)
    settings, reason = setting.read(argument=good)
    assert reason == ""

    both, reason = setting.read("\udcff", good)

    assert reason == ""
    assert comparable(both) == comparable(settings)


# Python's ssl module reads SSLKEYLOGFILE itself and does not strip blanks.
@for_each([each for each in VARIABLES if each.variable != "SSLKEYLOGFILE"])
def test_white_space_around_a_variable_is_no_part_of_it(
    setting: Setting, tmp_path: Path, certificates: bytes
) -> None:
    """A line end or blank around the value of a variable is ignored."""
    good = valid_value(setting, tmp_path / "file", certificates)
    settings, reason = setting.read(good)
    assert reason == ""

    padded, reason = setting.read(f" {good}\r\n")

    assert reason == ""
    assert comparable(padded) == comparable(settings)


@for_each(PATHS)
@pytest.mark.parametrize("spelled", ["folder/file", "./folder/file", "~/folder/file"])
def test_path_becomes_absolute_when_it_is_read(
    setting: Setting, spelled: str, home: Path, certificates: bytes
) -> None:
    """A relative path or `~` becomes an absolute path when the setting is read."""
    (home / "folder").mkdir()
    absolute = valid_value(setting, home / "folder/file", certificates)
    settings, reason = setting.read(absolute)
    assert reason == ""

    assert comparable(setting.read(spelled)[0]) == comparable(settings)
    if setting.argument:
        by_argument = comparable(setting.read(argument=spelled)[0])
        assert by_argument == comparable(setting.read(argument=absolute)[0])


@for_each(PATHS)
def test_tilde_without_a_home_directory_is_an_error(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without HOME and a passwd entry, `~` raises an error that names the variable."""

    def refuse(_: object) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", refuse)

    settings, reason = setting.read("~/file")

    assert settings is None
    assert reason.startswith(setting.variable)


@for_each(PATHS)
def test_relative_path_in_a_directory_that_is_gone_is_an_error(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path in a deleted current directory raises SettingsError."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    settings, reason = setting.read("file")

    assert settings is None
    assert reason.startswith(setting.variable)


@for_each(VARIABLES)
@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_odd_variable_works_or_is_named(setting: Setting, value: str) -> None:
    """An odd value is accepted, ignored, or rejected with a short SettingsError."""
    settings, reason = setting.read(value)

    is_ignored = reason == setting.read()[1]
    assert settings is not None or reason.startswith(setting.variable) or is_ignored
    assert len(reason) < 500


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        (setting, value)
        for setting in ARGUMENTS
        # Arguments of the backend come from a command line, so they are texts.
        for value in (ODD if setting.is_of_backend else [*WRONG, *ODD])
    ],
    ids=lambda each: str(each) if isinstance(each, Setting) else type(each).__name__,
)
def test_wrong_argument_works_or_is_named(setting: Setting, value: object) -> None:
    """An odd argument is accepted, or rejected with a short SettingsError."""
    settings, reason = setting.read(argument=value)

    option = f"--{setting.argument.replace('_', '-')}"
    name = option if setting.is_of_backend else setting.argument
    assert settings is not None or reason.startswith(name)
    assert len(reason) < 500


def test_key_file_is_the_same_after_a_change_of_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative key file is resolved once and read again from the same path."""
    (home / "key").write_text(KEY)
    other = home / "other"
    other.mkdir()
    (other / "key").write_text("trk_otherkey_canarysecretcanarysecret_abc123")
    by_variable = {"TRACKERAPI_API_KEY_FILE": "key"}
    for arguments, environment in [({}, by_variable), ({"api_key_file": "key"}, {})]:
        monkeypatch.chdir(home)
        settings = Settings.resolve({"base_url": URL, **arguments}, environment)
        monkeypatch.chdir(other)

        assert settings.read_key_again(environment) == KEY


def test_blank_key_beside_a_key_file_is_not_set(home: Path) -> None:
    """A blank key variable beside a key file counts as not set."""
    file = home / "key"
    file.write_text(KEY)
    of_file = {"TRACKERAPI_API_KEY": "", "TRACKERAPI_API_KEY_FILE": str(file)}
    of_key = {"TRACKERAPI_API_KEY": KEY, "TRACKERAPI_API_KEY_FILE": " "}

    for environment in (of_file, of_key):
        settings = Settings.resolve({"base_url": URL}, environment)
        assert settings.api_key == KEY
        assert settings.read_key_again(environment) == KEY


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("localhost:8000", "http://localhost:8000"),
        ("localhost", "http://localhost"),
        ("tracker.example.org", "http://tracker.example.org"),
        ("tracker:8000/", "http://tracker:8000/"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("https:/tracker.example", "https://tracker.example"),
        ("//tracker.example", "http://tracker.example"),
        ("trk_3kTMd9aZ_canarysecretcanarysecret_abc123", None),
        ("user:canary@tracker.example", None),
        ("ftp://tracker.example", None),
        ("tracker.example:port", None),
        ("http://tracker.example:99999", None),
        ("tracker", None),
    ],
)
def test_address_without_a_scheme_is_suggested_with_one(
    given: str, meant: str | None
) -> None:
    """The message suggests the address with a scheme, and repeats no secret."""
    with pytest.raises(SettingsError, match="not an http:// or https://") as caught:
        Settings.resolve({"base_url": given, "api_key": KEY}, {})

    hint = f"; did you mean {meant}?" if meant else "with a host name"
    assert str(caught.value).endswith(hint)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.1:80", "udp://10.0.0.1:53", "tcp://[fd00::1]:80"]
)
def test_port_that_kubernetes_sets_is_ignored(address: str) -> None:
    """A `TRACKERAPI_BACKEND_PORT` such as tcp://..., set by Kubernetes, is ignored."""
    of_kubernetes = {
        "TRACKERAPI_BACKEND_PORT": address,
        "TRACKERAPI_BACKEND_PORT_80_TCP": address,
        "TRACKERAPI_BACKEND_PORT_80_TCP_ADDR": "10.0.0.1",
        "TRACKERAPI_BACKEND_SERVICE_HOST": "10.0.0.1",
        "TRACKERAPI_BACKEND_SERVICE_PORT": "80",
    }

    assert settings_from({}, ENOUGH_OF_BACKEND | of_kubernetes) == settings_from(
        {}, ENOUGH_OF_BACKEND
    )


@pytest.mark.parametrize(
    "command", [["migrate"], ["key", "list"], ["customer", "list"]]
)
def test_port_is_read_by_the_commands_that_need_one(
    command: list[str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bad port ends `serve` with status 1; other commands do not read the port."""
    monkeypatch.setenv("TRACKERAPI_BACKEND_DATABASE", str(home / "backend.db"))
    assert cli.main(["migrate"]) == 0
    assert cli.main(["key", "create", "--label", "first"]) == 0
    monkeypatch.setenv("TRACKERAPI_BACKEND_PORT", "80a")
    capsys.readouterr()

    assert cli.main(command) == 0
    assert cli.main(["serve"]) == 1
    assert capsys.readouterr().err == (
        "trackerapi-backend: TRACKERAPI_BACKEND_PORT must be 0 to 65535, got '80a'\n"
    )


def test_backend_runs_for_a_user_without_a_home_directory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--help` works without a home directory; only `dev` asks for a folder."""

    def refuse(_: object) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", refuse)

    with pytest.raises(SystemExit) as ended:
        cli.main(["dev", "--help"])
    assert ended.value.code == 0
    with same_logging():
        assert cli.main(["dev"]) == 1
    assert capsys.readouterr().err == (
        "trackerapi-backend: this user has no home directory: give --data-dir\n"
    )
