from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.api_key import ApiKey
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    key_id: str,
    *,
    revoke_created: bool | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["revoke_created"] = revoke_created

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api-keys/{key_id}/expire".format(
            key_id=quote(str(key_id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ApiKey | Problem:
    if response.status_code == 200:
        response_200 = ApiKey.from_dict(response.json())

        return response_200

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ApiKey | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    key_id: str,
    *,
    client: AuthenticatedClient,
    revoke_created: bool | Unset = UNSET,
) -> Response[ApiKey | Problem]:
    """Expire a key now

     A key cannot expire itself (409). The expiry of a key that has already expired does not change. Job
    tokens expire in the same way. With `revoke_created`, the keys, job tokens and share links end too
    that the key has made, directly or through keys that it has made. The calling key stays valid, with
    everything that it has made.

    Args:
        key_id (str): The public part of the key.
        revoke_created (bool | Unset): Whether to also end the keys, job tokens and share links
            that the key has made; false by default.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiKey | Problem]
    """

    kwargs = _get_kwargs(
        key_id=key_id,
        revoke_created=revoke_created,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    key_id: str,
    *,
    client: AuthenticatedClient,
    revoke_created: bool | Unset = UNSET,
) -> ApiKey | Problem | None:
    """Expire a key now

     A key cannot expire itself (409). The expiry of a key that has already expired does not change. Job
    tokens expire in the same way. With `revoke_created`, the keys, job tokens and share links end too
    that the key has made, directly or through keys that it has made. The calling key stays valid, with
    everything that it has made.

    Args:
        key_id (str): The public part of the key.
        revoke_created (bool | Unset): Whether to also end the keys, job tokens and share links
            that the key has made; false by default.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiKey | Problem
    """

    return sync_detailed(
        key_id=key_id,
        client=client,
        revoke_created=revoke_created,
    ).parsed


async def asyncio_detailed(
    key_id: str,
    *,
    client: AuthenticatedClient,
    revoke_created: bool | Unset = UNSET,
) -> Response[ApiKey | Problem]:
    """Expire a key now

     A key cannot expire itself (409). The expiry of a key that has already expired does not change. Job
    tokens expire in the same way. With `revoke_created`, the keys, job tokens and share links end too
    that the key has made, directly or through keys that it has made. The calling key stays valid, with
    everything that it has made.

    Args:
        key_id (str): The public part of the key.
        revoke_created (bool | Unset): Whether to also end the keys, job tokens and share links
            that the key has made; false by default.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiKey | Problem]
    """

    kwargs = _get_kwargs(
        key_id=key_id,
        revoke_created=revoke_created,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    key_id: str,
    *,
    client: AuthenticatedClient,
    revoke_created: bool | Unset = UNSET,
) -> ApiKey | Problem | None:
    """Expire a key now

     A key cannot expire itself (409). The expiry of a key that has already expired does not change. Job
    tokens expire in the same way. With `revoke_created`, the keys, job tokens and share links end too
    that the key has made, directly or through keys that it has made. The calling key stays valid, with
    everything that it has made.

    Args:
        key_id (str): The public part of the key.
        revoke_created (bool | Unset): Whether to also end the keys, job tokens and share links
            that the key has made; false by default.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiKey | Problem
    """

    return (
        await asyncio_detailed(
            key_id=key_id,
            client=client,
            revoke_created=revoke_created,
        )
    ).parsed
