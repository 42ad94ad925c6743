"""Sources of settings, and errors of bad values by name."""

import socket
from pathlib import Path

import pytest

from trackerapi.errors import SettingsError
from trackerapi.settings.job_token import JobToken
from trackerapi.settings.route import Route
from trackerapi.settings.settings import DEFAULT_TIMEOUT_SECONDS, Settings

KEY = "trk_3kTMd9aZ_canarysecretcanarysecret_abc123"
URL = "http://127.0.0.1:8000"
ENOUGH: dict[str, object] = {"base_url": URL, "api_key": KEY}


def resolve(environment: dict[str, str] | None = None, **arguments: object) -> Settings:
    """Resolve settings only from the given arguments and environment."""
    return Settings.resolve(arguments, environment or {})


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a file with the first line of a PEM certificate."""
    path = tmp_path / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    return path


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_job_token_is_the_key_where_no_other_is_set(mode: str) -> None:
    """The token in `TRACKERAPI_JOB` is the key unless another key is set."""
    token = JobToken("trk_other_canarysecretcanarysecret_abc123", "a job")
    environment = {"TRACKERAPI_JOB": token.as_text()}

    assert resolve(environment, base_url=URL, mode=mode).api_key == token.api_key
    assert resolve(environment, **ENOUGH).api_key == KEY
    environment["TRACKERAPI_API_KEY"] = KEY
    assert resolve(environment, base_url=URL, mode=mode).api_key == KEY


def test_id_of_the_job_is_no_key() -> None:
    """`TRACKERAPI_JOB` with a job id but no token raises: no API key is set."""
    with pytest.raises(SettingsError, match="TRACKERAPI_API_KEY: no API key"):
        resolve({"TRACKERAPI_JOB": "a job"}, base_url=URL)


def test_defaults_apply_where_nothing_is_given() -> None:
    """With address and key alone, all other settings have their defaults."""
    settings = resolve(**ENOUGH)

    assert (settings.base_url, settings.api_key) == (URL, KEY)
    assert settings.strict is False
    assert settings.route == Route(base_url=URL)
    assert settings.timeout_seconds == DEFAULT_TIMEOUT_SECONDS


def test_environment_is_read_without_an_argument(certificate: Path) -> None:
    """Without arguments, all settings are read from variables."""
    settings = resolve(
        {
            "TRACKERAPI_BASE_URL": URL,
            "TRACKERAPI_API_KEY": KEY,
            "TRACKERAPI_STRICT": "yes",
            "TRACKERAPI_CA_FILE": str(certificate),
        }
    )

    assert (settings.base_url, settings.api_key) == (URL, KEY)
    assert settings.strict is True
    assert settings.route.ca_file == certificate


def test_argument_wins_over_environment(certificate: Path) -> None:
    """An argument overrides its variable, even a variable with an invalid value."""
    settings = resolve(
        {
            "TRACKERAPI_BASE_URL": "not an address",
            "TRACKERAPI_API_KEY": "",
            "TRACKERAPI_API_KEY_FILE": "/missing",
            "TRACKERAPI_STRICT": "perhaps",
            "TRACKERAPI_CA_FILE": "/missing",
        },
        **ENOUGH,
        strict=True,
        ca_file=certificate,
    )

    assert (settings.base_url, settings.api_key) == (URL, KEY)
    assert settings.strict is True
    assert settings.route.ca_file == certificate


def test_environment_of_the_process_is_read_when_none_is_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`Settings.resolve()` reads the environment of the process when it is called."""
    monkeypatch.setenv("TRACKERAPI_BASE_URL", URL)
    monkeypatch.setenv("TRACKERAPI_API_KEY", KEY)

    assert Settings.resolve({}).api_key == KEY


@pytest.mark.parametrize(
    ("environment", "arguments", "setting"),
    [
        ({}, {"api_key": KEY}, "TRACKERAPI_BASE_URL"),
        ({}, {"base_url": URL}, "TRACKERAPI_API_KEY"),
        ({"TRACKERAPI_API_KEY": ""}, {"base_url": URL}, "TRACKERAPI_API_KEY"),
        ({"TRACKERAPI_API_KEY": " \n"}, {"base_url": URL}, "TRACKERAPI_API_KEY"),
        ({"TRACKERAPI_API_KEY_FILE": ""}, {"base_url": URL}, "TRACKERAPI_API_KEY"),
        ({"TRACKERAPI_STRICT": "perhaps"}, ENOUGH, "TRACKERAPI_STRICT"),
        ({"TRACKERAPI_CA_FILE": "/missing.pem"}, ENOUGH, "TRACKERAPI_CA_FILE"),
        ({"TRACKERAPI_CA_FILE": "~nobody-here/ca"}, ENOUGH, "TRACKERAPI_CA_FILE"),
        ({"TRACKERAPI_BASE_URL": "localhost"}, {"api_key": KEY}, "TRACKERAPI_BASE_URL"),
        ({"TRACKERAPI_BASE_URL": ""}, {"api_key": KEY}, "TRACKERAPI_BASE_URL"),
        ({}, {**ENOUGH, "base_url": 8000}, "base_url"),
        ({}, {**ENOUGH, "api_key": b"key"}, "api_key"),
        ({}, {**ENOUGH, "api_key": ""}, "api_key"),
        ({}, {**ENOUGH, "strict": 1}, "strict"),
        ({}, {**ENOUGH, "verify": "/etc/ca.pem"}, "verify"),
        ({}, {**ENOUGH, "ca_file": "/missing.pem"}, "ca_file"),
        ({}, {**ENOUGH, "ca_file": "nul\0.pem"}, "ca_file"),
        ({}, {"base_url": URL, "api_key_file": "nul\0"}, "api_key_file"),
        ({}, {**ENOUGH, "ca_file": "/dev/null"}, "ca_file"),
        ({}, {**ENOUGH, "proxy": "proxy.example:3128"}, "proxy"),
        ({}, {**ENOUGH, "proxy": "socks5://proxy.example"}, "proxy"),
        ({}, {**ENOUGH, "proxy": "http://proxy.example:port"}, "proxy"),
        ({}, {**ENOUGH, "timeout_seconds": "10"}, "timeout_seconds"),
        ({}, {**ENOUGH, "timeout_seconds": True}, "timeout_seconds"),
        ({}, {**ENOUGH, "timeout_seconds": 0}, "timeout_seconds"),
        ({}, {**ENOUGH, "timeout_seconds": -1}, "timeout_seconds"),
        ({}, {**ENOUGH, "timeout_seconds": float("nan")}, "timeout_seconds"),
        ({}, {**ENOUGH, "timeout_seconds": float("inf")}, "timeout_seconds"),
    ],
)
def test_bad_value_is_rejected_by_name(
    environment: dict[str, str], arguments: dict[str, object], setting: str
) -> None:
    """SettingsError names the argument or the variable with the invalid value."""
    with pytest.raises(SettingsError) as caught:
        resolve(environment, **arguments)

    assert caught.value.setting == setting
    assert str(caught.value).startswith(f"{setting}: ")


@pytest.mark.parametrize(
    "base_url",
    [
        "<url for tracker app backend>",
        "ftp://tracker.example",
        "http://",
        "http://:8000",
        "http://[::1",
        "http://tracker.example:port",
        "http://tracker.example:0",
        "http://tracker.example:99999",
        "http://user:canary@tracker.example",
        "http://tracker.example/?key=canary",
        "http://tracker.example/#top",
        "http://tracker .example",
        "http://tracker.example\n",
        " http://tracker.example",
    ],
)
def test_unusable_address_is_rejected(base_url: str) -> None:
    """An invalid address raises SettingsError that shows no secret."""
    with pytest.raises(SettingsError) as caught:
        resolve(api_key=KEY, base_url=base_url)

    assert caught.value.setting == "base_url"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://tracker.example/", "http://tracker.example"),
        ("https://tracker.example/api/", "https://tracker.example/api"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("HTTP://LOCALHOST:80", "http://localhost"),
    ],
)
def test_address_is_normalized(given: str, kept: str) -> None:
    """Trailing slashes and default ports are removed; a path stays."""
    assert resolve(api_key=KEY, base_url=given).base_url == kept


def test_two_key_settings_are_rejected() -> None:
    """A key and a key file together raise SettingsError."""
    both = {"TRACKERAPI_API_KEY": KEY, "TRACKERAPI_API_KEY_FILE": "/missing"}

    with pytest.raises(SettingsError, match="TRACKERAPI_API_KEY_FILE; unset one"):
        resolve(both, base_url=URL)
    with pytest.raises(SettingsError, match="api_key_file; give one"):
        resolve(base_url=URL, api_key=KEY, api_key_file="/missing")


@pytest.mark.parametrize(
    "key", ["<your api key>", " <key>\n", "schlüssel-canary", "trk canary", "canary\0"]
)
def test_unusable_key_is_rejected_without_showing_it(key: str) -> None:
    """A placeholder or an invalid key raises SettingsError without the key."""
    with pytest.raises(SettingsError) as caught:
        resolve(base_url=URL, api_key=key)

    assert caught.value.setting == "api_key"
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [KEY.encode(), f"{KEY}\n".encode(), b"\xef\xbb\xbf" + KEY.encode()]
)
def test_key_file_holds_the_key(tmp_path: Path, content: bytes) -> None:
    """A line end or byte order mark in the key file is not part of the key."""
    path = tmp_path / "key"
    path.write_bytes(content)

    assert resolve(base_url=URL, api_key_file=path).api_key == KEY
    in_environment = {"TRACKERAPI_API_KEY_FILE": str(path)}
    assert resolve(in_environment, base_url=URL).api_key == KEY


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\xff\xfe", b"two\nkeys", b"<your api key>", b"k" * 5000]
)
def test_key_file_without_a_key_is_rejected(tmp_path: Path, content: bytes) -> None:
    """A file without one valid key raises SettingsError that names the variable."""
    path = tmp_path / "key"
    path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        resolve({"TRACKERAPI_API_KEY_FILE": str(path)}, base_url=URL)

    assert caught.value.setting == "TRACKERAPI_API_KEY_FILE"


@pytest.mark.parametrize("name", ["missing", "."])
def test_unreadable_key_file_is_rejected(tmp_path: Path, name: str) -> None:
    """A missing key file and a folder raise SettingsError."""
    with pytest.raises(SettingsError, match="cannot read the key file") as caught:
        resolve(base_url=URL, api_key_file=tmp_path / name)

    assert caught.value.setting == "api_key_file"


@pytest.mark.parametrize(
    ("key", "key_id"),
    [(KEY, "3kTMd9aZ"), ("another-form", None), ("sk_a_b_c", None)],
)
def test_key_id_is_the_public_part(key: str, key_id: str | None) -> None:
    """`key_id` is the public part of a `trk_` key, and None for other keys."""
    assert resolve(base_url=URL, api_key=key).key_id == key_id


def test_repr_shows_no_secret() -> None:
    """`repr()` of settings shows the address, but no password of the proxy."""
    settings = resolve(**ENOUGH, proxy="http://user:canary@proxy.example")

    assert URL in repr(settings)
    assert "canary" not in repr(settings)


def test_no_network_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolving settings neither resolves names nor connects."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)

    resolve(api_key=KEY, base_url="http://host-that-does-not-exist.invalid")


@pytest.mark.parametrize("word", ["off", "auto", "live", "plain", " Auto "])
def test_view_is_one_of_four_words(word: str) -> None:
    """`progress` is off, auto, live or plain, in any case; the default is off."""
    by_variable = resolve({"TRACKERAPI_PROGRESS": word}, **ENOUGH)

    assert by_variable.progress == word.strip().lower()
    assert resolve(**ENOUGH, progress=word).progress == by_variable.progress
    assert resolve(**ENOUGH).progress == "off"


def test_unknown_view_is_rejected() -> None:
    """The error for an unknown view lists the four known views."""
    with pytest.raises(SettingsError, match="not one of off, auto, live, plain") as one:
        resolve({"TRACKERAPI_PROGRESS": "on"}, **ENOUGH)
    with pytest.raises(SettingsError) as other:
        resolve(**ENOUGH, progress=True)

    assert one.value.setting == "TRACKERAPI_PROGRESS"
    assert other.value.setting == "progress"


@pytest.mark.parametrize("seconds", ["0", "0.5", "3601", "soon", "nan"])
def test_lines_come_no_more_often_than_once_a_second(seconds: str) -> None:
    """`progress_seconds` must be 1 to 3600 seconds; the default is 10."""
    with pytest.raises(SettingsError, match="must be 1 to 3600 seconds") as caught:
        resolve({"TRACKERAPI_PROGRESS_SECONDS": seconds}, **ENOUGH)

    assert caught.value.setting == "TRACKERAPI_PROGRESS_SECONDS"
    assert resolve(**ENOUGH, progress_seconds=2).progress_seconds == 2
    assert resolve(**ENOUGH).progress_seconds == 10


@pytest.mark.parametrize("word", ["interrupt", "cancel"])
def test_meaning_of_sigterm_is_one_of_two_words(word: str) -> None:
    """`on_sigterm` is set by argument or variable; the default is `interrupt`."""
    by_variable = resolve({"TRACKERAPI_ON_SIGTERM": f" {word.upper()} "}, **ENOUGH)
    by_argument = resolve({"TRACKERAPI_ON_SIGTERM": "x"}, **ENOUGH, on_sigterm=word)
    blank = resolve({"TRACKERAPI_ON_SIGTERM": ""}, **ENOUGH)

    assert by_variable.on_sigterm == by_argument.on_sigterm == word
    assert blank.on_sigterm == resolve({}, **ENOUGH).on_sigterm == "interrupt"


def test_unknown_meaning_of_sigterm_is_rejected() -> None:
    """The error for an unknown `on_sigterm` names the variable or the argument."""
    with pytest.raises(SettingsError, match="not one of interrupt, cancel") as one:
        resolve({"TRACKERAPI_ON_SIGTERM": "fail"}, **ENOUGH)
    with pytest.raises(SettingsError) as other:
        resolve({}, **ENOUGH, on_sigterm="fail")

    assert one.value.setting == "TRACKERAPI_ON_SIGTERM"
    assert other.value.setting == "on_sigterm"
