from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.provider_profile import ProviderProfile
from ...models.provider_profile_change import ProviderProfileChange
from ...types import Response


def _get_kwargs(
    *,
    body: ProviderProfileChange,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "patch",
        "url": "/provider-profile",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | ProviderProfile:
    if response.status_code == 200:
        response_200 = ProviderProfile.from_dict(response.json())

        return response_200

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Problem | ProviderProfile]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: ProviderProfileChange,
) -> Response[Problem | ProviderProfile]:
    """Change the provider's profile

     A missing member leaves its value unchanged, and null removes the value. An unknown time zone, an
    accent with too little contrast, and a mark that is not a small PNG, are rejected (422).

    Args:
        body (ProviderProfileChange): New values of the profile. A missing member leaves its value
            unchanged, and null removes the value.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ProviderProfile]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: ProviderProfileChange,
) -> Problem | ProviderProfile | None:
    """Change the provider's profile

     A missing member leaves its value unchanged, and null removes the value. An unknown time zone, an
    accent with too little contrast, and a mark that is not a small PNG, are rejected (422).

    Args:
        body (ProviderProfileChange): New values of the profile. A missing member leaves its value
            unchanged, and null removes the value.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ProviderProfile
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: ProviderProfileChange,
) -> Response[Problem | ProviderProfile]:
    """Change the provider's profile

     A missing member leaves its value unchanged, and null removes the value. An unknown time zone, an
    accent with too little contrast, and a mark that is not a small PNG, are rejected (422).

    Args:
        body (ProviderProfileChange): New values of the profile. A missing member leaves its value
            unchanged, and null removes the value.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ProviderProfile]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: ProviderProfileChange,
) -> Problem | ProviderProfile | None:
    """Change the provider's profile

     A missing member leaves its value unchanged, and null removes the value. An unknown time zone, an
    accent with too little contrast, and a mark that is not a small PNG, are rejected (422).

    Args:
        body (ProviderProfileChange): New values of the profile. A missing member leaves its value
            unchanged, and null removes the value.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ProviderProfile
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
