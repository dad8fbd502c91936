"""Many faults at the same moment: how long until all are healed, and whether anything was lost or done twice.

What was done is counted by the cluster, not by us: every change of a Deployment's spec raises its generation by one,
so that the generation has to be that of the action runs written down.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from healing.models import ActionRun, ActionState, HealingEvent, TimelineEntry
from recist_web.bench.product import CRASH, NO_IMAGE, Product, is_rolled_out, running
from recist_web.bench.section import Bench, Number, Result, p50_p95

TITLE = "Many faults at once"
_POLICY = {
    "autonomy": "heal",
    "approval": {"mode": "never"},
    "limits": {"stormFaults": 0, "cooldownSeconds": 0, "maxConcurrentHealings": 50},
    "verification": {"timeoutSeconds": 120, "stableSeconds": 2},
}
_DONE = (ActionState.APPLIED, ActionState.UNDOING, ActionState.UNDONE, ActionState.UNDO_FAILED)


def run(bench: Bench) -> Result:
    """Bad releases of all workloads at once, half of them crash, half name an image that does not exist."""
    count = bench.pick(full=200, smoke=4)
    result = Result(
        parameters={
            "faults": count,
            "nodes": 6,
            "replicas": 1,
            "workers_of_each_kind": 1,
            "max_concurrent_healings": _POLICY["limits"]["maxConcurrentHealings"],  # type: ignore[index]
        }
    )
    with running(bench, nodes=6, **_POLICY) as product:
        names = product.add_workloads(count, replicas=1)
        generations = {name: d["metadata"]["generation"] for name, d in product.deployments().items()}
        started, began = time.monotonic(), datetime.now(UTC)
        product.release_all([(name, NO_IMAGE if i % 2 else CRASH) for i, name in enumerate(names)])
        sent_seconds = time.monotonic() - started
        product.wait_for(lambda: _all_ended(count), "every event has ended", bench.pick(full=900, smoke=150))
        drained_seconds = time.monotonic() - started
        product.wait_for(
            lambda: all(is_rolled_out(d) for d in product.deployments().values()), "all workloads are well", 60
        )
        events = list(HealingEvent.objects.order_by("pk"))
        result.failures = [*_lost(names, events), *_twice(product, names, generations)]
        restarts = sum(product.tree.supervisor.restarts.values())
    contained = [(e.contained_at - e.detected_at).total_seconds() for e in events if e.contained_at]
    total = [(e.finished_at - e.detected_at).total_seconds() for e in events if e.finished_at]
    detected = [(e.detected_at - began).total_seconds() for e in events]
    outcomes = Counter(str(e.outcome) for e in events)
    result.numbers = [
        Number("all faults sent", sent_seconds, "s"),
        Number("all events ended", drained_seconds, "s"),
        Number("events ended in a minute", 60 * len(events) / drained_seconds, "a minute"),
        *p50_p95("sent -> detected", detected),
        *p50_p95("detected -> contained", contained),
        *p50_p95("detected -> ended", total),
        *(Number(f"ended {outcome}", float(n), f"of {len(events)}") for outcome, n in sorted(outcomes.items())),
        Number("processes that had to be started again", float(restarts), "", 0),
    ]
    return result


def _all_ended(count: int) -> bool:
    return (
        HealingEvent.objects.filter(finished_at=None).count() == 0
        and HealingEvent.objects.values("target_name").distinct().count() >= count
    )


def _lost(names: list[str], events: list[HealingEvent]) -> list[str]:
    """Faults without an event, and events that were not healed."""
    seen = {event.target_name for event in events}
    found = [f"{name}: its fault was lost." for name in names if name not in seen]
    found += [
        f"{event.target_name} ({event.name}): {event.outcome}: {event.outcome_reason}"
        for event in events
        if event.outcome not in ("healed", "recovered")
    ]
    return found


def _twice(product: Product, names: list[str], before: dict[str, int]) -> list[str]:
    """What the cluster counted against what is written down."""
    found = []
    live = product.deployments()
    sets = Counter(
        owner["name"]
        for item in product.cluster.list("ReplicaSet", "bench", timeout_seconds=30.0).items
        for owner in item["metadata"].get("ownerReferences") or ()
    )
    rows: dict[str, list[ActionRun]] = {name: [] for name in names}
    for row in ActionRun.objects.filter(state__in=_DONE):
        rows.setdefault(str(row.target.get("name")), []).append(row)
    for name in names:
        wanted = before[name] + 1 + sum(_writes(row) for row in rows[name])
        counted = live[name]["metadata"]["generation"]
        if counted != wanted:
            told = ", ".join(f"{row.action} {row.state}" for row in rows[name])
            found.append(f"{name}: the cluster counts {counted} changes, written down are {wanted} ({told}).")
        twice = [action for action, n in Counter(row.action for row in rows[name]).items() if n > 1]
        if twice:
            found.append(f"{name}: more than once: {', '.join(twice)}.")
        if sets[name] != 2:
            found.append(f"{name} has {sets[name]} ReplicaSets, where one bad release and its way back leave 2.")
    return found


def _writes(row: ActionRun) -> int:
    """How often this run changed the spec of its target: once for each operation on it, and once for an undo."""
    plan: dict[str, Any] = row.pre_state["plan"]
    on_target = [o for o in plan["operations"] if o["object"].get("name") == row.target.get("name")]
    put_back = TimelineEntry.objects.filter(
        event_id=row.event_id, kind__in=("released", "undone"), data__actionRun=row.pk
    ).exclude(message__contains="put back already")
    return len(on_target) + put_back.count()
