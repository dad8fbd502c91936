"""Whether a fix that was made ahead of time has given room: what was filling is clearly less full than it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from healing.actions.base import CannotPlan
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.findings import foreseen_in
from healing.metacognition.metrics import Judgement
from healing.models import HealingEvent
from healing.ports import Ports
from healing.ports.cluster import ObjectRef
from healing.ports.errors import SourceError
from healing.queries import catalogue, trends
from healing.queries.model import Query, of_pods

#: Of what it was, and of the limit.
_CLEARLY_LESS = 0.9
_MUCH_ROOM = 0.9

_QUERIES: Mapping[str, tuple[Query, Query]] = MappingProxyType(
    {
        "MemoryTowardLimit": (catalogue.CONTAINER_MEMORY, trends.MEMORY_LIMIT),
        "VolumeTowardFull": (trends.VOLUME_USED, trends.VOLUME_CAPACITY),
        "QuotaTowardFull": (trends.QUOTA_USED, trends.QUOTA_HARD),
    }
)


def judge(event: HealingEvent, ports: Ports, *, timeout_seconds: float) -> Judgement | None:
    """None: nothing was foreseen. Never raises."""
    foreseen = foreseen_in(event.signals)
    queries = _QUERIES.get(str(foreseen.get("kind", "")))
    if queries is None:
        return None
    if ports.metrics is None:
        return Judgement(None, "how full it is now: no metrics source is configured")
    try:
        where, is_it = _place(event, foreseen, ports, timeout_seconds)
        answers = [ports.metrics.query(q.text(where=where), timeout_seconds=timeout_seconds) for q in queries]
    except (SourceError, CannotPlan) as error:
        return Judgement(None, f"how full it is now: {error}")
    used, limit = ([sample.value for sample in answer if is_it(sample.labels)] for answer in answers)
    if not used or not limit or not math.isfinite(max(used)):
        return Judgement(None, "how full it is now: no numbers yet")
    fraction, before = max(used) / min(limit), float(foreseen.get("fraction", 1.0))
    text = f"{fraction:.0%} full (before: {before:.0%})"
    return Judgement(fraction <= min(_MUCH_ROOM, _CLEARLY_LESS * before), text)


def _place(
    event: HealingEvent, foreseen: dict[str, Any], ports: Ports, timeout_seconds: float
) -> tuple[str, Callable[[Mapping[str, str]], bool]]:
    """Matchers of the query, and which of its series are meant."""
    one, part = ObjectRef.from_json(foreseen["object"]), str(foreseen.get("part", ""))
    target = ObjectRef(event.target_kind, event.target_namespace, event.target_name)
    if one.kind in WORKLOAD_KINDS:
        workload = Workload.read(ports.cluster, target, timeout_seconds=timeout_seconds)
        pods = [p["metadata"]["name"] for p in workload.pods(ports.cluster, timeout_seconds=timeout_seconds)]
        return of_pods(target.namespace, pods), lambda labels: labels.get("container") == part
    where = f'namespace="{one.namespace}"'
    if one.kind == "ResourceQuota":
        return where, lambda labels: (labels.get("resourcequota"), labels.get("resource")) == (one.name, part)
    return where, lambda labels: labels.get("persistentvolumeclaim") == one.name
