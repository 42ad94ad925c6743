from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.event import Event
from ...models.event_input import EventInput
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    *,
    body: EventInput,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/events",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Event | Problem:
    if response.status_code == 201:
        response_201 = Event.from_dict(response.json())

        return response_201

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 410:
        response_410 = Problem.from_dict(response.json())

        return response_410

    if response.status_code == 413:
        response_413 = Problem.from_dict(response.json())

        return response_413

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Event | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: EventInput,
) -> Response[Event | Problem]:
    """Report one event

     A repeated `event_id` of the job changes nothing: the response contains the stored event.

    Args:
        body (EventInput): One report about a job or a step of the job. Known kinds: start,
            progress, step, skip, error, complete, cancel, interrupt, info, heartbeat; any other kind
            is stored and shown like info. A `complete` with a step counts as `step`. A `cancel` or
            `interrupt` with a step changes nothing.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Event | Problem]
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
    body: EventInput,
) -> Event | Problem | None:
    """Report one event

     A repeated `event_id` of the job changes nothing: the response contains the stored event.

    Args:
        body (EventInput): One report about a job or a step of the job. Known kinds: start,
            progress, step, skip, error, complete, cancel, interrupt, info, heartbeat; any other kind
            is stored and shown like info. A `complete` with a step counts as `step`. A `cancel` or
            `interrupt` with a step changes nothing.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Event | Problem
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: EventInput,
) -> Response[Event | Problem]:
    """Report one event

     A repeated `event_id` of the job changes nothing: the response contains the stored event.

    Args:
        body (EventInput): One report about a job or a step of the job. Known kinds: start,
            progress, step, skip, error, complete, cancel, interrupt, info, heartbeat; any other kind
            is stored and shown like info. A `complete` with a step counts as `step`. A `cancel` or
            `interrupt` with a step changes nothing.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Event | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: EventInput,
) -> Event | Problem | None:
    """Report one event

     A repeated `event_id` of the job changes nothing: the response contains the stored event.

    Args:
        body (EventInput): One report about a job or a step of the job. Known kinds: start,
            progress, step, skip, error, complete, cancel, interrupt, info, heartbeat; any other kind
            is stored and shown like info. A `complete` with a step counts as `step`. A `cancel` or
            `interrupt` with a step changes nothing.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Event | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
