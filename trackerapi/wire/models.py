"""Which generated model each operation answers with.

Generated calls parse an answer themselves and let KeyError and the like escape.
Reading it here first, by the same model, lets the guard refuse it in our own words.
A test holds the table equal to the contract.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from trackerapi_client import models


class _Model(Protocol):
    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> object: ...


ANSWERS: Final[Mapping[str, type[_Model]]] = {
    "GET /api-keys/protected": models.ApiKeyOwner,
    "POST /api-keys": models.ApiKeyCreated,
    "GET /api-keys": models.ApiKeyPage,
    "POST /api-keys/{}/expire": models.ApiKey,
    "POST /job_configurations": models.JobConfiguration,
    "GET /job_configurations": models.JobConfigurationPage,
    "GET /job_configurations/{}": models.JobConfiguration,
    "POST /jobs": models.Job,
    "GET /jobs": models.JobPage,
    "GET /jobs/{}": models.Job,
    "POST /events": models.Event,
    "POST /events/batch": models.BatchReport,
    "GET /jobs/{}/events": models.EventPage,
    "POST /jobs/{}/share-links": models.ShareLinkCreated,
    "GET /jobs/{}/share-links": models.ShareLinkPage,
    "POST /jobs/{}/tokens": models.JobTokenCreated,
    "POST /share-links/{}/revoke": models.ShareLink,
    "POST /customers": models.Customer,
    "GET /customers": models.CustomerPage,
    "GET /customers/{}": models.Customer,
    "GET /livez": models.Health,
    "GET /readyz": models.Health,
}

# A base address may have a path of its own, so only the end of the path counts;
# the longest template wins where two fit.
_TEMPLATES: Final = [
    (method, re.compile(template.replace("{}", "[^/]+") + "$"), model)
    for key, model in sorted(ANSWERS.items(), key=lambda item: -len(item[0]))
    for method, template in [key.split(" ")]
]


def reads_as_answer(method: str, path: str, content: Mapping[str, Any]) -> bool:
    """Tell whether `content` is what the operation at `path` answers.

    A path that no operation has is none of ours, so its answer is not either.
    """
    for its_method, template, model in _TEMPLATES:
        if its_method == method and template.search(path):
            try:
                model.from_dict(content)
            except (KeyError, ValueError, TypeError, AttributeError):
                return False
            return True
    return False
