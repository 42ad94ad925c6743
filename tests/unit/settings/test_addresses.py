"""`canonical_address()`: one spelling for each address."""

import pytest

from trackerapi.settings.addresses import canonical_address


@pytest.mark.parametrize(
    ("spelled", "canonical"),
    [
        ("http://LOCALHOST:8000", "http://localhost:8000"),
        ("HTTPS://Tracker.Example", "https://tracker.example"),
        ("http://tracker.example:80", "http://tracker.example"),
        ("https://tracker.example:443/", "https://tracker.example"),
        ("https://tracker.example:80", "https://tracker.example:80"),
        ("http://tracker.example:443", "http://tracker.example:443"),
        ("http://tracker.example:", "http://tracker.example"),
        ("http://tracker.example:08000", "http://tracker.example:8000"),
        ("https://tracker.example//", "https://tracker.example"),
        ("https://tracker.example/API/", "https://tracker.example/API"),
        ("http://[FE80::1]:80", "http://[fe80::1]"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_spellings_of_one_address_become_one(spelled: str, canonical: str) -> None:
    """Scheme and host become lower case, default ports are removed, paths stay."""
    assert canonical_address(spelled) == canonical
    assert canonical_address(canonical) == canonical


@pytest.mark.parametrize(
    "text", ["", "off:", "localhost:8000", "http://[::1", "http://host:port", "http://"]
)
def test_text_that_is_no_address_stays(text: str) -> None:
    """A text that is not an address is returned unchanged."""
    assert canonical_address(text) == text
