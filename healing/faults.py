"""What detection hands to the engine: one observed fault of one workload."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from healing.ports.cluster import ObjectRef


class Severity(StrEnum):
    """How bad it is for those who use the workload."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class SignalSource(StrEnum):
    """Where a fault was seen."""

    WATCH = "watch"
    METRICS = "metrics"
    ALERT = "alert"
    PERSON = "person"
    #: it has not happened yet
    FORECAST = "forecast"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of ``target`` (the workload, node or Service that is to be healed).

    ``symptom`` is a CamelCase code in Kubernetes' words (``CrashLoopBackOff``, ``OOMKilled``, ``HighLatency``);
    ``subject`` is the object it was seen on (usually a pod). Two faults with one `fingerprint` are one event.
    """

    cluster: str
    target: ObjectRef
    symptom: str
    message: str
    severity: Severity
    source: SignalSource
    observed_at: datetime
    subject: ObjectRef | None = None
    #: values in base units and pointers to evidence; JSON only
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """One open event per workload: symptoms of one wound (crash loop, then not ready) belong together."""
        key = f"{self.cluster}/{self.target.kind}/{self.target.namespace}/{self.target.name}"
        if self.source is SignalSource.FORECAST:
            key += "/forecast"  # a wound that comes meanwhile must not wait for what would have prevented it
        return hashlib.sha256(key.encode()).hexdigest()[:32]
