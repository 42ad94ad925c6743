from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.job_configuration import JobConfiguration
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    configuration_id: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/job_configurations/{configuration_id}".format(
            configuration_id=quote(str(configuration_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> JobConfiguration | Problem:
    if response.status_code == 200:
        response_200 = JobConfiguration.from_dict(response.json())

        return response_200

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[JobConfiguration | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    configuration_id: int,
    *,
    client: AuthenticatedClient,
) -> Response[JobConfiguration | Problem]:
    """Get a job configuration

    Args:
        configuration_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobConfiguration | Problem]
    """

    kwargs = _get_kwargs(
        configuration_id=configuration_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    configuration_id: int,
    *,
    client: AuthenticatedClient,
) -> JobConfiguration | Problem | None:
    """Get a job configuration

    Args:
        configuration_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobConfiguration | Problem
    """

    return sync_detailed(
        configuration_id=configuration_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    configuration_id: int,
    *,
    client: AuthenticatedClient,
) -> Response[JobConfiguration | Problem]:
    """Get a job configuration

    Args:
        configuration_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobConfiguration | Problem]
    """

    kwargs = _get_kwargs(
        configuration_id=configuration_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    configuration_id: int,
    *,
    client: AuthenticatedClient,
) -> JobConfiguration | Problem | None:
    """Get a job configuration

    Args:
        configuration_id (int):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobConfiguration | Problem
    """

    return (
        await asyncio_detailed(
            configuration_id=configuration_id,
            client=client,
        )
    ).parsed
