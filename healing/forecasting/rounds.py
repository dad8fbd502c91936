"""A round of forecasts for one cluster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import structlog
from django.core.cache import cache

from healing.forecasting import budget, certificates, fill, record, recur
from healing.forecasting.model import DAYS, HOURS, MINUTES, SCALES, Foreseen, Scale
from healing.forecasting.owners import Owners
from healing.models import Policy, ProactiveWarning, WarningKind, WarningState
from healing.policies.select import select
from healing.policies.spec import PolicySpec
from healing.ports import Ports
from healing.ports.cluster import ObjectRef
from healing.ports.errors import SourceError
from healing.ports.metrics import Metrics

log = structlog.get_logger(__name__)

#: What a person has dismissed is left alone for this long.
_DISMISSED_SECONDS = 6 * 3600.0

Policies = list[tuple[Policy, PolicySpec]]


def policies_of(cluster: str) -> Policies:
    """Enabled policies that want forecasts."""
    return [(row, spec) for row, spec in Policy.usable(cluster) if spec.forecasts.enabled and not spec.paused]


def clusters_to_look_at() -> set[str]:
    """Clusters with policies."""
    return set(Policy.objects.filter(enabled=True).values_list("cluster", flat=True).distinct())


def due(cluster: str, now: datetime) -> list[Scale]:
    """Scales whose round is due; each is given out once."""
    return [
        scale
        for scale in SCALES
        if cache.add(f"forecast:{cluster}:{scale.name}", now.isoformat(), timeout=scale.every_seconds * 0.95)
    ]


def look(cluster: str, ports: Ports, now: datetime, scales: list[Scale]) -> int:
    """Ask, look ahead, write. Returns how many things are foreseen; a source that is away is said and left."""
    policies = policies_of(cluster)
    if not policies or ports.metrics is None or not scales:
        return 0
    namespaces = sorted({name for _, spec in policies for name in spec.target_namespaces})
    owners = Owners(ports.cluster)
    count = 0
    for scale in scales:
        try:
            found = _foresee(ports.metrics, policies, namespaces, owners, scale, now)
            placed = [one for foreseen in found if (one := _place(foreseen, owners, policies)) is not None]
        except SourceError as error:
            log.warning("no forecasts", cluster=cluster, scale=scale.name, error=str(error))
            continue
        record.write(cluster, [one for one in placed if not _is_dismissed(cluster, one, now)], now)
        record.close_unseen(cluster, scale.name, scale.every_seconds, now)
        count += len(placed)
    return count


def _foresee(
    metrics: Metrics, policies: Policies, namespaces: list[str], owners: Owners, scale: Scale, now: datetime
) -> list[Foreseen]:
    found = fill.look(metrics, namespaces, scale, now)
    if scale in (MINUTES, HOURS):
        found += recur.look(metrics, namespaces, scale, now)
    if scale is MINUTES:
        found += budget.look(metrics, _objectives(policies), owners)
    if scale is DAYS:
        found += certificates.look(metrics, namespaces, now)
    return found


def _objectives(policies: Policies) -> Mapping[str, budget.Objective]:
    return {
        name: budget.Objective(spec.forecasts.availability_target, spec.thresholds.error_rate or 1.0)
        for _, spec in policies
        for name in spec.target_namespaces
    }


def _place(foreseen: Foreseen, owners: Owners, policies: Policies) -> record.Placed | None:
    """The object that people know it by; None: it is gone, or no policy covers it."""
    subject = foreseen.subject
    match subject.kind:
        case "Pod":
            workload = owners.of_pod(subject.namespace, subject.name)
            if workload is None:
                return None
            shown = workload
        case "PersistentVolumeClaim":
            workload, shown = owners.of_claim(subject.namespace, subject.name), subject
        case kind if kind in ("Deployment", "StatefulSet", "DaemonSet"):
            workload = shown = subject
        case _:
            workload, shown = None, subject
    labels = owners.labels_of(subject.namespace, workload) if workload else {}
    policy = select(policies, subject.namespace, labels)
    if policy is None:
        return None
    horizon = next(spec for row, spec in policies if row is policy).forecasts.horizon_seconds
    if foreseen.breach.seconds > horizon and foreseen.kind in (WarningKind.MEMORY, WarningKind.VOLUME):
        return None
    return record.Placed(foreseen, ObjectRef(shown.kind, shown.namespace, shown.name), workload, str(policy))


def _is_dismissed(cluster: str, placed: record.Placed, now: datetime) -> bool:
    kind, namespace, object_kind, object_name, part = placed.key
    last = (
        ProactiveWarning.objects.filter(
            cluster=cluster,
            kind=kind,
            namespace=namespace,
            object_kind=object_kind,
            object_name=object_name,
            part=part,
            state=WarningState.DISMISSED,
        )
        .order_by("-closed_at")
        .first()
    )
    return (
        last is not None and last.closed_at is not None and (now - last.closed_at).total_seconds() < _DISMISSED_SECONDS
    )
