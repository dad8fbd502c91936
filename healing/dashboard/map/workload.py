"""One workload (or node): how it is, its pods, who calls it, and everything we know of its past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.functional import Promise

from healing.access import Capability, Grants
from healing.dashboard.map import marks as marking, tiles
from healing.dashboard.map.picture import silence
from healing.dashboard.map.tiles import DOTS, Tile
from healing.dashboard.rows import Row, load_rows
from healing.detection import heartbeat, inventory
from healing.detection.inventory import Node, Pod, Workload
from healing.models import ActionRun, HealingEvent, Isolation, ProactiveWarning
from knowledge.models import KnowledgeEntry

MOST_PODS, MOST_EVENTS, MOST_ACTIONS, MOST_ENTRIES = 200, 20, 10, 6


@dataclass(frozen=True, slots=True)
class PodRow:
    pod: Pod
    colour: str
    word: str | Promise
    isolation: Isolation | None


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """A ConfigMap or Secret that it reads, and who else does."""

    kind: str
    name: str
    others: Sequence[Workload]


@dataclass(frozen=True, slots=True)
class WorkloadView:
    """``tile`` is None when it does not run (any more), or is a node; then ``node`` says how that is."""

    cluster: str
    kind: str
    namespace: str
    name: str
    tile: Tile | None
    node: Node | None
    pods: Sequence[PodRow]
    hidden_pods: int
    calls: Sequence[Workload]
    callers: Sequence[Workload]
    configs: Sequence[ConfigRow]
    runs_here: Sequence[Workload]
    open_events: Sequence[Row]
    past_events: Sequence[Row]
    warnings: Sequence[ProactiveWarning]
    actions: Sequence[ActionRun]
    entries: Sequence[KnowledgeEntry]
    silence: str


def read(cluster: str, namespace: str, kind: str, name: str, grants: Grants) -> WorkloadView | None:
    """None: nothing is known of it, or this person may not see it."""
    if not grants.may(Capability.VIEW, cluster=cluster, namespace=namespace):
        return None
    seen = inventory.read(cluster)
    workload = seen.find(kind, namespace, name) if seen else None
    node = next((n for n in seen.nodes if n.name == name), None) if seen and kind == "Node" else None
    mine = HealingEvent.objects.filter(cluster=cluster, target_namespace=namespace, target_kind=kind, target_name=name)
    open_pks = list(mine.filter(finished_at=None).order_by("-detected_at").values_list("pk", flat=True)[:MOST_EVENTS])
    past_pks = list(mine.exclude(finished_at=None).order_by("-finished_at").values_list("pk", flat=True)[:MOST_EVENTS])
    marks = marking.read(cluster, grants)
    warnings = marks.warnings.get((kind, namespace, name), [])
    if workload is None and node is None and not open_pks and not past_pks and not warnings:
        return None
    rows = load_rows([*open_pks, *past_pks], grants)
    everything = seen.workloads if seen else ()
    visible = {
        place
        for place in (*(workload.calls if workload else ()), *(workload.callers if workload else ()))
        if grants.may(Capability.VIEW, cluster=cluster, namespace=everything[place].namespace)
    }
    here = [w for w in everything if any(pod.node == name for pod in w.pods)] if node else []
    pods = workload.pods if workload else ()
    worst = sorted(pods, key=lambda pod: (list(DOTS).index(pod.state), pod.name))
    return WorkloadView(
        cluster=cluster,
        kind=kind,
        namespace=namespace,
        name=name,
        tile=tiles.make(cluster, workload, marks, everything, visible) if workload else None,
        node=node,
        pods=_pods(cluster, namespace, worst[:MOST_PODS]),
        hidden_pods=len(pods) + (workload.more if workload else 0) - min(len(pods), MOST_PODS),
        calls=[everything[place] for place in workload.calls if place in visible] if workload else [],
        callers=[everything[place] for place in workload.callers if place in visible] if workload else [],
        configs=_configs(workload, everything) if workload else [],
        runs_here=[w for w in here if grants.may(Capability.VIEW, cluster=cluster, namespace=w.namespace)],
        open_events=[rows[pk] for pk in open_pks if pk in rows],
        past_events=[rows[pk] for pk in past_pks if pk in rows],
        warnings=warnings,
        actions=list(
            ActionRun.objects.filter(event__in=mine.values("pk"), applied_at__isnull=False)
            .select_related("event")
            .defer("event__diagnosis", "event__policy_snapshot", "event__signals")
            .order_by("-applied_at")[:MOST_ACTIONS]
        ),
        entries=_entries(cluster, namespace, kind, name),
        silence=silence(seen, heartbeat.read(cluster)),
    )


def _configs(workload: Workload, everything: Sequence[Workload]) -> list[ConfigRow]:
    """They can only be read within a namespace, so whoever sees this workload may see the others."""
    near = [other for other in everything if other.namespace == workload.namespace and other.key != workload.key]
    rows = []
    for read in workload.reads:
        kind, _, name = read.partition("/")
        rows.append(ConfigRow(kind, name, [other for other in near if read in other.reads]))
    return rows


def _pods(cluster: str, namespace: str, pods: Sequence[Pod]) -> list[PodRow]:
    kept = Isolation.objects.filter(cluster=cluster, namespace=namespace, released_at=None)
    isolations = {row.pod_name: row for row in kept}
    return [PodRow(pod, *DOTS[pod.state], isolations.get(pod.name)) for pod in pods]


def _entries(cluster: str, namespace: str, kind: str, name: str) -> list[KnowledgeEntry]:
    found = KnowledgeEntry.objects.filter(
        cluster=cluster, namespace=namespace, merged_into=None, target__kind=kind, target__name=name
    )
    return list(found.defer("embedding").order_by("-occurred_at")[:MOST_ENTRIES])
