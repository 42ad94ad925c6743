"""Reference page of the API, and the contract as a file."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from trackerapi_backend.pages.rendering import page
from trackerapi_backend.requests.contract import contract_bytes, document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request


async def contract(_request: Request) -> Response:
    """Return the checked-in contract."""
    return Response(contract_bytes(), media_type="application/json")


async def show(request: Request) -> Response:
    """Show all operations and all schemas of the contract on one page."""
    described = document()
    return page(
        "reference.html",
        root=request.scope["root_path"],
        info=described["info"],
        tags=described["tags"],
        operations=_operations(),
        schemas=described["components"]["schemas"],
        type_of=type_of,
    )


@cache
def _operations() -> list[dict[str, Any]]:
    return [
        {
            "method": method.upper(),
            "path": path,
            "tag": operation["tags"][0],
            "described": operation,
            "scopes": [
                scope for each in operation["security"] for scope in each["api_key"]
            ],
            "parameters": [_resolve(each) for each in operation.get("parameters", [])],
            "takes": list(_media(operation.get("requestBody", {}))),
            "answers": {
                status: _resolve(response)
                for status, response in operation["responses"].items()
            },
        }
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]


def _resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the component behind a `$ref`, or a node without `$ref` unchanged."""
    if "$ref" not in node:
        return node
    _, _, group, name = node["$ref"].split("/")
    component: Mapping[str, Any] = document()["components"][group][name]
    return component


def _media(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for media_type, content in body.get("content", {}).items():
        yield media_type, type_of(content["schema"])


def type_of(schema: Mapping[str, Any]) -> str:
    """Return a short text for the type of a schema, such as `list of Event`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(type_of(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {type_of(schema['items'])}"
    kinds = schema.get("type", "any value")
    name = kinds if isinstance(kinds, str) else " or ".join(kinds)
    return f"{name} ({schema['format']})" if "format" in schema else name
