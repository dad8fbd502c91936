"""What a restart is held to, on a cluster: it would make things worse where pods cannot come back."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from django.utils import timezone

from healing.actions import guardrails, registry, restarts
from healing.actions.reading import Workload
from healing.lifecycle import Outcome
from healing.models import ActionRun
from healing.policies.spec import ActionName
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story, finding
from tests.actions.test_guardrails import Cluster

pytestmark = pytest.mark.django_db

FROM_SETTINGS: dict[str, Any] = {"envFrom": [{"configMapRef": {"name": "settings"}}]}
NEVER_READY: dict[str, Any] = {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1}
_numbers = itertools.count()
ASK, FORBID = guardrails.Kind.ASK, guardrails.Kind.FORBID


def limits(
    live: Live, ref: ObjectRef, action: str = "restart", *, approved: bool = False, **spec: Any
) -> dict[str, guardrails.Refusal]:
    plan = registry.make_plan(live.cluster, action, ref, {}, timeout_seconds=5)
    # another target each time: of one there is one open event, with the policy that it was opened under
    owner = ObjectRef("Deployment", ref.namespace, f"owner-{next(_numbers)}")
    situation = guardrails.situation_of(events.event(owner, **spec), timezone.now(), is_approved=approved)
    return {r.limit: r for r in guardrails.check(plan, situation, live.cluster, timeout_seconds=5)}


def test_what_its_pods_have_read_is_gone(live: Live, ns: Namespace) -> None:
    ns.config_map("settings", {"MODE": "a"})
    ref = ns.rolled_out(ns.deployment(**FROM_SETTINGS))
    assert limits(live, ref) == {}
    live.cluster.delete("ConfigMap", ns.name, "settings")
    for action, target in (("restart", ref), ("evict", ObjectRef.of(ns.pods()[0], "Pod"))):
        found = limits(live, target, action, approved=True)
        assert found["restartable"].kind is FORBID
        assert "ConfigMap settings does not exist" in found["restartable"].message
    ns.config_map("settings", {"MODE": "a"})
    assert limits(live, ref) == {}


def test_there_is_no_room_in_the_quota_for_what_takes_the_place(live: Live, ns: Namespace) -> None:
    resources: dict[str, Any] = {"resources": {"requests": {"cpu": "100m"}}}
    ref = ns.rolled_out(ns.deployment(spec={"strategy": {"rollingUpdate": {"maxSurge": 0}}}, **resources))
    body = {"apiVersion": "v1", "metadata": {"name": "team"}, "spec": {"hard": {"requests.cpu": "200m"}}}
    quota = ns.create("ResourceQuota", body)
    until(lambda: (ns.get("ResourceQuota", "team").get("status") or {}).get("used"), "a quota that counts")
    assert limits(live, ref) == {}, "a pod goes before another one comes"
    live.cluster.patch(quota.kind, ns.name, quota.name, {"spec": {"hard": {"requests.cpu": "150m"}}})
    until(lambda: ns.get("ResourceQuota", "team")["status"]["hard"]["requests.cpu"] == "150m", "it is less")
    assert "ResourceQuota team has no room" in limits(live, ref)["restartable"].message


def test_its_image_cannot_be_had(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    ns.patch_container(ref, image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ImagePullBackOff") or ns.waits_with("ErrImagePull"), "the pull fails")
    found = limits(live, ref)
    assert set(found) == {"restartable"}
    assert "image registry.local/web:does-not-exist cannot be pulled" in found["restartable"].message


def test_a_pod_of_it_waits_for_a_place_already(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3))
    assert limits(live, ref) == {}
    ns.patch_container(ref, resources={"requests": {"cpu": "900"}})
    until(lambda: any(is_unschedulable(pod) for pod in ns.pods()), "a pod that no node takes")
    serving = next(pod for pod in ns.pods() if not is_unschedulable(pod))
    for action, target in (("restart", ref), ("evict", ObjectRef.of(serving, "Pod"))):
        found = limits(live, target, action, approved=True)
        assert found["restartable"].kind is FORBID
        assert "waits for a place already" in found["restartable"].message


def is_unschedulable(pod: Any) -> bool:
    return any(item.get("reason") == "Unschedulable" for item in pod["status"].get("conditions") or ())


def test_a_rollout_is_under_way(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    assert "rollout" not in limits(live, ref)
    ns.patch_container(ref, readinessProbe=NEVER_READY)
    until(lambda: len(ns.pods()) > 2, "a pod of the new revision")
    found = limits(live, ref)
    assert {name: refusal.kind for name, refusal in found.items()} == {"rollout": ASK}
    assert limits(live, ref, approved=True) == {}


def test_of_a_stateful_set_a_person_is_asked_and_the_only_replica_stays(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.stateful_set(replicas=2))
    found = limits(live, ref)
    assert {name: refusal.kind for name, refusal in found.items()} == {"keepsData": ASK}
    assert limits(live, ref, approved=True) == {}
    only = ns.rolled_out(ns.stateful_set("one", replicas=1))
    assert limits(live, only, approved=True)["allowLastReplica"].kind is FORBID
    says_so = {"limits": {"allowLastReplica": True, "minHealthyPercent": 0}}
    assert limits(live, only, approved=True, **says_so) == {}


def test_a_restart_that_has_a_correction_read_is_no_mere_restart(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.stateful_set(replicas=1))
    restart = registry.make_plan(live.cluster, "restart", ref, {}, timeout_seconds=5)
    correction = dataclasses.replace(restart, action=ActionName.UPDATE_CONFIG)
    situation = guardrails.situation_of(events.event(ref), timezone.now())
    alone = guardrails.check(restart, situation, live.cluster, timeout_seconds=5)
    assert [(r.limit, r.kind) for r in alone] == [("allowLastReplica", FORBID), ("keepsData", ASK)]
    both = guardrails.check(restart, situation, live.cluster, among=[correction, restart], timeout_seconds=5)
    assert [(r.limit, r.kind) for r in both] == [("allowLastReplica", ASK)]


def test_a_volume_on_a_node_that_takes_no_pods() -> None:
    owner = [{"kind": "StatefulSet", "name": "db", "uid": "u", "controller": True, "apiVersion": "apps/v1"}]
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}]
    pod = {
        "kind": "Pod",
        "metadata": {"name": "db-0", "namespace": "shop", "ownerReferences": owner},
        "spec": {"volumes": volumes, "containers": []},
    }
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data-db-0"}, "spec": {"volumeName": "disk"}}
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    required = {"required": {"nodeSelectorTerms": [term]}}
    disk = {"kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": {"nodeAffinity": required}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    near = {"kind": "Node", "metadata": {"name": "near", "labels": {"zone": "a"}}, "spec": {}, "status": ready}
    far = {"kind": "Node", "metadata": {"name": "far", "labels": {"zone": "b"}}, "spec": {}, "status": ready}
    template = {"metadata": {}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}
    body = {"metadata": {"name": "db", "namespace": "shop"}, "spec": {"selector": {}, "template": template}}
    workload = Workload.of({"kind": "StatefulSet", **body}, "StatefulSet")

    def why(node: dict[str, Any]) -> list[str]:
        return restarts.why_not_again(Cluster({}, [pod, claim, disk, node, far]), workload, timeout_seconds=1)

    assert why(near) == []
    assert why({**near, "spec": {"unschedulable": True}}) == ["the volume of db-0 is on near, which takes no pods now"]


def test_nothing_is_done_where_a_restart_is_all_there_is_and_would_make_it_worse(live: Live, ns: Namespace) -> None:
    ns.config_map("settings", {"MODE": "a"})
    ref = ns.rolled_out(ns.deployment(**FROM_SETTINGS))
    live.cluster.delete("ConfigMap", ns.name, "settings")
    event = events.event(ref, "HighErrorRate", approval={"mode": "never"}, allowedActions=["restart", "evict"])
    told = Story(event, live.ports, finding(event, "FailingDependency"))
    ended = told.through()
    assert ended.outcome in (Outcome.ESCALATED, Outcome.RECOVERED), told.told
    assert not ActionRun.objects.filter(event=event).exists()
    if ended.outcome == Outcome.ESCALATED:
        assert "ConfigMap settings does not exist" in told.told
