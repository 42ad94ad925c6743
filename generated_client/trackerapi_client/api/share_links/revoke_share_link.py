from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.share_link import ShareLink
from ...types import Response


def _get_kwargs(
    share_link_id: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/share-links/{share_link_id}/revoke".format(
            share_link_id=quote(str(share_link_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | ShareLink:
    if response.status_code == 200:
        response_200 = ShareLink.from_dict(response.json())

        return response_200

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Problem | ShareLink]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    share_link_id: int,
    *,
    client: AuthenticatedClient,
) -> Response[Problem | ShareLink]:
    """Revoke a link now

    Args:
        share_link_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ShareLink]
    """

    kwargs = _get_kwargs(
        share_link_id=share_link_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    share_link_id: int,
    *,
    client: AuthenticatedClient,
) -> Problem | ShareLink | None:
    """Revoke a link now

    Args:
        share_link_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ShareLink
    """

    return sync_detailed(
        share_link_id=share_link_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    share_link_id: int,
    *,
    client: AuthenticatedClient,
) -> Response[Problem | ShareLink]:
    """Revoke a link now

    Args:
        share_link_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ShareLink]
    """

    kwargs = _get_kwargs(
        share_link_id=share_link_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    share_link_id: int,
    *,
    client: AuthenticatedClient,
) -> Problem | ShareLink | None:
    """Revoke a link now

    Args:
        share_link_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ShareLink
    """

    return (
        await asyncio_detailed(
            share_link_id=share_link_id,
            client=client,
        )
    ).parsed
