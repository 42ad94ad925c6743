"""Conversion of a fetched contract into the form of the checked-in contract."""

import itertools

import yaml

from scripts.contract.document import Contract, parse_contract
from scripts.project import CONTRACT_PATH


def as_checked_in(theirs: Contract, ours: Contract) -> Contract:
    """Return `theirs` as YAML, with the heading comment of `ours`.

    A contract in YAML is returned unchanged.
    """
    if not theirs.text.lstrip().startswith("{"):
        return theirs
    lines = ours.text.splitlines(keepends=True)
    heading = itertools.takewhile(lambda line: line.startswith("#"), lines)
    body = yaml.safe_dump(
        theirs.document, sort_keys=False, allow_unicode=True, width=88
    )
    return parse_contract("".join((*heading, body)), str(CONTRACT_PATH))
