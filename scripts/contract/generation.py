"""Everything that is compiled from the contract, made afresh in a folder.

Bytes depend on the contract, `openapi/generator.yaml` and the pinned tools alone:
each tool runs in an environment of its own making, away from the caller's hash
seed, locale, working directory and configuration files.
"""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from scripts.contract.answers import answers_module
from scripts.contract.dialect import lint
from scripts.contract.document import Contract, ContractError
from scripts.contract.pins import pinned_versions
from scripts.project import (
    BACKEND_SHAPES_PATH,
    CLIENT_PATH,
    GENERATOR_CONFIG_PATH,
    PROVENANCE_PATH,
    SCHEMAS_PATH,
)

SHAPES_HEADER = (
    '"""Shapes of the contract, compiled by scripts/regenerate.sh; never edited."""'
)
SHAPES_PACKAGE = (
    '"""What scripts/regenerate.sh compiles from the contract; never edited."""\n'
)
SHAPES_OPTIONS = (
    "--input-file-type=openapi",
    "--output-model-type=typing.TypedDict",
    "--target-python-version=3.11",
    "--use-standard-collections",
    "--use-union-operator",
    "--collapse-root-models",
    "--disable-timestamp",
    "--use-schema-description",
    "--enum-field-as-literal=all",
    "--no-use-closed-typed-dict",
    "--ignore-pyproject",
    "--no-formatters",
    f"--custom-file-header={SHAPES_HEADER}",
)
RUFF_OPTIONS = (
    "--isolated",
    "--no-cache",
    "--quiet",
    "--target-version=py311",
    "--line-length=88",
)
SHAPING_KEYWORDS = {"type", "anyOf", "oneOf", "allOf", "enum", "$ref", "const"}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Runs the tools of one generation.

    Attributes:
        root: Work tree whose code and configuration are used.
        workshop: Empty folder in which the tools run and keep their files.
    """

    root: Path
    workshop: Path

    def run_module(self, module: str, *arguments: str | Path) -> None:
        """Run a Python tool to its end.

        Raises:
            ContractError: If the tool fails; carries the output of the tool.
        """
        command = [sys.executable, "-P", "-m", module, *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=self.workshop,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate()
        except BaseException:
            # The tool may have started others: none of them may outlive this run.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if process.returncode != 0:
            raise ContractError(f"{shlex.join(command[2:4])} failed:\n{output.strip()}")

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.pathsep.join((sysconfig.get_path("scripts"), os.defpath)),
            "PYTHONPATH": str(self.root),
            "PYTHONHASHSEED": "0",
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.workshop),
        }


def generate(contract: Contract, root: Path, workshop: Path) -> Path:
    """Compile `contract` and return the folder that holds every output.

    Args:
        contract: The contract to compile; need not be that of `root`.
        root: Work tree whose configuration, pins and code are used; not written to.
        workshop: Empty folder to work in; the outputs lie in a folder inside.

    Raises:
        ContractError: If the contract is not valid, lies outside the dialect or
            does not compile without loss, or a tool is not the pinned one.
    """
    versions = pinned_versions(root)
    check(contract)
    fresh = workshop / "fresh"
    for output in (CLIENT_PATH, BACKEND_SHAPES_PATH, SCHEMAS_PATH, PROVENANCE_PATH):
        (fresh / output).parent.mkdir(parents=True, exist_ok=True)
    toolbox = Toolbox(root, workshop)
    _compile_client(contract, toolbox, fresh / CLIENT_PATH)
    _compile_shapes(contract, toolbox, fresh / BACKEND_SHAPES_PATH)
    _render_schemas(toolbox, fresh / SCHEMAS_PATH)
    provenance = _provenance(contract, root, fresh / CLIENT_PATH, versions)
    (fresh / PROVENANCE_PATH).write_text(provenance, encoding="utf-8")
    return fresh


def check(contract: Contract) -> None:
    """Hold the contract to OpenAPI and to the dialect.

    Raises:
        ContractError: If it breaks either; names each place.
    """
    check_validity(contract)
    findings = lint(contract)
    if findings:
        lines = "\n".join(f"  {finding}" for finding in findings)
        raise ContractError(f"{contract.source} lies outside the dialect:\n{lines}")


def _references(node: object) -> Iterator[str]:
    """Walk the `$ref` of a document, at any depth."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield reference
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _references(each)


def check_validity(contract: Contract) -> None:
    """Hold a contract to OpenAPI, ours or that of anybody.

    Raises:
        ContractError: If it is not valid; names the place.
    """
    try:
        # Before all else: the validator follows such references for ever.
        for operation in contract.operations():
            contract.responses(operation)
            contract.parameters(operation)
            contract.resolve(operation.item.get("requestBody", {}))
        for reference in _references(contract.document):
            if not reference.startswith("#"):
                # The validator would read the file or address that stands there.
                raise ContractError(
                    f"{contract.source} refers to another document, {reference!r};"
                    " put both into one"
                )
        validate(contract.document)
        for server in contract.document.get("servers") or ():
            urlsplit(server.get("url", ""))
    except RecursionError as error:
        raise ContractError(
            f"{contract.source} is not valid: a reference leads back to itself"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"a part of it is of another type ({error})"
        raise ContractError(f"{contract.source} is not valid: {reason}") from error
    except (OpenAPIValidationError, OSError) as error:
        place = "/".join(("#", *map(str, getattr(error, "absolute_path", ()))))
        message = getattr(error, "message", str(error)).splitlines()[0]
        raise ContractError(
            f"{contract.source} is not valid: {place}: {message}"
        ) from error


def _compile_client(contract: Contract, toolbox: Toolbox, package: Path) -> None:
    source = toolbox.workshop / "contract.json"
    source.write_text(json.dumps(contract.document), encoding="utf-8")
    toolbox.run_module(
        "openapi_python_client",
        "generate",
        f"--path={source}",
        f"--config={toolbox.root / GENERATOR_CONFIG_PATH}",
        "--meta=none",
        f"--output-path={package}",
        "--fail-on-warning",
    )
    (package / "py.typed").touch()
    answers = package / "answers.py"
    answers.write_text(answers_module(contract), encoding="utf-8")
    toolbox.run_module("ruff", "format", *RUFF_OPTIONS, answers)
    expected = {
        f"{each.item['tags'][0].replace('-', '_')}/{each.operation_id}"
        for each in contract.operations()
    }
    made = {
        f"{module.parent.name}/{module.stem}"
        for module in package.glob("api/*/*.py")
        if module.stem != "__init__"
    }
    if expected != made:
        lost = ", ".join(sorted(expected ^ made))
        raise ContractError(f"operations and modules of the client differ: {lost}")


def _compile_shapes(contract: Contract, toolbox: Toolbox, package: Path) -> None:
    package.mkdir()
    (package / "__init__.py").write_text(SHAPES_PACKAGE, encoding="utf-8")
    (package / "openapi.json").write_text(
        json.dumps(contract.document, indent=1) + "\n", encoding="utf-8"
    )
    source = toolbox.workshop / "shapes.json"
    source.write_text(json.dumps(_with_opaque_values(contract)), encoding="utf-8")
    models = package / "models.py"
    toolbox.run_module(
        "datamodel_code_generator",
        f"--input={source}",
        f"--output={models}",
        *SHAPES_OPTIONS,
    )
    lint_options = ("--select=F401,I,D200", "--fix-only", "--unsafe-fixes")
    toolbox.run_module("ruff", "check", *RUFF_OPTIONS, *lint_options, models)
    toolbox.run_module("ruff", "format", *RUFF_OPTIONS, models)


def _with_opaque_values(contract: Contract) -> dict[str, Any]:
    """Return the document with schemas that admit any kind of value left blank.

    The compiler would take limits that stand without a type for a type.
    """
    document: dict[str, Any] = json.loads(json.dumps(contract.document))
    schemas = document.get("components", {}).get("schemas", {})
    for name, schema in schemas.items():
        if not SHAPING_KEYWORDS & schema.keys():
            schemas[name] = {"description": schema.get("description", "")}
    return document


def _render_schemas(toolbox: Toolbox, folder: Path) -> None:
    toolbox.run_module("trackerapi.generate_json_schemas", f"--location={folder}")


def _provenance(
    contract: Contract, root: Path, client: Path, versions: dict[str, str]
) -> str:
    config = (root / GENERATOR_CONFIG_PATH).read_bytes()
    models = [each for each in client.glob("models/*.py") if each.stem != "__init__"]
    lines: Sequence[str] = (
        "# What the generated files were made from; written by scripts/regenerate.sh.",
        f'contract_sha256 = "{_sha256(contract.text.encode())}"',
        f'generator_config_sha256 = "{_sha256(config)}"',
        f"operation_count = {len(list(contract.operations()))}",
        f"model_count = {len(models)}",
        "",
        "[tools]",
        *(f'{tool} = "{version}"' for tool, version in versions.items()),
    )
    return "\n".join(lines) + "\n"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
