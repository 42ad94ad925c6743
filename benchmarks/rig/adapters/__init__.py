"""Adapters of all measured libraries, by name."""

from typing import Final

from benchmarks.rig.adapter import Adapter
from benchmarks.rig.adapters import analytics, own, plain_http, telemetry, trackers

OURS: Final = own.Ours.name
UNINSTRUMENTED: Final = own.Uninstrumented.name

PEERS: Final[tuple[type[Adapter], ...]] = (
    plain_http.RequestsPost,
    plain_http.RequestsSession,
    plain_http.HttpxClient,
    analytics.SentryMessage,
    analytics.SentryMessageBig,
    analytics.SentryCheckin,
    analytics.SentryLog,
    analytics.Posthog,
    analytics.PosthogBig,
    analytics.Segment,
    analytics.SegmentBig,
    telemetry.OtelLog,
    telemetry.OtelLogBig,
    telemetry.OtelSpan,
    trackers.Cronitor,
    trackers.OpenLineageHttp,
    trackers.OpenLineageAsync,
    trackers.MlflowSync,
    trackers.MlflowAsync,
    trackers.WandbOffline,
)
_ALL: Final[tuple[type[Adapter], ...]] = (
    own.Ours,
    *PEERS,
    own.Spool,
    own.Uninstrumented,
)
ADAPTERS: Final = {adapter.name: adapter for adapter in _ALL}
