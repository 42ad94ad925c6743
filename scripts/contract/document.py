"""OpenAPI contract as data: reading from a file or a backend, and lookups.

This module depends only on the layout of OpenAPI documents. Rules for contracts are in
`dialect`, `changes` and `generation`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import yaml

from scripts.project import CONTRACT_PATH

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
FETCH_TIMEOUT_SECONDS = 10.0
STREAM_BODY = "text/event-stream"
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")

Node = Mapping[str, Any]


class ContractError(Exception):
    """A contract cannot be read or used; the message names the location and the fix."""


class StrictLoader(yaml.SafeLoader):
    """YAML reader that rejects duplicate keys: PyYAML would use the last value."""


def _construct_mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key!r} is given twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a contract.

    Attributes:
        operation_id: Name of the operation, and of its module in the client.
        method: HTTP method, lower case.
        path: Path template, such as `/jobs/{job_id}`.
        item: The operation object; references are not followed.
        pointer: JSON pointer to the operation object.
    """

    operation_id: str
    method: str
    path: str
    item: Node
    pointer: str


@dataclass(frozen=True, slots=True)
class Contract:
    """A parsed contract.

    Attributes:
        document: The whole OpenAPI document.
        text: Source text of the document, in YAML or JSON.
        source: File or address of the document.
    """

    document: Node
    text: str
    source: str = str(CONTRACT_PATH)

    @property
    def schemas(self) -> Mapping[str, Node]:
        """Named schemas, by name."""
        schemas: Mapping[str, Node] = self.components("schemas")
        return schemas

    def components(self, section: str) -> Mapping[str, Node]:
        """Return the named components of a section, such as `parameters`."""
        components: Node = self.document.get("components") or {}
        named: Mapping[str, Node] = components.get(section) or {}
        return named

    def operations(self) -> Iterator[Operation]:
        """Yield the operations in the order of the paths in the document."""
        for path, written in (self.document.get("paths") or {}).items():
            if path.startswith("x-"):
                continue
            item = self.resolve(written)
            for method in METHODS:
                if method in item:
                    yield Operation(
                        # Only contracts of other projects leave out the id.
                        operation_id=item[method].get(
                            "operationId", f"{method.upper()} {path}"
                        ),
                        method=method,
                        path=path,
                        item=item[method],
                        pointer=pointer("#/paths", path, method),
                    )

    def resolve(self, node: Node) -> Node:
        """Return `node`, or the component that `node` refers to.

        Raises:
            ContractError: If a reference has no target, or leads back to itself.
        """
        passed: set[str] = set()
        while "$ref" in node:
            reference = str(node["$ref"])
            if reference in passed:
                raise ContractError(f"$ref {reference!r} leads back to itself")
            passed.add(reference)
            target: Any = self.document
            for part in reference.removeprefix("#/").split("/"):
                name = unquote(part).replace("~1", "/").replace("~0", "~")
                if not isinstance(target, Mapping) or name not in target:
                    raise ContractError(
                        f"$ref {reference!r} has no target; name a component"
                    )
                target = target[name]
            node = target
        return node

    def parameters(self, operation: Operation) -> list[Node]:
        """Return the operation's parameters, then the other parameters of its path."""
        path = self.resolve(self.document["paths"][operation.path])
        own = [self.resolve(each) for each in operation.item.get("parameters", ())]
        names = {(each["name"], each["in"]) for each in own}
        shared = [self.resolve(each) for each in path.get("parameters", ())]
        return own + [e for e in shared if (e["name"], e["in"]) not in names]

    def responses(self, operation: Operation) -> dict[str, Node]:
        """Return the operation's responses by status; references are followed."""
        found: dict[str, Node] = {}
        for status, written in operation.item.get("responses", {}).items():
            response = self.resolve(written)
            headers = response.get("headers", {})
            resolved = {name: self.resolve(each) for name, each in headers.items()}
            found[str(status)] = {**response, "headers": resolved}
        return found

    def is_stream(self, operation: Operation) -> bool:
        """Return whether a success of the operation is a stream of messages."""
        return any(
            STREAM_BODY in response.get("content", {})
            for status, response in self.responses(operation).items()
            if status.startswith("2")
        )


def pointer(start: str, *parts: str | int) -> str:
    """Return the JSON pointer that leads from `start` through `parts`."""
    escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "/".join((start, *escaped))


def parse_contract(text: str, source: str) -> Contract:
    """Parse a contract in YAML or JSON.

    Raises:
        ContractError: If `text` is not YAML or JSON, or not an OpenAPI document.
    """
    try:
        document = yaml.load(text, Loader=StrictLoader)  # noqa: S506  # a SafeLoader
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise ContractError(f"{source} is not valid YAML or JSON: {error}") from error
    if not isinstance(document, dict) or "openapi" not in document:
        raise ContractError(
            f"{source} is not an OpenAPI document: it has no member `openapi`"
        )
    try:
        # Convert to JSON values: YAML also has dates, and keys that are not text.
        document = json.loads(json.dumps(document, default=str))
    except (TypeError, ValueError, RecursionError) as error:
        raise ContractError(f"{source} does not fit JSON: {error}") from error
    return Contract(document, text, source)


def read_contract(path: Path) -> Contract:
    """Return the contract in a file.

    Raises:
        ContractError: If the file cannot be read or is not a contract.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} cannot be read: {error}") from error
    return parse_contract(text, str(path))


def fetch_contract(source: str) -> Contract:
    """Return the contract in a file or served by a deployed backend.

    Args:
        source: Path of a file, address of a document, or address of a backend,
            which serves the document at `/openapi.json`.

    Raises:
        ContractError: If the document cannot be read, or the server does not answer
            for 10 seconds, or the document is not a contract.
    """
    try:
        address = urlsplit(source)
    except ValueError as error:
        raise ContractError(f"{source} cannot be fetched: {error}") from error
    if address.scheme not in ("http", "https"):
        return read_contract(Path(source))
    if address.path in ("", "/"):
        source = address._replace(path="/openapi.json").geturl()
    try:
        answer = httpx.get(
            source,
            timeout=FETCH_TIMEOUT_SECONDS,
            follow_redirects=True,
            # A proxy from the environment cannot reach this machine's own ports.
            trust_env=address.hostname not in LOOPBACK_HOSTS,
        )
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ContractError(f"{source} cannot be fetched: {error}") from error
    return parse_contract(answer.text, source)
