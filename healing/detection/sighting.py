"""What a detector sees: a condition of one object that may become a fault if it stays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from healing.detection.owners import Target
from healing.faults import Fault, Severity, SignalSource
from healing.ports.cluster import ObjectRef


@dataclass(frozen=True, slots=True)
class Sighting:
    """``grace_seconds``: how long it must last before it is a fault. ``since``: when it began by the cluster's own
    clock, where the object says so. ``moment`` names a single occurrence (an OOM kill) and is empty for a standing
    condition."""

    target: Target
    subject: ObjectRef | None
    symptom: str
    message: str
    severity: Severity
    grace_seconds: float = 0.0
    since: datetime | None = None
    moment: str = ""
    source: SignalSource = SignalSource.WATCH
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same sighting when its object is looked at again."""
        return self.symptom, self.moment

    @property
    def instance(self) -> str:
        """The same standing fault: symptom, object and the target's generation. A changed target or a new pod is
        another one."""
        parts = (self.symptom, self.subject.uid if self.subject else "", self.target.ref.uid, self.target.generation)
        return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:16]

    def fault(self, cluster: str, observed_at: datetime) -> Fault:
        """The fault for the engine. ``data`` carries what `reporting` needs to know it again."""
        return Fault(
            cluster=cluster,
            target=self.target.ref,
            symptom=self.symptom,
            message=self.message,
            severity=self.severity,
            source=self.source,
            observed_at=observed_at,
            subject=self.subject,
            data={
                **self.data,
                "instance": self.instance,
                "moment": self.moment,
                "generation": self.target.generation,
            },
        )
