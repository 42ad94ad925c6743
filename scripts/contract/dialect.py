"""The part of OpenAPI that compiles without loss, as rules over a contract."""

from scripts.contract.document import Contract
from scripts.contract.finding import Finding
from scripts.contract.operation_rules import OPERATION_RULES
from scripts.contract.schema_rules import SCHEMA_RULES

RULES = (*OPERATION_RULES, *SCHEMA_RULES)


def lint(contract: Contract) -> list[Finding]:
    """Return the findings about the contract, rule by rule."""
    return [finding for rule in RULES for finding in rule(contract)]
