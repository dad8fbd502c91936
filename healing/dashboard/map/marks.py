"""What the database knows of workloads right now: open events, warnings ahead, isolated pods. Three queries
a cluster."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from healing.access import Capability, Grants
from healing.lifecycle import Phase
from healing.models import HealingEvent, Isolation, ProactiveWarning, WarningState

Key = tuple[str, str, str]
_SERIOUS = ("critical", "high")


@dataclass(frozen=True, slots=True)
class OpenEvent:
    name: str
    phase: str
    symptom: str
    is_serious: bool
    detected_at: datetime

    @property
    def waits(self) -> bool:
        """For a person."""
        return self.phase == Phase.AWAITING_APPROVAL


@dataclass(slots=True)
class Marks:
    """By (kind, namespace, name) of the workload, node or other object."""

    events: dict[Key, list[OpenEvent]] = field(default_factory=lambda: defaultdict(list))
    warnings: dict[Key, list[ProactiveWarning]] = field(default_factory=lambda: defaultdict(list))
    #: (namespace, pod) -> until when
    isolated: dict[tuple[str, str], datetime] = field(default_factory=dict)

    def signature(self) -> str:
        """The same as long as the map would look the same."""
        events = sorted((key, event.name, event.phase) for key, found in self.events.items() for event in found)
        warnings = sorted((key, row.pk) for key, found in self.warnings.items() for row in found)
        return repr((events, warnings, sorted(self.isolated)))


def read(cluster: str, grants: Grants) -> Marks:
    """What this person may see of it."""
    marks = Marks()
    seen = HealingEvent.objects.filter(grants.places(Capability.VIEW), cluster=cluster, finished_at=None)
    columns = ("target_kind", "target_namespace", "target_name", "name", "phase", "symptom", "severity", "detected_at")
    for kind, namespace, name, event, phase, symptom, severity, at in seen.order_by("pk").values_list(*columns):
        marks.events[kind, namespace, name].append(OpenEvent(event, phase, symptom, severity in _SERIOUS, at))
    places = grants.places(Capability.VIEW, namespace="namespace")
    ahead = ProactiveWarning.objects.filter(places, cluster=cluster, state=WarningState.OPEN, closed_at=None)
    for row in ahead.defer("evidence").order_by("breach_at"):
        kind, name = row.workload_kind or row.object_kind, row.workload_name or row.object_name
        marks.warnings[kind, row.namespace, name].append(row)
    kept = Isolation.objects.filter(places, cluster=cluster, released_at=None)
    for namespace, pod, until in kept.values_list("namespace", "pod_name", "expires_at"):
        marks.isolated[namespace, pod] = until
    return marks
