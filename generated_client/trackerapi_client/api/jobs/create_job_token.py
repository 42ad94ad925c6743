from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.job_token_created import JobTokenCreated
from ...models.job_token_input import JobTokenInput
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    job_id: int,
    *,
    body: JobTokenInput,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/jobs/{job_id}/tokens".format(
            job_id=quote(str(job_id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> JobTokenCreated | Problem:
    if response.status_code == 201:
        response_201 = JobTokenCreated.from_dict(response.json())

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

    if response.status_code == 422:
        response_422 = Problem.from_dict(response.json())

        return response_422

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[JobTokenCreated | Problem]:
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
    body: JobTokenInput,
) -> Response[JobTokenCreated | Problem]:
    """Create a credential for one job

     A job token is an API key that is bound to one job. It has the scopes `ingest` and `read`, if the
    creating key has them. It is valid for verify_api_key, create_event, import_events, get_job,
    list_events, list_jobs and, to attach, create_job. Every other operation rejects the token (403).
    Any other job is answered like an unknown job. Only this response contains the whole token. A job
    has at most 1,000 valid tokens, and one more is rejected (409).

    Args:
        job_id (int): The backend's id of the job.
        body (JobTokenInput): Purpose and lifetime of a new job token.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobTokenCreated | Problem]
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
    body: JobTokenInput,
) -> JobTokenCreated | Problem | None:
    """Create a credential for one job

     A job token is an API key that is bound to one job. It has the scopes `ingest` and `read`, if the
    creating key has them. It is valid for verify_api_key, create_event, import_events, get_job,
    list_events, list_jobs and, to attach, create_job. Every other operation rejects the token (403).
    Any other job is answered like an unknown job. Only this response contains the whole token. A job
    has at most 1,000 valid tokens, and one more is rejected (409).

    Args:
        job_id (int): The backend's id of the job.
        body (JobTokenInput): Purpose and lifetime of a new job token.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobTokenCreated | Problem
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
    body: JobTokenInput,
) -> Response[JobTokenCreated | Problem]:
    """Create a credential for one job

     A job token is an API key that is bound to one job. It has the scopes `ingest` and `read`, if the
    creating key has them. It is valid for verify_api_key, create_event, import_events, get_job,
    list_events, list_jobs and, to attach, create_job. Every other operation rejects the token (403).
    Any other job is answered like an unknown job. Only this response contains the whole token. A job
    has at most 1,000 valid tokens, and one more is rejected (409).

    Args:
        job_id (int): The backend's id of the job.
        body (JobTokenInput): Purpose and lifetime of a new job token.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobTokenCreated | Problem]
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
    body: JobTokenInput,
) -> JobTokenCreated | Problem | None:
    """Create a credential for one job

     A job token is an API key that is bound to one job. It has the scopes `ingest` and `read`, if the
    creating key has them. It is valid for verify_api_key, create_event, import_events, get_job,
    list_events, list_jobs and, to attach, create_job. Every other operation rejects the token (403).
    Any other job is answered like an unknown job. Only this response contains the whole token. A job
    has at most 1,000 valid tokens, and one more is rejected (409).

    Args:
        job_id (int): The backend's id of the job.
        body (JobTokenInput): Purpose and lifetime of a new job token.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobTokenCreated | Problem
    """

    return (
        await asyncio_detailed(
            job_id=job_id,
            client=client,
            body=body,
        )
    ).parsed
