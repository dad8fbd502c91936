"""A budget is asked for a moment and then named; a volume that must not grow says why."""

from __future__ import annotations

import threading

import pytest
from django.utils import timezone

from healing.actions import guardrails, registry
from healing.actions.base import CannotPlan
from healing.actions.runner import ActionFailed, Runner
from healing.deadline import Deadline
from healing.models import ActionRun, ActionState
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.counting import Counting
from tests.actions.live import Live, Namespace, until

pytestmark = pytest.mark.django_db


def budget(ns: Namespace, least: int) -> ObjectRef:
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}
    ref = ns.create("PodDisruptionBudget", {"apiVersion": "policy/v1", "metadata": {"name": "keep"}, "spec": spec})
    until(lambda: "disruptionsAllowed" in (ns.get(ref.kind, ref.name).get("status") or {}), "a budget that counts")
    return ref


def test_a_budget_that_forbids_it_for_good_is_named_and_the_pod_stays(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    budget(ns, 2)
    cluster, pod = Counting(live.cluster), ObjectRef.of(ns.pods()[0], "Pod")
    plan = registry.make_plan(cluster, "evict", pod, {}, timeout_seconds=5)
    event = events.event(ref)
    refusals = guardrails.check(plan, guardrails.situation_of(event, timezone.now()), cluster, timeout_seconds=5)
    assert [r for r in refusals if r.limit == "PodDisruptionBudget" and "keep" in r.message]
    with pytest.raises(ActionFailed, match="budget keep needs 2 healthy pods and has 2 currently"):
        Runner(cluster, Deadline.after(3), lambda: None, least_seconds=0).apply(event, plan, key="k")
    assert cluster.written == 0
    assert ActionRun.objects.get().state == ActionState.FAILED
    assert any(found["metadata"]["uid"] == pod.uid for found in ns.pods())


def test_a_budget_that_allows_it_a_moment_later_is_waited_for(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    keep = budget(ns, 2)
    cluster, pod = Counting(live.cluster), ObjectRef.of(ns.pods()[0], "Pod")
    plan = registry.make_plan(cluster, "evict", pod, {}, timeout_seconds=5)
    later = threading.Timer(
        0.7, lambda: live.cluster.patch(keep.kind, ns.name, keep.name, {"spec": {"minAvailable": 1}})
    )
    later.start()
    row = Runner(cluster, Deadline.after(60), lambda: None).apply(events.event(ref), plan, key="k")
    later.join()
    assert row.state == ActionState.APPLIED
    assert cluster.written == 1


@pytest.mark.parametrize(
    ("may_grow", "storage", "reason"),
    [
        (False, "2Gi", "does not allow volumes to grow"),
        (True, "12Gi", "more than twice"),
        (True, "512Mi", "asks for 1Gi already"),
    ],
)
def test_a_volume_that_must_not_grow_says_why(
    live: Live, ns: Namespace, storage: str, reason: str, *, may_grow: bool
) -> None:
    name = f"class-{ns.name}"
    body = {"metadata": {"name": name}, "provisioner": "rancher.io/local-path", "allowVolumeExpansion": may_grow}
    live.cluster.create("StorageClass", "", body)
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": name,
        "resources": {"requests": {"storage": "1Gi"}},
    }
    ref = ns.create("PersistentVolumeClaim", {"apiVersion": "v1", "metadata": {"name": "data"}, "spec": claim})
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    ns.deployment(replicas=1, pod={"volumes": volumes})
    until(lambda: ns.get("PersistentVolumeClaim", "data")["status"].get("phase") == "Bound", "a bound claim")
    with pytest.raises(CannotPlan, match=reason):
        registry.make_plan(live.cluster, "expandVolume", ref, {"storage": storage}, timeout_seconds=5)
    ns.delete()
    live.cluster.delete("StorageClass", "", name)
