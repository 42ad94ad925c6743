"""Contains all the data models used in inputs/outputs"""

from .api_key import ApiKey
from .api_key_created import ApiKeyCreated
from .api_key_input import ApiKeyInput
from .api_key_owner import ApiKeyOwner
from .api_key_page import ApiKeyPage
from .api_key_scope import ApiKeyScope
from .audience import Audience
from .audit_details import AuditDetails
from .audit_entry import AuditEntry
from .audit_entry_page import AuditEntryPage
from .batch_report import BatchReport
from .configuration_texts import ConfigurationTexts
from .customer import Customer
from .customer_input import CustomerInput
from .customer_page import CustomerPage
from .erasure import Erasure
from .event import Event
from .event_input import EventInput
from .event_page import EventPage
from .finish_policy import FinishPolicy
from .health import Health
from .job import Job
from .job_configuration import JobConfiguration
from .job_configuration_input import JobConfigurationInput
from .job_configuration_page import JobConfigurationPage
from .job_input import JobInput
from .job_page import JobPage
from .job_status import JobStatus
from .job_step import JobStep
from .job_token_created import JobTokenCreated
from .job_token_input import JobTokenInput
from .language import Language
from .language_texts import LanguageTexts
from .metadata import Metadata
from .metadata_configuration import MetadataConfiguration
from .metadata_configuration_seen import MetadataConfigurationSeen
from .metadata_kind import MetadataKind
from .metadata_names import MetadataNames
from .metadata_policy import MetadataPolicy
from .problem import Problem
from .problem_error import ProblemError
from .provider_profile import ProviderProfile
from .provider_profile_change import ProviderProfileChange
from .rejected_line import RejectedLine
from .revoked_credentials import RevokedCredentials
from .share_link import ShareLink
from .share_link_created import ShareLinkCreated
from .share_link_input import ShareLinkInput
from .share_link_page import ShareLinkPage
from .step_configuration import StepConfiguration
from .step_configuration_input import StepConfigurationInput
from .step_status import StepStatus
from .step_texts import StepTexts
from .texts_of_steps import TextsOfSteps

__all__ = (
    "ApiKey",
    "ApiKeyCreated",
    "ApiKeyInput",
    "ApiKeyOwner",
    "ApiKeyPage",
    "ApiKeyScope",
    "Audience",
    "AuditDetails",
    "AuditEntry",
    "AuditEntryPage",
    "BatchReport",
    "ConfigurationTexts",
    "Customer",
    "CustomerInput",
    "CustomerPage",
    "Erasure",
    "Event",
    "EventInput",
    "EventPage",
    "FinishPolicy",
    "Health",
    "Job",
    "JobConfiguration",
    "JobConfigurationInput",
    "JobConfigurationPage",
    "JobInput",
    "JobPage",
    "JobStatus",
    "JobStep",
    "JobTokenCreated",
    "JobTokenInput",
    "Language",
    "LanguageTexts",
    "Metadata",
    "MetadataConfiguration",
    "MetadataConfigurationSeen",
    "MetadataKind",
    "MetadataNames",
    "MetadataPolicy",
    "Problem",
    "ProblemError",
    "ProviderProfile",
    "ProviderProfileChange",
    "RejectedLine",
    "RevokedCredentials",
    "ShareLink",
    "ShareLinkCreated",
    "ShareLinkInput",
    "ShareLinkPage",
    "StepConfiguration",
    "StepConfigurationInput",
    "StepStatus",
    "StepTexts",
    "TextsOfSteps",
)
