from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.share_link_created import ShareLinkCreated
from ...models.share_link_input import ShareLinkInput
from ...types import Response


def _get_kwargs(
    job_id: int,
    *,
    body: ShareLinkInput,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/jobs/{job_id}/share-links".format(
            job_id=quote(str(job_id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | ShareLinkCreated:
    if response.status_code == 201:
        response_201 = ShareLinkCreated.from_dict(response.json())

        return response_201

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Problem | ShareLinkCreated]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    job_id: int,
    *,
    client: AuthenticatedClient,
    body: ShareLinkInput,
) -> Response[Problem | ShareLinkCreated]:
    """Create a link to the customer's page of a job

     Only this response contains the `url`. A job has at most 100 valid links, and one more is rejected
    (409).

    Args:
        job_id (int): The backend's id of the job.
        body (ShareLinkInput): Properties of a new link.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ShareLinkCreated]
    """

    kwargs = _get_kwargs(
        job_id=job_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    job_id: int,
    *,
    client: AuthenticatedClient,
    body: ShareLinkInput,
) -> Problem | ShareLinkCreated | None:
    """Create a link to the customer's page of a job

     Only this response contains the `url`. A job has at most 100 valid links, and one more is rejected
    (409).

    Args:
        job_id (int): The backend's id of the job.
        body (ShareLinkInput): Properties of a new link.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ShareLinkCreated
    """

    return sync_detailed(
        job_id=job_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    job_id: int,
    *,
    client: AuthenticatedClient,
    body: ShareLinkInput,
) -> Response[Problem | ShareLinkCreated]:
    """Create a link to the customer's page of a job

     Only this response contains the `url`. A job has at most 100 valid links, and one more is rejected
    (409).

    Args:
        job_id (int): The backend's id of the job.
        body (ShareLinkInput): Properties of a new link.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | ShareLinkCreated]
    """

    kwargs = _get_kwargs(
        job_id=job_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    job_id: int,
    *,
    client: AuthenticatedClient,
    body: ShareLinkInput,
) -> Problem | ShareLinkCreated | None:
    """Create a link to the customer's page of a job

     Only this response contains the `url`. A job has at most 100 valid links, and one more is rejected
    (409).

    Args:
        job_id (int): The backend's id of the job.
        body (ShareLinkInput): Properties of a new link.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | ShareLinkCreated
    """

    return (
        await asyncio_detailed(
            job_id=job_id,
            client=client,
            body=body,
        )
    ).parsed
