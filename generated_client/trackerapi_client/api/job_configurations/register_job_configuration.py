from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.job_configuration import JobConfiguration
from ...models.job_configuration_input import JobConfigurationInput
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    *,
    body: JobConfigurationInput,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/job_configurations",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> JobConfiguration | Problem:
    if response.status_code == 200:
        response_200 = JobConfiguration.from_dict(response.json())

        return response_200

    if response.status_code == 201:
        response_201 = JobConfiguration.from_dict(response.json())

        return response_201

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
) -> Response[JobConfiguration | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: JobConfigurationInput,
) -> Response[JobConfiguration | Problem]:
    """Register a job configuration

     Content that is already stored is answered with 200 and the stored configuration. New content
    becomes the next revision (201). Other content under a stored `version` is rejected with 409, and
    `detail` names the differences. An `after` is rejected (422) if it names an unknown step or the step
    itself, or closes a cycle. `texts` are not content: sent `texts` replace all texts of their
    revision, and without `texts` the stored texts stay. `silent_after` is not content either, because a
    corrected value has to count for jobs that already run: a sent value replaces the value of its
    revision, and without `silent_after` the stored value stays.

    Args:
        body (JobConfigurationInput): Steps of a job, with display names and weights.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobConfiguration | Problem]
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
    body: JobConfigurationInput,
) -> JobConfiguration | Problem | None:
    """Register a job configuration

     Content that is already stored is answered with 200 and the stored configuration. New content
    becomes the next revision (201). Other content under a stored `version` is rejected with 409, and
    `detail` names the differences. An `after` is rejected (422) if it names an unknown step or the step
    itself, or closes a cycle. `texts` are not content: sent `texts` replace all texts of their
    revision, and without `texts` the stored texts stay. `silent_after` is not content either, because a
    corrected value has to count for jobs that already run: a sent value replaces the value of its
    revision, and without `silent_after` the stored value stays.

    Args:
        body (JobConfigurationInput): Steps of a job, with display names and weights.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobConfiguration | Problem
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: JobConfigurationInput,
) -> Response[JobConfiguration | Problem]:
    """Register a job configuration

     Content that is already stored is answered with 200 and the stored configuration. New content
    becomes the next revision (201). Other content under a stored `version` is rejected with 409, and
    `detail` names the differences. An `after` is rejected (422) if it names an unknown step or the step
    itself, or closes a cycle. `texts` are not content: sent `texts` replace all texts of their
    revision, and without `texts` the stored texts stay. `silent_after` is not content either, because a
    corrected value has to count for jobs that already run: a sent value replaces the value of its
    revision, and without `silent_after` the stored value stays.

    Args:
        body (JobConfigurationInput): Steps of a job, with display names and weights.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobConfiguration | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: JobConfigurationInput,
) -> JobConfiguration | Problem | None:
    """Register a job configuration

     Content that is already stored is answered with 200 and the stored configuration. New content
    becomes the next revision (201). Other content under a stored `version` is rejected with 409, and
    `detail` names the differences. An `after` is rejected (422) if it names an unknown step or the step
    itself, or closes a cycle. `texts` are not content: sent `texts` replace all texts of their
    revision, and without `texts` the stored texts stay. `silent_after` is not content either, because a
    corrected value has to count for jobs that already run: a sent value replaces the value of its
    revision, and without `silent_after` the stored value stays.

    Args:
        body (JobConfigurationInput): Steps of a job, with display names and weights.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobConfiguration | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
