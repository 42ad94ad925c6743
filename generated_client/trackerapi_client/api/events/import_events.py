from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.batch_report import BatchReport
from ...models.problem import Problem
from ...types import UNSET, File, Response, Unset


def _get_kwargs(
    *,
    body: File,
    content_encoding: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(content_encoding, Unset):
        headers["Content-Encoding"] = content_encoding

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/events/batch",
    }

    _kwargs["content"] = body.payload
    headers["Content-Type"] = "application/x-ndjson"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> BatchReport | Problem:
    if response.status_code == 200:
        response_200 = BatchReport.from_dict(response.json())

        return response_200

    if response.status_code == 413:
        response_413 = Problem.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Problem.from_dict(response.json())

        return response_415

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[BatchReport | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: File,
    content_encoding: str | Unset = UNSET,
) -> Response[BatchReport | Problem]:
    """Report many events, one JSON object per line

     Each line is an EventInput. A body has at most 1,000 lines and 1 MiB, after decompression. A
    rejected line does not affect other lines. Accepted lines are stored before the response is sent.

    Args:
        content_encoding (str | Unset): `gzip` for a compressed body.
        body (File):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BatchReport | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
        content_encoding=content_encoding,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: File,
    content_encoding: str | Unset = UNSET,
) -> BatchReport | Problem | None:
    """Report many events, one JSON object per line

     Each line is an EventInput. A body has at most 1,000 lines and 1 MiB, after decompression. A
    rejected line does not affect other lines. Accepted lines are stored before the response is sent.

    Args:
        content_encoding (str | Unset): `gzip` for a compressed body.
        body (File):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BatchReport | Problem
    """

    return sync_detailed(
        client=client,
        body=body,
        content_encoding=content_encoding,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: File,
    content_encoding: str | Unset = UNSET,
) -> Response[BatchReport | Problem]:
    """Report many events, one JSON object per line

     Each line is an EventInput. A body has at most 1,000 lines and 1 MiB, after decompression. A
    rejected line does not affect other lines. Accepted lines are stored before the response is sent.

    Args:
        content_encoding (str | Unset): `gzip` for a compressed body.
        body (File):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BatchReport | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
        content_encoding=content_encoding,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: File,
    content_encoding: str | Unset = UNSET,
) -> BatchReport | Problem | None:
    """Report many events, one JSON object per line

     Each line is an EventInput. A body has at most 1,000 lines and 1 MiB, after decompression. A
    rejected line does not affect other lines. Accepted lines are stored before the response is sent.

    Args:
        content_encoding (str | Unset): `gzip` for a compressed body.
        body (File):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BatchReport | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            content_encoding=content_encoding,
        )
    ).parsed
