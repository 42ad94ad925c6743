"""`scripts/regenerate.sh` on a copy of the work tree: fixes, refusals and crashes."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import contract_changes, lint_contract, regenerate
from scripts.contract.document import Contract
from scripts.project import (
    BACKEND_SHAPES_PATH,
    CLIENT_PATH,
    CONSTRAINTS_PATH,
    CONTRACT_PATH,
    GENERATOR_CONFIG_PATH,
    PROVENANCE_PATH,
    ROOT,
    SCHEMAS_PATH,
)
from tests.support.contract_editing import edit
from tests.support.contract_samples import generated_operations

FIX = "To fix: scripts/regenerate.sh"
HOST = "components|schemas|JobInput|properties|host"
TAG_WORDS = "components|schemas|JobInput|properties|tag|description"


def run(tree: Path, *arguments: str) -> int:
    """Run `regenerate` on `tree`; return its exit status."""
    return regenerate.main(["--root", str(tree), *arguments])


def snapshot(tree: Path) -> dict[str, bytes]:
    """Return the files of `tree` with their bytes, without bytecode caches."""
    return {
        str(path.relative_to(tree)): path.read_bytes()
        for path in tree.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def change_contract(tree: Path, contract: Contract) -> None:
    """Add a property to the contract of `tree` without regenerating."""
    document = json.loads(json.dumps(contract.document))
    edit(document, HOST, {"type": "string"})
    (tree / CONTRACT_PATH).write_text(json.dumps(document))


def test_generated_files_match_the_contract(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check finds no difference in a clean work tree, and changes nothing."""
    before = snapshot(tree)
    assert run(tree, "--check") == 0, capsys.readouterr().out
    assert snapshot(tree) == before


def test_edited_missing_and_extra_files_are_found_and_fixed(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check names each wrong file of each output; a run restores the tree."""
    before = snapshot(tree)
    edited = [
        CLIENT_PATH / "types.py",
        BACKEND_SHAPES_PATH / "models.py",
        SCHEMAS_PATH / "job-configurations-schema.generated.json",
        PROVENANCE_PATH,
    ]
    for path in edited:
        (tree / path).write_bytes(before[str(path)] + b"#")
    (tree / CLIENT_PATH / "py.typed").unlink()
    (tree / CLIENT_PATH.parent / "stray.py").touch()
    (tree / CLIENT_PATH / "__pycache__").mkdir(exist_ok=True)
    (tree / CLIENT_PATH / "__pycache__" / "types.pyc").touch()
    assert run(tree, "--check") == 1
    out = capsys.readouterr().out
    for path in edited:
        assert f"edited or stale: {path}" in out
    assert f"missing: {CLIENT_PATH / 'py.typed'}" in out
    assert f"extra: {CLIENT_PATH.parent / 'stray.py'}" in out
    assert "types.pyc" not in out
    assert FIX in out
    assert run(tree) == 0
    assert snapshot(tree) == before


def test_changed_contract_makes_files_stale(
    tree: Path, contract: Contract, capsys: pytest.CaptureFixture[str]
) -> None:
    """A property added without regenerating makes client and shapes stale."""
    change_contract(tree, contract)
    assert run(tree, "--check") == 1
    out = capsys.readouterr().out
    assert f"edited or stale: {CLIENT_PATH / 'models/job_input.py'}" in out
    assert f"edited or stale: {BACKEND_SHAPES_PATH / 'models.py'}" in out
    assert len(out.splitlines()) < 200


@pytest.mark.parametrize(
    "tool", ["openapi-python-client", "ruff", "datamodel-code-generator"]
)
def test_other_version_of_a_tool_is_refused_by_name(
    tree: Path, tool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tool of another version than the pinned one is refused; nothing is written."""
    constraints = tree / CONSTRAINTS_PATH
    pins = constraints.read_text()
    constraints.write_text(re.sub(rf"^{tool}==.*$", f"{tool}==0.0.1", pins, flags=re.M))
    before = snapshot(tree)
    assert run(tree) == 1
    expected = rf"{tool} \S+ found, 0\.0\.1 needed: run scripts/setup\.sh"
    assert re.search(expected, capsys.readouterr().err)
    assert snapshot(tree) == before


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("paths|/jobs|get|responses", {}, "is not valid: #/paths//jobs/get/responses"),
        (f"{TAG_WORDS}", 5, "is not valid"),
        (
            "components|schemas|JobInput|title",
            "New job",
            "#/components/schemas/JobInput: has a title; use the description",
        ),
    ],
)
def test_contract_that_cannot_be_compiled_is_refused(
    tree: Path,
    contract: Contract,
    path: str,
    value: object,
    expected: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A contract that is invalid or outside the dialect changes no file."""
    document = json.loads(json.dumps(contract.document))
    edit(document, path, value)
    (tree / CONTRACT_PATH).write_text(json.dumps(document))
    before = snapshot(tree)
    assert run(tree) == 1
    assert expected in capsys.readouterr().err
    assert snapshot(tree) == before


def test_failing_generator_leaves_the_old_files(
    tree: Path, contract: Contract, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output of a failing tool is printed, and no file is replaced."""
    change_contract(tree, contract)
    config = tree / GENERATOR_CONFIG_PATH
    config.write_text(config.read_text() + "  - ruff no-such-command\n")
    before = snapshot(tree)
    assert run(tree) == 1
    assert "no-such-command" in capsys.readouterr().err
    assert snapshot(tree) == before


class Hanging:
    """Regeneration that blocks in the middle until the test releases it."""

    def __init__(self, tree: Path) -> None:
        self._signalled, self._blocked = tree / "signalled", tree / "blocked"
        os.mkfifo(self._signalled)
        os.mkfifo(self._blocked)
        self._config = tree / GENERATOR_CONFIG_PATH
        self.usual = self._config.read_text()
        wait = f"echo reached > {self._signalled}; read -r line < {self._blocked}"
        self._config.write_text(f"{self.usual}  - bash -c '{wait}'\n")
        self.before = snapshot(tree)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scripts.regenerate", "--root", str(tree)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self._signalled.read_text() == "reached\n"

    def assert_tools_have_ended(self) -> None:
        """Assert that the processes of the tools have ended."""
        with pytest.raises(OSError, match="No such device"):
            os.open(self._blocked, os.O_WRONLY | os.O_NONBLOCK)

    def release(self) -> None:
        """Release the tools of a killed run, and stop blocking later runs."""
        self._blocked.write_text("\n")
        self._config.write_text(self.usual)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_run_leaves_the_old_files(
    tree: Path, contract: Contract, number: signal.Signals
) -> None:
    """A signal ends the tools and removes the temporary folder; no file is replaced."""
    change_contract(tree, contract)
    interrupted = Hanging(tree)
    interrupted.process.send_signal(number)
    assert interrupted.process.wait(timeout=30) == 128 + number
    assert snapshot(tree) == interrupted.before
    assert list((tree / "build").iterdir()) == []
    interrupted.assert_tools_have_ended()


def test_temporary_folder_of_a_killed_run_is_removed_by_the_next_run(
    tree: Path, contract: Contract
) -> None:
    """The temporary folder of a run that SIGKILL ended is removed by the next run."""
    change_contract(tree, contract)
    killed = Hanging(tree)
    killed.process.kill()
    assert killed.process.wait(timeout=30) == -signal.SIGKILL
    assert len(list((tree / "build").iterdir())) == 1
    killed.release()

    assert run(tree) == 0

    assert list((tree / "build").iterdir()) == []


def test_failing_replacement_is_undone(
    tree: Path, contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last move fails, the moves before it are undone."""
    change_contract(tree, contract)
    before = snapshot(tree)
    rename = Path.rename

    def fail_last_move(source: Path, target: Path) -> Path:
        if target == tree / PROVENANCE_PATH:
            raise OSError("no space left")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", fail_last_move)
    with pytest.raises(OSError, match="no space left"):
        run(tree)
    assert snapshot(tree) == before


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"PYTHONHASHSEED": "1", "LC_ALL": "C", "PYTHONUTF8": "0"}, "."),
        (
            {
                "PYTHONHASHSEED": "4711",
                "LC_ALL": "tr_TR.UTF-8",
                "TZ": "Asia/Kathmandu",
                "COLUMNS": "20",
                "RUFF_CONFIG": "nowhere.toml",
            },
            "elsewhere",
        ),
    ],
)
def test_bytes_do_not_depend_on_the_surroundings(
    tree: Path, variables: dict[str, str], folder: str
) -> None:
    """Hash seed, locale, folder and settings of the caller change no byte."""
    working = tree / folder
    working.mkdir(exist_ok=True)
    result = subprocess.run(
        [sys.executable, "-Pm", "scripts.regenerate", "--check", "--root", str(tree)],
        cwd=working,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_bytes_do_not_depend_on_a_parent_configuration(tree: Path) -> None:
    """Settings of ruff, black and the compiler in a parent folder change no byte."""
    parent = tree.parent
    (parent / "ruff.toml").write_text(
        'line-length = 40\n[format]\nquote-style = "single"\n'
    )
    (parent / "pyproject.toml").write_text(
        "[tool.black]\nline-length = 40\n[tool.ruff]\nline-length = 40\n"
        '[tool.datamodel-codegen]\noutput-model-type = "dataclasses.dataclass"\n'
    )
    before = snapshot(tree)
    (tree / CLIENT_PATH / "types.py").unlink()
    (tree / BACKEND_SHAPES_PATH / "models.py").unlink()
    assert run(tree) == 0
    assert snapshot(tree) == before


def test_provenance_names_contract_and_counts_output(contract: Contract) -> None:
    """The record contains the hash of the contract and counts of the output."""
    record = tomllib.loads((ROOT / PROVENANCE_PATH).read_text())
    text = (ROOT / CONTRACT_PATH).read_bytes()
    endpoints = [
        path
        for path in (ROOT / CLIENT_PATH / "api").glob("*/*.py")
        if path.name != "__init__.py"
    ]
    assert record["contract_sha256"] == hashlib.sha256(text).hexdigest()
    operations = list(contract.operations())
    assert len(endpoints) == len(generated_operations(contract))
    assert record["operation_count"] == len(operations)
    assert record["tools"].keys() == {
        "datamodel-code-generator",
        "openapi-python-client",
        "ruff",
    }


@pytest.fixture
def deployed(contract: Contract) -> Iterator[tuple[str, dict[str, Any]]]:
    """Serve a contract over HTTP; yield the address and the editable document."""
    document = json.loads(json.dumps(contract.document))

    class Serving(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/openapi.json" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Log no request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Serving) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", document
        server.shutdown()
        thread.join()


def test_deployed_contract_of_the_same_content_is_no_difference(
    tree: Path,
    deployed: tuple[str, dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The JSON contract of a backend equals the YAML file with the same content."""
    address, _ = deployed
    assert run(tree, "--spec", address) == 0
    assert capsys.readouterr().out == "The contracts are equivalent.\n"


def test_deployed_contract_that_differs_is_reported_and_not_written(
    tree: Path,
    deployed: tuple[str, dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Breaking differences are listed first; without `--accept` nothing is written."""
    address, document = deployed
    edit(document, HOST, {"type": "string"})
    del document["paths"]["/customers/{customer_id}"]["get"]
    before = snapshot(tree)
    assert run(tree, "--spec", f"{address}/openapi.json") == 1
    assert capsys.readouterr().out.splitlines() == [
        "breaking: get_customer: was removed",
        "additive: JobInput.host: is a new member",
        "Nothing was written. To replace our contract: add --accept",
    ]
    assert snapshot(tree) == before


def test_accepted_contract_replaces_contract_and_generated_files(
    tree: Path, deployed: tuple[str, dict[str, Any]]
) -> None:
    """`--accept` replaces the contract, keeps its heading and compiles all outputs."""
    address, document = deployed
    edit(document, HOST, {"type": "string"})
    heading = (tree / CONTRACT_PATH).read_text().splitlines()[0]
    assert run(tree, "--spec", address, "--accept") == 0
    assert (tree / CONTRACT_PATH).read_text().startswith(heading)
    assert "host" in (tree / CLIENT_PATH / "models/job_input.py").read_text()
    assert run(tree, "--check") == 0
    assert run(tree, "--spec", address) == 0


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("nowhere.yaml", "nowhere.yaml cannot be read"),
        ("http://127.0.0.1:1/openapi.json", "cannot be fetched"),
        ("http://[broken/", "cannot be fetched"),
    ],
)
def test_unavailable_contract_is_one_line_of_error(
    tree: Path, source: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For an unreadable file or address, the command prints the reason; status 1."""
    assert run(tree, "--spec", source) == 1
    assert expected in capsys.readouterr().err


SMALL = """\
openapi: {version}
info: {{title: Small, version: "1"}}
paths:
  /small:
    get:
      operationId: get_small
      responses:
        {status}: {response}
{more}"""
FOREIGN_CONTRACTS = [
    ("3.1.0", '"200"', "{description: fine}", ""),
    ("3.0.3", "200", "{description: fine}", "servers: [{url: /v1}]\n"),
    (
        "3.1.0",
        '"200"',
        '{$ref: "#/components/responses/Fine"}',
        "components: {responses: {Fine: {description: fine}}}\n",
    ),
    (
        "3.1.0",
        "default",
        "{description: fine, content: {application/json: {schema: true}}}",
        "security: [{key: []}]\n"
        "components: {securitySchemes: {key: {type: http, scheme: bearer}}}\n",
    ),
]


@pytest.mark.parametrize(("version", "status", "response", "more"), FOREIGN_CONTRACTS)
def test_contract_of_another_service_is_compared(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    version: str,
    status: str,
    response: str,
    more: str,
) -> None:
    """A contract outside our dialect is compared, and its differences are listed."""
    other = tree / "other.yaml"
    other.write_text(
        SMALL.format(version=version, status=status, response=response, more=more)
    )

    assert run(tree, "--spec", str(other)) == 1

    output = capsys.readouterr()
    assert output.err == ""
    assert "breaking: create_job: was removed" in output.out
    assert "additive: get_small: is a new operation" in output.out


ENDLESS = (
    "components: {responses: {A: {$ref: '#/components/responses/B'}, "
    "B: {$ref: '#/components/responses/A'}}}\n"
)
INVALID_CONTRACTS = [
    ('{$ref: "#/components/responses/A"}', ENDLESS, "leads back to itself"),
    ('{$ref: "other.yaml#/A"}', "", "has no target"),
    ("{description: 5}", "", "is not valid"),
    ("[1]", "", "is not valid"),
    ("{description: fine}", "components: 7\n", "is not valid"),
    ("{description: fine}", "? [a]\n: 1\n", "YAML"),
]


@pytest.mark.parametrize("arguments", [[], ["--accept"]])
@pytest.mark.parametrize(("response", "more", "expected"), INVALID_CONTRACTS)
def test_invalid_contract_is_one_line_of_error(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    response: str,
    more: str,
    expected: str,
    arguments: list[str],
) -> None:
    """For wrong types and circular references, the reason is on stderr only."""
    other = tree / "other.yaml"
    other.write_text(
        SMALL.format(version="3.1.0", status='"200"', response=response, more=more)
    )

    assert run(tree, "--spec", str(other), *arguments) == 1

    output = capsys.readouterr()
    assert expected in output.err
    assert output.out == ""


def test_contract_outside_the_dialect_is_refused_by_file_name(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A contract outside the dialect is refused with the name of the given file."""
    other = tree / "other.yaml"
    other.write_text(
        SMALL.format(
            version="3.1.0", status='"200"', response="{description: x}", more=""
        )
    )

    assert run(tree, "--spec", str(other), "--accept") == 1

    assert capsys.readouterr().err.startswith(f"{other} lies outside the dialect:\n")


@pytest.mark.parametrize(
    "arguments",
    [["--accept"], ["--check", "--spec", "contract.yaml"], ["--spec", ""]],
)
def test_contradicting_options_are_a_usage_error(
    tree: Path, arguments: list[str]
) -> None:
    """Contradicting and empty options exit with status 2."""
    with pytest.raises(SystemExit, match="2"):
        run(tree, *arguments)


@pytest.mark.parametrize(
    "document",
    [
        "{openapi: 3.1.0, paths: []}",
        "{openapi: 3.1.0, info: {title: x, version: '1'}, paths: {/a: {get: null}}}",
        "{openapi: 3.1.0, info: {title: x, version: '1'}, paths: {},"
        " components: {schemas: {A: [], B: 5}}}",
        "{openapi: 3.1.0, info: {title: x, version: '1'}, paths: {},"
        " servers: [{url: 'http://['}]}",
        "{openapi: 3.1.0, info: {title: x, version: '1'}, paths: {/a: {get:"
        " {responses: {'200': {description: x, content: {application/json:"
        " {schema: {$ref: 'file:///etc/hostname'}}}}}}}}}",
    ],
)
def test_invalid_openapi_document_is_one_line_of_error_in_each_tool(
    tree: Path, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Linter, comparison and check each print one error line with the file name."""
    contract = tree / CONTRACT_PATH
    contract.write_text(document)

    statuses = [
        lint_contract.main([str(contract)]),
        contract_changes.main(["--root", str(tree)]),
        run(tree, "--spec", str(contract)),
        run(tree, "--check"),
    ]

    output = capsys.readouterr().err.splitlines()
    assert statuses == [1] * 4
    assert len(output) == 4
    assert {str(contract) in line for line in output} == {True}
