"""`trackerapi-backend conformance`: check whether a backend follows the contract."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from trackerapi_backend.conformance.exchange import Exchange
from trackerapi_backend.conformance.expectations import KitError
from trackerapi_backend.conformance.run import all_checks, is_selected, run_checks
from trackerapi_backend.conformance.session import Session
from trackerapi_backend.settings import SettingsError, absolute_path, read_secret

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.conformance.run import Outcome

MAX_KEY_LENGTH = 200


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of `conformance`."""
    parser.description = (
        "Check over HTTP whether a backend follows the contract. The command creates"
        " customers, jobs, keys and links with names that begin with `conformance-` or"
        " `Conformance kit`, and changes nothing else. Exit status: 0 all checks"
        " passed, 1 a check failed or the backend cannot be checked, 2 wrong usage."
    )
    parser.add_argument(
        "--base-url", required=True, type=_address, help="address of the backend"
    )
    parser.add_argument(
        "--api-key-file",
        required=True,
        metavar="FILE",
        help="file with a key that has the scopes ingest, read and admin",
    )
    parser.add_argument(
        "--other-api-key-file",
        metavar="FILE",
        help="file with a key of another provider with the same scopes, for the checks"
        " of tenancy",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        type=_check_name,
        metavar="NAME",
        help="run only this check or group of checks; may be repeated",
    )
    parser.add_argument(
        "--json", action="store_true", help="print each line as one JSON object"
    )
    parser.set_defaults(run=check_backend)


def _address(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = is_address and not (
            parts.query or parts.fragment or parts.username
        )
        is_address = is_address and text.isprintable() and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or " " in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an address such as https://tracker.example.org"
        )
    return text


def _check_name(text: str) -> str:
    names = [check.name for check in all_checks()]
    if not any(is_selected(name, [text]) for name in names):
        groups = ", ".join(dict.fromkeys(name.partition("/")[0] for name in names))
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a check, such as {names[0]}, nor a group: {groups}"
        )
    return text


def check_backend(options: Namespace, print_line: PrintLine) -> None:
    """Run the checks and print their outcomes; exit with status 1 if a check failed."""
    key = _read_key(options.api_key_file, "--api-key-file")
    other = options.other_api_key_file
    other_key = None if other is None else _read_key(other, "--other-api-key-file")
    started = time.monotonic()
    try:
        with closing(Exchange(options.base_url)) as exchange:
            session = Session(exchange, key, other_key)
            _require_keys(session)
            results: Counter[str] = Counter()
            for outcome in run_checks(session, options.only):
                results[outcome.result] += 1
                print_line(_line(outcome, as_json=options.json))
    except KitError as error:
        raise SettingsError(str(error)) from None
    print_line(_summary(session, results, time.monotonic() - started, options))
    if results["fail"]:
        raise SystemExit(1)


def _read_key(file: str, option: str) -> str:
    path = absolute_path(file, option)
    try:
        key = read_secret(path).decode("ascii").strip()
    except OSError as error:
        raise SettingsError(
            f"{option}: {path} cannot be read ({error.strerror or error})"
        ) from None
    except UnicodeDecodeError:
        key = ""
    if not key or len(key) > MAX_KEY_LENGTH or not key.isprintable() or " " in key:
        raise SettingsError(f"{option}: {path} must have one API key and nothing else")
    return key


def _require_keys(session: Session) -> None:
    provider_id = session.require_full_key(session.key, "--api-key-file")
    if session.other_key is not None:
        option = "--other-api-key-file"
        other_id = session.require_full_key(session.other_key, option)
        if other_id == provider_id:
            raise KitError(f"the key of {option} belongs to the same provider")


def _line(outcome: Outcome, *, as_json: bool) -> str:
    name, title = outcome.check.name, outcome.check.title
    if as_json:
        members = {"check": name, "title": title, "result": outcome.result}
        return json.dumps(
            members | ({"reason": outcome.reason} if outcome.reason else {})
        )
    reason = f"\n      {outcome.reason}" if outcome.reason else ""
    return f"{outcome.result}  {name}  {title}{reason}"


def _summary(
    session: Session, results: Counter[str], seconds: float, options: Namespace
) -> str:
    made = dict(sorted(session.made.items()))
    counts = {name: results[name] for name in ("pass", "fail", "skip")}
    if options.json:
        summary = {
            "run": session.run,
            "results": counts,
            "requests": session.exchange.request_count,
            "seconds": round(seconds, 1),
            "made": made,
        }
        return json.dumps(summary)
    return (
        f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped;"
        f" {session.exchange.request_count} requests in {seconds:.1f} s. The run"
        f" {session.run} made {made.get('create_customer', 0)} customers and"
        f" {made.get('create_job', 0)} jobs, named conformance-{session.run}-…."
        " Its keys, tokens and links expire within an hour."
    )
