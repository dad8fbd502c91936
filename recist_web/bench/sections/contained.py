"""From the moment the cluster shows a fault until the bleeding is stopped, and from the diagnosis to the action."""

from __future__ import annotations

import time

from healing.models import ActionRun, HealingEvent
from recist_web.bench.product import CRASH, running
from recist_web.bench.section import Bench, Number, Result, p50_p95

TITLE = "From signal to contained, and from diagnosis to action"
#: the targets
_CONTAINED_SECONDS = 1.0
_POLICY = {
    "autonomy": "heal",
    "approval": {"mode": "never"},
    "limits": {"stormFaults": 0, "cooldownSeconds": 0, "maxConcurrentHealings": 100},
    "verification": {"timeoutSeconds": 60, "stableSeconds": 2},
}


def run(bench: Bench) -> Result:
    """One bad release after another, on a busy product: the next comes before the last is healed."""
    count, every_seconds = bench.pick(full=40, smoke=2), bench.pick(full=1.5, smoke=0.5)
    result = Result(parameters={"faults": count, "every_seconds": every_seconds, "replicas": 3, "nodes": 3})
    with running(bench, nodes=3, **_POLICY) as product:
        names = product.add_workloads(count, replicas=3)
        with product.second_watcher() as seen:
            for name in names:
                product.release(name, CRASH)
                time.sleep(every_seconds)
            product.wait_for(lambda: _ended() >= count, f"{count} events have ended", bench.pick(full=180, smoke=150))
        events = list(HealingEvent.objects.order_by("pk"))
        acted = {
            row.event_id: row.applied_at
            for row in ActionRun.objects.filter(strategy__isnull=False, applied_at__isnull=False).order_by("-pk")
        }
    shown = [
        (seen.paused[name] - seen.faulty[name]).total_seconds()
        for name in names
        if name in seen.paused and name in seen.faulty
    ]
    detected = [(e.contained_at - e.detected_at).total_seconds() for e in events if e.contained_at]
    diagnosed = [(e.diagnosed_at - e.contained_at).total_seconds() for e in events if e.diagnosed_at and e.contained_at]
    to_action = [
        (at - e.diagnosed_at).total_seconds() for e in events if e.diagnosed_at and (at := acted.get(e.pk)) is not None
    ]
    result.numbers = [
        *p50_p95("the cluster shows it -> contained", shown, p95_at_most=_CONTAINED_SECONDS),
        *p50_p95("detected -> containment ended", detected, p95_at_most=_CONTAINED_SECONDS),
        *p50_p95("contained -> diagnosed", diagnosed, p95_at_most=15.0),
        *p50_p95("diagnosed -> action carried out", to_action, p95_at_most=20.0),
        Number("contained", float(len(shown)), f"of {count}"),
        Number("healed", float(sum(e.outcome == "healed" for e in events)), f"of {count}"),
    ]
    if len(shown) < count:
        result.failures.append(f"{count - len(shown)} of {count} bad rollouts were not paused.")
    return result


def _ended() -> int:
    return HealingEvent.objects.filter(finished_at__isnull=False).count()
