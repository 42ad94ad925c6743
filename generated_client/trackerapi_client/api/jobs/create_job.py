from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.job import Job
from ...models.job_input import JobInput
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    *,
    body: JobInput,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/jobs",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Job | Problem:
    if response.status_code == 200:
        response_200 = Job.from_dict(response.json())

        return response_200

    if response.status_code == 201:
        response_201 = Job.from_dict(response.json())

        return response_201

    if response.status_code == 403:
        response_403 = Problem.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = Problem.from_dict(response.json())

        return response_409

    if response.status_code == 410:
        response_410 = Problem.from_dict(response.json())

        return response_410

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Job | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: JobInput,
) -> Response[Job | Problem]:
    """Create a job, or attach to an existing job

     `tag` is the tag of a job configuration or, if no tag matches, an unambiguous display name. An
    included `configuration` is registered in the same transaction. If a job with this
    `provider_job_id`, customer and tag exists, the response is 200 with this job, which keeps its first
    revision, title and reference: a repeated creation changes nothing. Another customer or tag for an
    existing job is rejected (409). A job token can only attach to its own job; any other body is
    rejected (403).

    Args:
        body (JobInput): Properties of a new job.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Job | Problem]
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
    body: JobInput,
) -> Job | Problem | None:
    """Create a job, or attach to an existing job

     `tag` is the tag of a job configuration or, if no tag matches, an unambiguous display name. An
    included `configuration` is registered in the same transaction. If a job with this
    `provider_job_id`, customer and tag exists, the response is 200 with this job, which keeps its first
    revision, title and reference: a repeated creation changes nothing. Another customer or tag for an
    existing job is rejected (409). A job token can only attach to its own job; any other body is
    rejected (403).

    Args:
        body (JobInput): Properties of a new job.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Job | Problem
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: JobInput,
) -> Response[Job | Problem]:
    """Create a job, or attach to an existing job

     `tag` is the tag of a job configuration or, if no tag matches, an unambiguous display name. An
    included `configuration` is registered in the same transaction. If a job with this
    `provider_job_id`, customer and tag exists, the response is 200 with this job, which keeps its first
    revision, title and reference: a repeated creation changes nothing. Another customer or tag for an
    existing job is rejected (409). A job token can only attach to its own job; any other body is
    rejected (403).

    Args:
        body (JobInput): Properties of a new job.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Job | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: JobInput,
) -> Job | Problem | None:
    """Create a job, or attach to an existing job

     `tag` is the tag of a job configuration or, if no tag matches, an unambiguous display name. An
    included `configuration` is registered in the same transaction. If a job with this
    `provider_job_id`, customer and tag exists, the response is 200 with this job, which keeps its first
    revision, title and reference: a repeated creation changes nothing. Another customer or tag for an
    existing job is rejected (409). A job token can only attach to its own job; any other body is
    rejected (403).

    Args:
        body (JobInput): Properties of a new job.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Job | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
