"""Choice of the proxy for an address by HTTP_PROXY, ALL_PROXY and NO_PROXY."""

import logging

import pytest

from tests.support.scripted_server import KEY, OWNER, answering, http
from trackerapi import TrackerApi
from trackerapi.settings.proxies import proxy_for

PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environment", "address", "variable"),
    [
        ({}, "https://tracker.example", None),
        ({"HTTPS_PROXY": PROXY}, "https://tracker.example", "HTTPS_PROXY"),
        ({"HTTPS_PROXY": PROXY}, "http://tracker.example", None),
        ({"http_proxy": PROXY}, "http://tracker.example", "http_proxy"),
        ({"ALL_PROXY": PROXY}, "http://tracker.example", "ALL_PROXY"),
        (
            {"all_proxy": "http://other", "HTTP_PROXY": PROXY},
            "http://tracker.example",
            "HTTP_PROXY",
        ),
        (
            {"https_proxy": PROXY, "HTTPS_PROXY": "http://other"},
            "https://tracker.example",
            "https_proxy",
        ),
        (
            {"https_proxy": " ", "HTTPS_PROXY": PROXY},
            "https://tracker.example",
            "HTTPS_PROXY",
        ),
        (
            {"HTTPS_PROXY": "", "ALL_PROXY": PROXY},
            "https://tracker.example",
            "ALL_PROXY",
        ),
        # In CGI scripts HTTP_PROXY is a header of the request, so it is ignored.
        (
            {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://other"},
            "http://tracker.example",
            None,
        ),
    ],
)
def test_proxy_of_the_scheme_wins(
    environment: dict[str, str], address: str, variable: str | None
) -> None:
    """The scheme's variable precedes ALL_PROXY; blank variables are ignored."""
    choice = proxy_for(address, environment)

    assert choice.proxy == (PROXY if variable else None)
    assert (choice.variable or None) == variable


def test_proxy_without_a_scheme_is_an_http_proxy() -> None:
    """`proxy.example:3128` means `http://proxy.example:3128`."""
    choice = proxy_for("http://a.example", {"http_proxy": "proxy.example:3128"})

    assert choice.proxy == PROXY


@pytest.mark.parametrize(
    ("entries", "host", "is_exempt"),
    [
        ("*", "tracker.example", True),
        ("tracker.example", "tracker.example", True),
        ("TRACKER.Example.", "tracker.example", True),
        ("example", "tracker.example", True),
        ("xample", "tracker.example", False),
        (".example", "tracker.example", True),
        ("*.example", "tracker.example", True),
        (".tracker.example", "tracker.example", False),
        ("other.example, tracker.example", "tracker.example", True),
        ("other.example tracker.example", "tracker.example", True),
        ("tracker.example:8000", "tracker.example:8000", True),
        ("tracker.example:8001", "tracker.example:8000", False),
        ("tracker.example:80", "tracker.example", True),
        ("http://tracker.example", "tracker.example", True),
        ("https://tracker.example", "tracker.example", False),
        ("127.0.0.1", "127.0.0.1:8000", True),
        ("127.0.0.1:8000", "127.0.0.1:8000", True),
        ("127.0.0.0/8", "127.0.0.1", True),
        ("10.0.0.0/8", "127.0.0.1", False),
        ("10.0.0.0/8", "tracker.example", False),
        ("0.0.1", "127.0.0.1", False),
        ("::1", "[::1]:8000", True),
        ("[::1]", "[::1]:8000", True),
        ("[::1]:8000", "[::1]:8000", True),
        ("fd00::/8", "[fd00::1]", True),
        ("fd00::/8", "127.0.0.1", False),
        ("", "tracker.example", False),
        (" , ,", "tracker.example", False),
    ],
)
def test_no_proxy_exempts_names_addresses_and_networks(
    entries: str, host: str, is_exempt: bool
) -> None:
    """NO_PROXY exempts hosts, domains, ports, addresses and networks."""
    for name in ("NO_PROXY", "no_proxy"):
        choice = proxy_for(f"http://{host}", {"http_proxy": PROXY, name: entries})

        assert (choice.proxy is None) is is_exempt
        assert choice.unreadable == ()


@pytest.mark.parametrize(
    "entry",
    [
        "[::1",
        "127.0.0.1/33",
        "fd00::/200",
        "a:b:c",
        "host:port",
        "a*b",
        "/",
        "http://",
        "[]",
    ],
)
def test_unreadable_entry_is_left_out(entry: str) -> None:
    """An invalid entry is ignored, and returned only if a proxy is used."""
    proxied = {"http_proxy": PROXY, "NO_PROXY": f"{entry},tracker.example"}

    assert proxy_for("http://tracker.example", proxied).proxy is None
    other = proxy_for("http://other.example", proxied)
    assert (other.proxy, other.unreadable) == (PROXY, (entry,))
    unproxied = {"NO_PROXY": entry}
    assert proxy_for("http://other.example", unproxied).unreadable == ()


def test_unreadable_entries_are_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two requests use the proxy, and one warning names the invalid entries."""
    with answering(http(200, OWNER)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "[fd00::/8,10.0.0.0/99")
        with caplog.at_level(logging.WARNING, "trackerapi"):
            for _ in range(2):
                with TrackerApi(KEY, "http://tracker.invalid") as tracker:
                    tracker.verify_api_key()

    assert len(proxy.requests) == 2
    [message] = [m for m in caplog.messages if "NO_PROXY" in m]
    assert message.endswith("[fd00::/8, 10.0.0.0/99")
