"""Pods that were refused are made at once when the reason is gone, however long their controller waits."""

from __future__ import annotations

import time
from typing import Any

import pytest

from healing.actions import registry, retrying
from healing.actions.base import Plan
from healing.actions.runner import Runner
from healing.approvals.parameters import checked_steps
from healing.deadline import Deadline
from healing.models import ActionState, Strategy
from healing.ports import ObjectRef
from healing.ports.errors import SourceError
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.parts.crowd import crowding

pytestmark = pytest.mark.django_db

#: Retries come after 5 ms, 10 ms, ... 5.12 s: after this time the next is seconds away.
_LONG_REFUSED_SECONDS = 6.0


def refused(live: Live, ns: Namespace) -> tuple[ObjectRef, list[ObjectRef]]:
    """A quota of three pods, and workloads that want eight."""
    spec = {"hard": {"pods": "3"}}
    quota = ns.create("ResourceQuota", {"apiVersion": "v1", "metadata": {"name": "q"}, "spec": spec})
    until(lambda: (ns.get("ResourceQuota", "q").get("status") or {}).get("hard"), "a quota that counts")
    refs = [ns.deployment(replicas=3), ns.deployment("api", replicas=3)]
    refs.append(ns.stateful_set("db", replicas=2))
    until(lambda: len(ns.pods_of_all()) == 3, "three pods")
    until(lambda: retrying.refused_pods(live.cluster, [ns.name], with_silent=True, timeout_seconds=5), "refusals")
    return quota, refs


def raising(live: Live, ns: Namespace, quota: ObjectRef, **more: Any) -> Plan:
    return registry.make_plan(live.cluster, "raiseQuota", quota, {"hard": {"pods": "6"}, **more}, timeout_seconds=5)


def test_what_was_refused_for_long_is_made_at_once_and_the_annotation_taken_back(live: Live, ns: Namespace) -> None:
    quota, refs = refused(live, ns)
    lacking = retrying.refused_pods(live.cluster, [ns.name], with_silent=True, timeout_seconds=5)
    names = [f"{ref.kind}/{ref.namespace}/{ref.name}" for ref in lacking]
    time.sleep(_LONG_REFUSED_SECONDS)
    plan = raising(live, ns, quota, retry={"at": "2026-01-01T00:00:00Z", "workloads": names})
    assert {str(change.object) for change in plan.changes} >= {str(ref) for ref in lacking}
    runner = Runner(live.cluster, Deadline.after(60), lambda: None)
    event = events.event(refs[0])
    row = runner.apply(event, plan, key="k")
    until(lambda: len(ns.pods_of_all()) == 6, "six pods", 2.0 * crowding())
    annotated = [ns.get(ref.kind, ref.name)["metadata"].get("annotations", {}) for ref in lacking]
    assert all(each[retrying.RETRIED_AT] == "2026-01-01T00:00:00Z" for each in annotated)
    # Somebody else's try is left alone, and keeps nothing else from being put back.
    other = {"metadata": {"annotations": {retrying.RETRIED_AT: "2027-01-01T00:00:00Z"}}}
    live.cluster.patch(lacking[0].kind, ns.name, lacking[0].name, other)
    runner.undo(row)
    assert row.state == ActionState.UNDONE
    assert ns.get("ResourceQuota", "q")["spec"]["hard"] == {"pods": "3"}
    left = [ns.get(ref.kind, ref.name)["metadata"].get("annotations", {}) for ref in lacking]
    assert [each.get(retrying.RETRIED_AT) for each in left] == ["2027-01-01T00:00:00Z"] + [None] * (len(lacking) - 1)


def test_the_same_plan_comes_out_when_a_workload_got_its_pods_meanwhile(live: Live, ns: Namespace) -> None:
    quota, refs = refused(live, ns)
    retry = {"at": "2026-01-01T00:00:00Z", "workloads": [f"Deployment/{ns.name}/{ref.name}" for ref in refs[:2]]}
    plan = raising(live, ns, quota, retry=retry)
    live.cluster.patch("Deployment", ns.name, "api", {"spec": {"replicas": 1}})
    assert raising(live, ns, quota, **plan.parameters).does_the_same_as(plan)
    live.cluster.delete("Deployment", ns.name, "api")
    until(lambda: _is_gone(live, ns, "api"), "the Deployment gone")
    assert len(raising(live, ns, quota, retry=retry).operations) == len(plan.operations) - 1


def _is_gone(live: Live, ns: Namespace, name: str) -> bool:
    try:
        ns.get("Deployment", name)
    except SourceError:
        return True
    return False


def test_who_edits_the_parameters_keeps_whom_the_fix_is_for() -> None:
    retry = {"at": "2026-01-01T00:00:00Z", "workloads": ["Deployment/shop/web"]}
    target = {"kind": "ResourceQuota", "namespace": "shop", "name": "q"}
    step = {"action": "raiseQuota", "target": target, "parameters": {"hard": {"pods": "6"}, "retry": retry}}
    elsewhere = {"at": "2026-01-01T00:00:00Z", "workloads": ["Deployment/kube-system/coredns"]}
    steps, changes = checked_steps(Strategy(title="Raise", steps=[step]), [{"hard": {"pods": "5"}, "retry": elsewhere}])
    assert steps[0]["parameters"] == {"hard": {"pods": "5"}, "retry": retry}
    assert len(changes) == 1
