from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.job_configuration_page import JobConfigurationPage
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    version: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["cursor"] = cursor

    params["limit"] = limit

    params["tag"] = tag

    params["version"] = version

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/job_configurations",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> JobConfigurationPage | Problem:
    if response.status_code == 200:
        response_200 = JobConfigurationPage.from_dict(response.json())

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[JobConfigurationPage | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    version: str | Unset = UNSET,
) -> Response[JobConfigurationPage | Problem]:
    """List job configurations, newest first

    Args:
        cursor (str | Unset): The `next_cursor` of the previous page.
        limit (int | Unset): Maximum number of items in a page, 50 by default. A page of large
            items has fewer items.
        tag (str | Unset): List only items with this tag.
        version (str | Unset): List only configurations with this version. `latest` is the highest
            SemVer of each tag, or the newest revision of a tag without versions.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobConfigurationPage | Problem]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        limit=limit,
        tag=tag,
        version=version,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    version: str | Unset = UNSET,
) -> JobConfigurationPage | Problem | None:
    """List job configurations, newest first

    Args:
        cursor (str | Unset): The `next_cursor` of the previous page.
        limit (int | Unset): Maximum number of items in a page, 50 by default. A page of large
            items has fewer items.
        tag (str | Unset): List only items with this tag.
        version (str | Unset): List only configurations with this version. `latest` is the highest
            SemVer of each tag, or the newest revision of a tag without versions.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobConfigurationPage | Problem
    """

    return sync_detailed(
        client=client,
        cursor=cursor,
        limit=limit,
        tag=tag,
        version=version,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    version: str | Unset = UNSET,
) -> Response[JobConfigurationPage | Problem]:
    """List job configurations, newest first

    Args:
        cursor (str | Unset): The `next_cursor` of the previous page.
        limit (int | Unset): Maximum number of items in a page, 50 by default. A page of large
            items has fewer items.
        tag (str | Unset): List only items with this tag.
        version (str | Unset): List only configurations with this version. `latest` is the highest
            SemVer of each tag, or the newest revision of a tag without versions.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobConfigurationPage | Problem]
    """

    kwargs = _get_kwargs(
        cursor=cursor,
        limit=limit,
        tag=tag,
        version=version,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    version: str | Unset = UNSET,
) -> JobConfigurationPage | Problem | None:
    """List job configurations, newest first

    Args:
        cursor (str | Unset): The `next_cursor` of the previous page.
        limit (int | Unset): Maximum number of items in a page, 50 by default. A page of large
            items has fewer items.
        tag (str | Unset): List only items with this tag.
        version (str | Unset): List only configurations with this version. `latest` is the highest
            SemVer of each tag, or the newest revision of a tag without versions.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobConfigurationPage | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            cursor=cursor,
            limit=limit,
            tag=tag,
            version=version,
        )
    ).parsed
