"""`trackerapi-backend serve`: a server for a database with the current schema."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import (
    add_database_options,
    add_log_options,
    port_number,
    whole_number,
)
from trackerapi_backend.cli.database import open_pepper, open_store
from trackerapi_backend.cli.served import run_served
from trackerapi_backend.logs import start_log
from trackerapi_backend.network.listeners import (
    inherited_listeners,
    open_listener,
    require_public_address,
)
from trackerapi_backend.server import exit_despite_busy_threads, serve_store
from trackerapi_backend.settings import (
    DEFAULT_HOST,
    DEFAULT_LOG_LEVEL,
    DEFAULT_PORT,
    MAX_LIMIT,
    MAX_MAX_CONNECTIONS,
    PREFIX,
    RequestLimits,
    settings_from,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine

_log = logging.getLogger(__name__)

_LIMITS = {
    "key_requests_per_second": "maximum number of requests of a key per second",
    "provider_requests_per_second": (
        "maximum number of requests of all keys of a provider per second"
    ),
    "key_requests_at_once": "maximum number of requests of a key at the same time",
    "provider_requests_at_once": (
        "maximum number of requests of a provider at the same time"
    ),
    "unknown_keys_per_minute": (
        "number of different unknown keys per minute after which the keys of an"
        " address are looked up one after another"
    ),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `serve`."""
    parser.description = "Serve a database whose schema is up to date (see `migrate`)."
    add_database_options(parser)
    parser.add_argument("--host", help=f"default: {DEFAULT_HOST}")
    parser.add_argument("--port", type=port_number, help=f"default: {DEFAULT_PORT}")
    parser.add_argument(
        "--public-base-url",
        metavar="URL",
        help="address that people use, with the path that a proxy adds; needed if"
        " other machines or a proxy with a UNIX socket reach the server",
    )
    parser.add_argument(
        "--trusted-proxies",
        metavar="ADDRESSES",
        help="addresses or networks of proxies whose X-Forwarded-For and"
        " X-Forwarded-Proto count, with commas between them; default: this machine",
    )
    parser.add_argument(
        "--max-connections",
        type=lambda text: whole_number(text, 1, MAX_MAX_CONNECTIONS),
        metavar="NUMBER",
        help="maximum number of open connections; default: as many as the limit of"
        " open files allows, at most 20,000",
    )
    parser.add_argument(
        "--metrics-address",
        metavar="HOST:PORT",
        help="address of /metrics; default: no metrics",
    )
    add_log_options(parser, DEFAULT_LOG_LEVEL)
    for name, meaning in _LIMITS.items():
        default = getattr(RequestLimits(), name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=_limit,
            metavar="N",
            help=f"{meaning}; default: {default or 'no limit'}",
        )
    parser.set_defaults(run=run)


def _limit(text: str) -> int:
    return whole_number(text, 0, MAX_LIMIT)


def run(options: Namespace, print_line: PrintLine) -> None:
    """Serve until a signal ends the server."""
    inherited = inherited_listeners()
    settings = settings_from(vars(options))
    start_log(settings.log)
    with closing(open_store(settings)) as store, ExitStack() as stack:
        # Servers of one PostgreSQL database share one secret, so a server of PostgreSQL
        # makes no secret.
        pepper = open_pepper(store, settings, create=settings.database is not None)
        listeners = inherited or [
            stack.enter_context(open_listener(settings.host, settings.port))
        ]
        if settings.public_base_url is None:
            require_public_address(listeners)
        if settings.erasures_file is None:
            _log.warning(
                "no job and no customer can be erased: set %sERASURES_FILE to a file",
                PREFIX,
            )
        serve_store(
            settings,
            store,
            pepper,
            listeners=listeners,
            announce=lambda url: print_line(f"Serving at {url}"),
            run_command=partial(run_served, settings),
        )
    exit_despite_busy_threads(0)
