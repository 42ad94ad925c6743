import datetime
from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.job_page import JobPage
from ...models.job_status import JobStatus
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    provider_job_id: str | Unset = UNSET,
    customer_id: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    status: list[JobStatus] | Unset = UNSET,
    created_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["provider_job_id"] = provider_job_id

    params["customer_id"] = customer_id

    params["tag"] = tag

    json_status: list[str] | Unset = UNSET
    if not isinstance(status, Unset):
        json_status = []
        for status_item_data in status:
            status_item = status_item_data.value
            json_status.append(status_item)

    params["status"] = json_status

    json_created_since: str | Unset = UNSET
    if not isinstance(created_since, Unset):
        json_created_since = created_since.isoformat()
    params["created_since"] = json_created_since

    params["cursor"] = cursor

    params["limit"] = limit

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/jobs",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> JobPage | Problem:
    if response.status_code == 200:
        response_200 = JobPage.from_dict(response.json())

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[JobPage | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    provider_job_id: str | Unset = UNSET,
    customer_id: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    status: list[JobStatus] | Unset = UNSET,
    created_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> Response[JobPage | Problem]:
    """List jobs, newest first

     A job token lists only its own job.

    Args:
        provider_job_id (str | Unset): List only the job with this id of the provider.
        customer_id (int | Unset):
        tag (str | Unset):
        status (list[JobStatus] | Unset): Repeat the parameter to list jobs with any of several
            statuses.
        created_since (datetime.datetime | Unset):
        cursor (str | Unset): The `next_cursor` of the previous page.
        limit (int | Unset): Maximum number of items in a page, 50 by default. A page of large
            items has fewer items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobPage | Problem]
    """

    kwargs = _get_kwargs(
        provider_job_id=provider_job_id,
        customer_id=customer_id,
        tag=tag,
        status=status,
        created_since=created_since,
        cursor=cursor,
        limit=limit,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    provider_job_id: str | Unset = UNSET,
    customer_id: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    status: list[JobStatus] | Unset = UNSET,
    created_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> JobPage | Problem | None:
    """List jobs, newest first

     A job token lists only its own job.

    Args:
        provider_job_id (str | Unset): List only the job with this id of the provider.
        customer_id (int | Unset):
        tag (str | Unset):
        status (list[JobStatus] | Unset): Repeat the parameter to list jobs with any of several
            statuses.
        created_since (datetime.datetime | Unset):
        cursor (str | Unset): The `next_cursor` of the previous page.
        limit (int | Unset): Maximum number of items in a page, 50 by default. A page of large
            items has fewer items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobPage | Problem
    """

    return sync_detailed(
        client=client,
        provider_job_id=provider_job_id,
        customer_id=customer_id,
        tag=tag,
        status=status,
        created_since=created_since,
        cursor=cursor,
        limit=limit,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    provider_job_id: str | Unset = UNSET,
    customer_id: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    status: list[JobStatus] | Unset = UNSET,
    created_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> Response[JobPage | Problem]:
    """List jobs, newest first

     A job token lists only its own job.

    Args:
        provider_job_id (str | Unset): List only the job with this id of the provider.
        customer_id (int | Unset):
        tag (str | Unset):
        status (list[JobStatus] | Unset): Repeat the parameter to list jobs with any of several
            statuses.
        created_since (datetime.datetime | Unset):
        cursor (str | Unset): The `next_cursor` of the previous page.
        limit (int | Unset): Maximum number of items in a page, 50 by default. A page of large
            items has fewer items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[JobPage | Problem]
    """

    kwargs = _get_kwargs(
        provider_job_id=provider_job_id,
        customer_id=customer_id,
        tag=tag,
        status=status,
        created_since=created_since,
        cursor=cursor,
        limit=limit,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    provider_job_id: str | Unset = UNSET,
    customer_id: int | Unset = UNSET,
    tag: str | Unset = UNSET,
    status: list[JobStatus] | Unset = UNSET,
    created_since: datetime.datetime | Unset = UNSET,
    cursor: str | Unset = UNSET,
    limit: int | Unset = UNSET,
) -> JobPage | Problem | None:
    """List jobs, newest first

     A job token lists only its own job.

    Args:
        provider_job_id (str | Unset): List only the job with this id of the provider.
        customer_id (int | Unset):
        tag (str | Unset):
        status (list[JobStatus] | Unset): Repeat the parameter to list jobs with any of several
            statuses.
        created_since (datetime.datetime | Unset):
        cursor (str | Unset): The `next_cursor` of the previous page.
        limit (int | Unset): Maximum number of items in a page, 50 by default. A page of large
            items has fewer items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        JobPage | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            provider_job_id=provider_job_id,
            customer_id=customer_id,
            tag=tag,
            status=status,
            created_since=created_since,
            cursor=cursor,
            limit=limit,
        )
    ).parsed
