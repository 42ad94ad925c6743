"""Profile of a provider: contract, rules for zone and accent, command."""

from __future__ import annotations

import re
from base64 import b64encode
from importlib.resources import files
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from trackerapi_backend.jobs.colors import (
    DARK_CARD,
    LIGHT_CARD,
    MIN_CONTRAST,
    contrast,
    dark_variant,
)

from backend.tests.support import images
from backend.tests.support.images import SIGNATURE, chunk, header, pixels, png
from backend.tests.support.service import (
    command_here,
    error_line,
    prepare,
    problem_name,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from backend.tests.support.service import Service

EMPTY = {
    **dict.fromkeys(
        (
            *("display_name", "contact_text", "contact_phone", "contact_mail"),
            *("time_zone", "language", "accent", "accent_dark"),
        )
    ),
    "has_mark": False,
}
FULL = {
    "display_name": "Example Radiology",
    "contact_text": "Front desk, until 18:00",
    "contact_phone": "+49 (30) 123-45.67/8",
    "contact_mail": "front.desk+mri@clinic.example",
    "time_zone": "Europe/Berlin",
    "language": "de",
    "accent": "#0C6A60",
}


@pytest.fixture(autouse=True)
def without_profile(api: httpx.Client) -> Iterator[None]:
    """Remove the profile after each test: all tests share the provider."""
    yield
    nothing = dict.fromkeys([*FULL, "mark"])
    assert api.patch("/provider-profile", json=nothing).status_code == 200


def test_profile_is_changed_member_by_member(api: httpx.Client) -> None:
    """A missing member stays, null removes a value, and the dark accent follows."""
    assert api.get("/provider-profile").json() == {"name": "One", **EMPTY}
    full = api.patch("/provider-profile", json=FULL)
    assert full.status_code == 200, full.text
    stored = {**FULL, "accent": "#0c6a60", "accent_dark": "#498f88", "has_mark": False}
    assert full.json() == {"name": "One", **stored}
    assert api.patch("/provider-profile", json={}).json() == full.json()
    assert api.get("/provider-profile").json() == full.json()
    removed = api.patch(
        "/provider-profile", json={"accent": None, "language": None}
    ).json()
    gone = {"language": None, "accent": None, "accent_dark": None}
    assert removed == {**full.json(), **gone}


def test_profile_belongs_to_its_provider(
    api: httpx.Client, other_api: httpx.Client
) -> None:
    """A change of one profile does not show in the profile of another provider."""
    assert api.patch("/provider-profile", json=FULL).is_success
    assert other_api.get("/provider-profile").json() == {"name": "Two", **EMPTY}


@pytest.mark.parametrize(
    ("key", "read", "changed"),
    [("read", 200, 403), ("admin", 403, 200), ("ingest", 403, 403), (None, 401, 401)],
)
def test_profile_needs_its_scope(
    service: Service, key: str | None, read: int, changed: int
) -> None:
    """The profile is read with `read` and changed with `admin`."""
    with service.client(key) as caller:
        assert caller.get("/provider-profile").status_code == read
        answer = caller.patch("/provider-profile", json={"display_name": "New"})
        assert answer.status_code == changed


INVALID: list[tuple[str, Any]] = [
    *(("display_name", value) for value in ("", " ", "a\nb", "x" * 101, 7)),
    *(("contact_text", value) for value in ("", "a\tb", "x" * 301)),
    *(("contact_phone", value) for value in ("call us", "12", "+49;x=1", "1" * 41)),
    *(
        ("contact_mail", value)
        for value in (
            *("nobody", "a@b@c", "a b@c.example", "<a@c.example>", "a@c.example?cc=x"),
            *("a@-x y.example", "x" * 250 + "@c.example"),
        )
    ),
    *(
        ("time_zone", value)
        for value in ("Mars/Olympus", "localtime", "../etc/passwd", "posix/UTC", "")
    ),
    *(("language", value) for value in ("fr", "EN", "")),
    *(("accent", value) for value in ("0c6a60", "#0c6", "red", "#0c6a60;}", "#ffffff")),
]


@pytest.mark.parametrize(("member", "value"), INVALID)
def test_invalid_value_is_rejected_by_its_name(
    api: httpx.Client, member: str, value: object
) -> None:
    """An invalid value gets 422, names the member and its rule, and changes nothing."""
    answer = api.patch("/provider-profile", json={"display_name": "New", member: value})
    assert (answer.status_code, problem_name(answer)) == (422, "invalid-request")
    errors = answer.json()["errors"]
    assert f"/{member}" in {error["pointer"] for error in errors}
    # The error has to contain the rule: a reference to the contract is no help.
    assert "the contract describes" not in str(errors)
    assert api.get("/provider-profile").json()["display_name"] is None


@pytest.mark.parametrize(
    ("member", "value", "example"),
    [
        ("contact_phone", "call us", "+49 30 1234567"),
        ("contact_mail", "nobody", "help@example.com"),
        ("time_zone", "Europe Berlin", "Europe/Berlin"),
        ("accent", "red", "#0c6a60"),
    ],
)
def test_error_about_a_form_has_an_example_that_is_accepted(
    api: httpx.Client, member: str, value: str, example: str
) -> None:
    """The error for a wrong form ends with an example that is accepted."""
    rejected = api.patch("/provider-profile", json={member: value})
    (error,) = rejected.json()["errors"]
    assert error["pointer"] == f"/{member}"
    assert error["detail"].endswith(f" such as {example}")
    assert api.patch("/provider-profile", json={member: example}).is_success


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Europe/Berln", "did you mean Europe/Berlin?"),
        ("12345678", "such as Europe/Berlin"),
    ],
)
def test_unknown_zone_names_the_nearest(
    api: httpx.Client, zone: str, hint: str
) -> None:
    """The error for an unknown time zone names the nearest zone, or an example."""
    answer = api.patch("/provider-profile", json={"time_zone": zone})
    assert hint in answer.json()["detail"]


@pytest.mark.parametrize(
    ("accent", "shown"),
    [
        ("#ffffff", "1.00"),
        ("#ffcc00", "1.51"),
        ("#787878", "4.41"),
        ("#777777", "4.47"),
    ],
)
def test_accent_with_little_contrast_is_rejected_with_its_contrast(
    api: httpx.Client, accent: str, shown: str
) -> None:
    """The error for a light accent names its contrast, rounded down."""
    answer = api.patch("/provider-profile", json={"accent": accent})
    assert answer.status_code == 422
    assert f"a contrast of {shown} to 1 on white" in answer.json()["detail"]


def test_accent_at_the_limit_is_accepted(api: httpx.Client) -> None:
    """Grey 76 has a contrast of 4.54 with white and is accepted."""
    assert api.patch("/provider-profile", json={"accent": "#767676"}).is_success


def test_each_accent_has_a_dark_variant_with_enough_contrast() -> None:
    """A dark accent has just enough white for 4.5 to 1 on the dark card.

    White alone has more, so every colour has a variant.
    """
    levels = range(0, 256, 17)
    for red, green, blue in product(levels, repeat=3):
        accent = f"#{red:02x}{green:02x}{blue:02x}"
        if contrast(accent, LIGHT_CARD) < MIN_CONTRAST:
            continue
        dark = dark_variant(accent)
        assert contrast(dark, DARK_CARD) >= MIN_CONTRAST, accent
        assert dark == accent or contrast(dark, DARK_CARD) < MIN_CONTRAST * 1.1, accent


def mark_of(content: bytes) -> dict[str, str]:
    """Return the change of a profile that sets a mark."""
    return {"mark": b64encode(content).decode()}


def indexed_png(palette: bytes, *more: bytes) -> bytes:
    """Return an image of one pixel with a palette, and chunks behind the palette."""
    parts = (chunk(b"PLTE", palette), *more, pixels(b"\0\0"), chunk(b"IEND", b""))
    return SIGNATURE + header(1, 1, color=3) + b"".join(parts)


MARKS = {
    "no PNG": (b"GIF89a", "is not a PNG"),
    "vector image": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a PNG"),
    "cut": (png(2, 2)[:-1], "is not a whole PNG"),
    "no end": (png(2, 2)[:-12], "is not a whole PNG"),
    "changed": (png(2, 2).replace(b"IDAT", b"IDAt"), "is not a whole PNG"),
    "no pixels": (SIGNATURE + header(2, 2) + chunk(b"IEND", b""), "is not a whole PNG"),
    "short header": (
        SIGNATURE + chunk(b"IHDR", b"12") + chunk(b"IEND", b""),
        "is not a whole PNG",
    ),
    "few pixels": (
        SIGNATURE + header(2, 3) + pixels(b"\0" * 18) + chunk(b"IEND", b""),
        "is not a whole PNG",
    ),
    "many pixels": (
        SIGNATURE + header(2, 2) + pixels(b"\0" * 5_000_000) + chunk(b"IEND", b""),
        "is not a whole PNG",
    ),
    "unknown depth": (
        SIGNATURE + header(1, 1, depth=7) + pixels(b"\0" * 5) + chunk(b"IEND", b""),
        "is not a whole PNG",
    ),
    "no palette": (
        SIGNATURE + header(1, 1, color=3) + pixels(b"\0\0") + chunk(b"IEND", b""),
        "is not a whole PNG",
    ),
    "palette without pixels": (
        SIGNATURE + header(1, 1, color=3) + chunk(b"IEND", b""),
        "is not a whole PNG",
    ),
    "empty palette": (indexed_png(b""), "is not a whole PNG"),
    "part of a colour": (indexed_png(b"rgbr"), "is not a whole PNG"),
    "many colours": (indexed_png(b"rgb" * 257), "is not a whole PNG"),
    "transparency of no colour": (
        indexed_png(b"rgb", chunk(b"tRNS", b"12")),
        "is not a whole PNG",
    ),
    "part of a transparent colour": (
        SIGNATURE
        + header(1, 1, color=0)
        + chunk(b"tRNS", b"1")
        + pixels(b"\0\0")
        + chunk(b"IEND", b""),
        "is not a whole PNG",
    ),
    "unknown filter": (
        SIGNATURE + header(1, 1) + pixels(b"\x05rgba") + chunk(b"IEND", b""),
        "is not a whole PNG",
    ),
    "interlaced": (
        SIGNATURE + header(1, 1, interlace=1) + pixels(b"\0" * 5) + chunk(b"IEND", b""),
        "save it without interlacing",
    ),
    "wide": (png(513, 1), "has 513 x 1 pixels, and a mark has at most 512 x 512"),
    "large": (
        png(2, 2, chunk(b"tEXt", b"x" * 8192)),
        " bytes, and a mark has at most 8,192",
    ),
}


@pytest.mark.parametrize(("content", "error"), MARKS.values(), ids=MARKS)
def test_unusable_mark_is_rejected(
    api: httpx.Client, content: bytes, error: str
) -> None:
    """The error of a mark names its fault; the profile has no mark."""
    answer = api.patch("/provider-profile", json=mark_of(content))
    assert answer.status_code == 422, answer.text
    assert error in answer.json()["detail"]
    assert api.get("/provider-profile").json()["has_mark"] is False


@pytest.mark.parametrize("text", ["", "*", "ä", "AAA"])
def test_mark_that_is_not_base64_is_rejected(api: httpx.Client, text: str) -> None:
    """A text that is no base64 gets 422."""
    answer = api.patch("/provider-profile", json={"mark": text})
    assert (answer.status_code, problem_name(answer)) == (422, "invalid-request")


def test_cards_are_those_of_the_style_sheet() -> None:
    """The backgrounds of the contrast rule are the cards of the page."""
    style = files("trackerapi_backend.pages").joinpath("static/page.css").read_text()
    light, dark = re.findall("--card: (#[0-9a-f]+);", style)[:2]
    assert (light.replace("#fff", "#ffffff"), dark) == (LIGHT_CARD, DARK_CARD)


def test_command_sets_and_shows_the_profile(tmp_path: Path) -> None:
    """`provider set` changes only the named values, and `show` prints all values."""
    prepare(tmp_path)
    environment = variables_of(tmp_path)
    file = tmp_path / "mark.png"
    file.write_bytes(png(64, 32))
    marked = command_here(
        "provider", "set", "--mark", str(file), environment=environment
    )
    assert "mark\tset\n" in marked.stdout
    unset = command_here("provider", "set", "--unset", "mark", environment=environment)
    assert "mark\t-\n" in unset.stdout
    options = ("--display-name", "Zoë & Co", "--accent", "#0C6A60")
    first = command_here("provider", "set", *options, environment=environment)
    assert first.returncode == 0, first.stderr
    more = ("--time-zone", "Asia/Kathmandu", "--unset", "accent")
    changed = command_here("provider", "set", *more, environment=environment)
    shown = command_here("provider", "show", environment=environment)
    assert changed.stdout == shown.stdout
    assert dict(line.split("\t") for line in shown.stdout.splitlines()) == {
        "name": "One",
        "display-name": "Zoë & Co",
        **dict.fromkeys(("contact-text", "contact-phone", "contact-mail"), "-"),
        "time-zone": "Asia/Kathmandu",
        **dict.fromkeys(("language", "accent", "mark", "retention-days"), "-"),
    }
    other = command_here(
        "provider", "show", "--provider", "Two", environment=environment
    )
    assert "display-name\t-" in other.stdout
    listed = command_here("provider", "list", environment=environment).stdout
    names = [line.split("\t")[1] for line in listed.splitlines()]
    assert names == ["One", "Two"]
    assert listed.startswith("1\t")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ([], "name at least one value"),
        (["--accent", "#ffcc00"], "--accent has a contrast of 1.51 to 1"),
        (["--time-zone", "Berlin"], "--time-zone is not a name of the IANA database"),
        (["--contact-phone", "call us"], "--contact-phone "),
        (["--mark", "missing.png"], "--mark: missing.png cannot be read (No such file"),
        (["--mark", "/"], "--mark: / cannot be read (not a regular file"),
        (["--mark", __file__], f"--mark: {__file__} has more than 8,192 bytes"),
        (["--mark", images.__file__], "--mark is not a PNG"),
        (["--accent", "#0c6a60", "--unset", "accent"], "exclude each other"),
        (["--provider", "Three", "--language", "de"], "the provider does not exist"),
    ],
)
def test_command_names_the_option_of_an_invalid_value(
    tmp_path: Path, options: list[str], error: str
) -> None:
    """An invalid option of `provider set` is one line that names the option."""
    prepare(tmp_path)
    result = command_here(
        "provider", "set", *options, environment=variables_of(tmp_path)
    )
    assert error in error_line(result)
