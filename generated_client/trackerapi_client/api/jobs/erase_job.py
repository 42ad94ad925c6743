from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.erasure import Erasure
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    job_id: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/jobs/{job_id}".format(
            job_id=quote(str(job_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Erasure | Problem:
    if response.status_code == 200:
        response_200 = Erasure.from_dict(response.json())

        return response_200

    if response.status_code == 404:
        response_404 = Problem.from_dict(response.json())

        return response_404

    if response.status_code == 503:
        response_503 = Problem.from_dict(response.json())

        return response_503

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Erasure | Problem]:
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
) -> Response[Erasure | Problem]:
    """Erase a job for good

     Removes the job with its events, share links and job tokens, and the content of its entries in the
    audit log. The response is sent after the deletion. A keyed hash of `provider_job_id` stays: a later
    creation or event for the job gets 410 with the problem `erased`. An erased job is unknown, so a
    repeated request gets 404. A repeated request during the deletion gets the same response as the
    first request.

    Args:
        job_id (int): The backend's id of the job.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Erasure | Problem]
    """

    kwargs = _get_kwargs(
        job_id=job_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    job_id: int,
    *,
    client: AuthenticatedClient,
) -> Erasure | Problem | None:
    """Erase a job for good

     Removes the job with its events, share links and job tokens, and the content of its entries in the
    audit log. The response is sent after the deletion. A keyed hash of `provider_job_id` stays: a later
    creation or event for the job gets 410 with the problem `erased`. An erased job is unknown, so a
    repeated request gets 404. A repeated request during the deletion gets the same response as the
    first request.

    Args:
        job_id (int): The backend's id of the job.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Erasure | Problem
    """

    return sync_detailed(
        job_id=job_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    job_id: int,
    *,
    client: AuthenticatedClient,
) -> Response[Erasure | Problem]:
    """Erase a job for good

     Removes the job with its events, share links and job tokens, and the content of its entries in the
    audit log. The response is sent after the deletion. A keyed hash of `provider_job_id` stays: a later
    creation or event for the job gets 410 with the problem `erased`. An erased job is unknown, so a
    repeated request gets 404. A repeated request during the deletion gets the same response as the
    first request.

    Args:
        job_id (int): The backend's id of the job.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Erasure | Problem]
    """

    kwargs = _get_kwargs(
        job_id=job_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    job_id: int,
    *,
    client: AuthenticatedClient,
) -> Erasure | Problem | None:
    """Erase a job for good

     Removes the job with its events, share links and job tokens, and the content of its entries in the
    audit log. The response is sent after the deletion. A keyed hash of `provider_job_id` stays: a later
    creation or event for the job gets 410 with the problem `erased`. An erased job is unknown, so a
    repeated request gets 404. A repeated request during the deletion gets the same response as the
    first request.

    Args:
        job_id (int): The backend's id of the job.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Erasure | Problem
    """

    return (
        await asyncio_detailed(
            job_id=job_id,
            client=client,
        )
    ).parsed
