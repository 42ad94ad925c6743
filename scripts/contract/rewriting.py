"""A fetched contract in the form in which ours is checked in."""

import itertools

import yaml

from scripts.contract.document import Contract, parse_contract
from scripts.project import CONTRACT_PATH


def as_checked_in(theirs: Contract, ours: Contract) -> Contract:
    """Return their contract as YAML under the comment that heads ours.

    Contracts written in YAML keep their text.
    """
    if not theirs.text.lstrip().startswith("{"):
        return theirs
    lines = ours.text.splitlines(keepends=True)
    heading = itertools.takewhile(lambda line: line.startswith("#"), lines)
    body = yaml.safe_dump(
        theirs.document, sort_keys=False, allow_unicode=True, width=88
    )
    return parse_contract("".join((*heading, body)), str(CONTRACT_PATH))
