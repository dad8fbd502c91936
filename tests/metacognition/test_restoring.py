"""Objects beside the workload that were changed, made or deleted: seen before, put back, verified."""

from __future__ import annotations

from typing import Any

import pytest

from healing.actions import known_states, registry
from healing.faults import Severity
from healing.findings import Finding
from healing.lifecycle import Outcome, Phase
from healing.models import Approval, HealingEvent
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import IMAGE, Live, Namespace, until
from tests.actions.story import Story
from tests.metacognition.test_healing import QUICK

pytestmark = pytest.mark.django_db(transaction=True)


def look(live: Live) -> None:
    """What upkeep does twice a minute."""
    known_states.remember_all(lambda _: live.ports, "default")


def told(live: Live, event: HealingEvent, cause: str, about: ObjectRef, **facts: Any) -> Story:
    return Story(event, live.ports, Finding(cause, about, 0.92, f"It is {cause}.", facts=facts))


def test_a_service_that_was_edited_goes_back_to_how_it_was_seen(live: Live, ns: Namespace) -> None:
    policy = events.policy(ns.name, **QUICK)
    ns.rolled_out(ns.deployment())
    ref = ns.service("web", {"app": "web"})
    look(live)
    ns.cluster.patch("Service", ns.name, "web", {"spec": {"selector": {"app": "web", "tier": "gold"}}})
    event = events.event(ref, "NoEndpoints", severity=Severity.CRITICAL, under=policy)
    story = told(live, event, "ServiceWithoutEndpoints", ref)
    assert story.through().outcome == Outcome.HEALED, story.told
    assert ns.get("Service", "web")["spec"]["selector"] == {"app": "web"}
    assert [row.action for row in event.actions.all()] == ["restoreObject"]


def test_a_config_map_that_was_deleted_is_made_anew(live: Live, ns: Namespace) -> None:
    policy = events.policy(ns.name, **QUICK)
    config = ns.config_map("settings", {"REGION": "eu"})
    ref = ns.rolled_out(ns.deployment(envFrom=[{"configMapRef": {"name": "settings"}}]))
    look(live)
    ns.cluster.delete("ConfigMap", ns.name, "settings")
    for pod in ns.pods():
        ns.cluster.delete("Pod", ns.name, pod["metadata"]["name"], grace_seconds=0)
    until(lambda: ns.waits_with("CreateContainerConfigError"), "the ConfigMap is missed")
    event = events.event(ref, "CreateContainerConfigError", under=policy)
    story = told(live, event, "MissingConfigMap", config, config_map="settings")
    assert story.through(90).outcome == Outcome.HEALED, story.told
    assert ns.get("ConfigMap", "settings")["data"] == {"REGION": "eu"}


def test_a_deployment_that_was_deleted_is_made_anew_if_a_person_says_so(live: Live, ns: Namespace) -> None:
    policy = events.policy(ns.name, **QUICK)
    caller, ref = ns.deployment(), ns.deployment("videos")
    other = ns.deployment("other")
    service = ns.service("videos", {"app": "videos"})
    for each in (caller, ref, other):
        ns.rolled_out(each)
    look(live)
    ns.cluster.delete("Deployment", ns.name, "videos")
    ns.cluster.delete("Deployment", ns.name, "other")  # nobody asks for it
    until(lambda: not ns.pods("videos"), "no pod is left")
    event = events.event(caller, "ReplicasUnavailable", under=policy)
    ns.patch_container(caller, readinessProbe={"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1})
    story = told(live, event, "ServiceWithoutEndpoints", service, selector={"app": "videos"})
    story.until(Phase.AWAITING_APPROVAL)
    approval = Approval.objects.get()
    assert (approval.risk, approval.strategy.key) == ("high", "recreate-missing")
    assert [(s["action"], s["target"]["name"]) for s in approval.strategy.steps] == [("recreateMissing", "videos")]
    assert [d["metadata"]["name"] for d in ns.list("Deployment")] == ["web"]
    plan = registry.make_plan(
        live.cluster, "recreateMissing", ref, approval.strategy.steps[0]["parameters"], timeout_seconds=5
    )
    made = plan.operations[0]["body"]
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == IMAGE
    assert made["spec"]["replicas"] == 2


def test_a_policy_that_is_new_goes_only_with_a_persons_word(live: Live, ns: Namespace) -> None:
    policy = events.policy(ns.name, **QUICK)
    ref = ns.rolled_out(ns.deployment())
    look(live)
    deny = {"apiVersion": "networking.k8s.io/v1", "metadata": {"name": "deny"}, "spec": {"podSelector": {}}}
    about = ns.create("NetworkPolicy", deny)
    event = events.event(ref, "ReplicasUnavailable", under=policy)
    ns.patch_container(ref, readinessProbe={"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1})
    story = told(live, event, "NetworkPolicyBlocking", about)
    story.until(Phase.AWAITING_APPROVAL)
    approval = Approval.objects.get()
    assert approval.risk == "high"
    assert approval.strategy.key == "restore-object"
    assert [n["metadata"]["name"] for n in ns.list("NetworkPolicy")] == ["deny"]


def test_a_caller_that_only_suffers_is_left_alone(live: Live, ns: Namespace) -> None:
    """Nobody remembers the policy in another state, and it is old: nothing that is left would cure anything."""
    policy = events.policy(ns.name, **QUICK)
    ref = ns.deployment(readinessProbe={"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1})
    until(ns.runs, "its pods run")
    event = events.event(ref, "ReplicasUnavailable", under=policy)
    story = told(live, event, "DNSFailure", ObjectRef("ConfigMap", "kube-system", "coredns"))
    assert story.through().outcome == Outcome.ESCALATED
    assert not event.actions.exists()


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_bad_update_of_pods_that_are_replaced_in_place(live: Live, ns: Namespace, kind: str) -> None:
    """With a StatefulSet the failing pod has to go too, or its controller waits for it for ever."""
    policy = events.policy(
        ns.name, **QUICK, approval={"mode": "never"}, limits={"allowLastReplica": True, "minHealthyPercent": 0}
    )
    ref = ns.stateful_set("web", replicas=2, kind=kind)
    until(lambda: len([p for p in ns.pods() if _is_ready(p)]) >= 2, "ready pods")
    ns.patch_container(ref, image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ImagePullBackOff") or ns.waits_with("ErrImagePull"), "the pull fails")
    event = events.event(ref, "ImagePullBackOff", under=policy)
    story = told(live, event, "ImageNotFound", ref)
    assert story.through(90).outcome == Outcome.HEALED, story.told
    containers = ns.get(kind, "web")["spec"]["template"]["spec"]["containers"]
    assert containers[0]["image"] == "registry.local/web:1.0"
    actions = [row.action for row in event.actions.filter(strategy__isnull=False)]
    assert actions[0] == "rollback"


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or ())
