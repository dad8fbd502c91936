"""A claim is given another volume only where no data can be lost by it, and only with a person's word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from healing.actions import guardrails, registry
from healing.actions.base import CannotPlan
from healing.actions.runner import Runner
from healing.deadline import Deadline
from healing.lifecycle import Phase
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.stages_of_volumes import claim_of, left_behind, phase_of_claim
from tests.actions.story import Story, finding

pytestmark = pytest.mark.django_db


@pytest.fixture
def storage_class(live: Live, ns: Namespace) -> str:
    made = {"metadata": {"name": f"fast-{ns.name}"}, "provisioner": "rancher.io/local-path"}
    return str(live.cluster.create("StorageClass", "", made)["metadata"]["name"])


def plan(ns: Namespace, ref: ObjectRef, **parameters: Any) -> Any:
    return registry.make_plan(ns.cluster, "rebindVolume", ref, {"event": "he-x", **parameters}, timeout_seconds=5)


def bound(ns: Namespace, storage_class: str) -> ObjectRef:
    ref = claim_of(ns, "data", storage_class)
    until(lambda: phase_of_claim(ns, "data") == "Bound", "a bound claim")
    return ref


def test_a_bound_claim_is_not_touched(ns: Namespace, storage_class: str) -> None:
    ref = bound(ns, storage_class)
    for wanted in ({"volume": "any"}, {"storageClass": "another"}):
        with pytest.raises(CannotPlan, match="what that holds would be lost"):
            plan(ns, ref, **wanted)


def test_a_claim_that_has_lost_its_volume_is_not_touched(ns: Namespace, storage_class: str) -> None:
    ref = bound(ns, storage_class)
    ns.cluster.delete("PersistentVolume", "", ns.get(ref.kind, "data")["spec"]["volumeName"])
    until(lambda: phase_of_claim(ns, "data") in ("Lost", "Bound"), "a claim without its volume")
    with pytest.raises(CannotPlan, match=r"Nobody can say what it held|would be lost"):
        plan(ns, ref, storageClass="another")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"persistentVolumeReclaimPolicy": "Delete"}, "about to remove it"),
        ({"claimRef": {"name": "another"}}, "given to no other claim"),
        ({"capacity": {"storage": "10Mi"}}, "it has 10Mi of 1Gi"),
        ({"accessModes": ["ReadOnlyMany"]}, "it offers ReadOnlyMany"),
        ({"storageClassName": "slow"}, "it is of class slow"),
    ],
)
def test_a_volume_that_is_not_this_claims_or_does_not_suit_is_refused(
    ns: Namespace, change: dict[str, Any], why: str
) -> None:
    ref = left_behind(ns, "data")
    ns.cluster.patch("PersistentVolume", "", f"{ns.name}-data", {"spec": change})
    with pytest.raises(CannotPlan, match=why):
        plan(ns, ref, volume=f"{ns.name}-data")


def used_by_a_pod(ns: Namespace) -> None:
    """It waits for the claim; by its status it has run with it."""
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    ns.deployment(replicas=1, pod={"volumes": volumes})
    name = until(lambda: ns.pods("web"), "a pod")[0]["metadata"]["name"]
    status = {"status": {"phase": "Running"}}
    ns.cluster.patch("Pod", ns.name, name, status, subresource="status")


def kept_for_it(ns: Namespace) -> None:
    owner = {"kind": "PersistentVolumeClaim", "namespace": ns.name, "name": "data", "uid": "former"}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/data"},
        "claimRef": owner,
    }
    ns.cluster.create("PersistentVolume", "", {"metadata": {"name": f"kept-{ns.name}"}, "spec": spec})


def made_by_a_stateful_set(ns: Namespace) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"name": "data"}, "spec": {**spec, "storageClassName": "no-such-class"}}
    ref = ns.stateful_set("web")
    ns.cluster.delete(ref.kind, ns.name, "web")
    until(lambda: not ns.list("StatefulSet"), "it has gone")
    body = {
        "metadata": {"name": "web"},
        "spec": {
            "serviceName": "web",
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "web", "image": "registry.local/web:1.0"}]},
            },
            "volumeClaimTemplates": [template],
        },
    }
    ns.create("StatefulSet", body)


@pytest.mark.parametrize(
    ("prepare", "name", "why"),
    [
        (used_by_a_pod, "data", "may have written something"),
        (kept_for_it, "data", "is kept for"),
        (made_by_a_stateful_set, "data-web-0", "volumeClaimTemplates"),
    ],
)
def test_what_may_have_been_used_is_not_made_anew(
    ns: Namespace, storage_class: str, prepare: Callable[[Namespace], None], name: str, why: str
) -> None:
    prepare(ns)
    ref = claim_of(ns, name, "no-such-class")
    until(lambda: phase_of_claim(ns, name) == "Pending", "a claim that waits")
    with pytest.raises(CannotPlan, match=why):
        plan(ns, ref, storageClass=storage_class)


def test_the_claim_gets_its_former_volume_back(live: Live, ns: Namespace) -> None:
    ref = left_behind(ns, "data")
    made = plan(ns, ref, volume=f"{ns.name}-data")
    assert (made.risk, made.reversible) == ("high", False)
    event = events.event(ObjectRef("Deployment", ns.name, "web"), approval={"mode": "never"})
    situation = guardrails.situation_of(event, timezone.now())
    refusals = guardrails.check(made, situation, live.cluster, timeout_seconds=5)
    assert [(r.limit, r.kind) for r in refusals] == [("keepsData", guardrails.Kind.ASK)]
    Runner(live.cluster, Deadline.after(60), lambda: None).apply(event, made, key="k")
    until(lambda: phase_of_claim(ns, "data") == "Bound", "the claim is bound")
    assert ns.get(ref.kind, "data")["spec"]["volumeName"] == f"{ns.name}-data"


def test_a_person_is_asked_whatever_the_policy_says_and_then_it_heals(
    live: Live, ns: Namespace, storage_class: str
) -> None:
    ref = claim_of(ns, "data", "fats")
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    deployment = ns.deployment(replicas=1, pod={"volumes": volumes})
    until(lambda: ns.pods("web"), "a pod that waits")
    event = events.event(deployment, "ProvisioningFailed", approval={"mode": "never"}, limits={"cooldownSeconds": 0})
    cause = finding(event, "StorageClassNotFound", suggested_class=storage_class)
    told = Story(event, live.ports, type(cause)(cause.cause, ref, 0.96, cause.explanation, facts=cause.facts))
    told.until(Phase.AWAITING_APPROVAL)
    assert f"Make claim data anew in StorageClass {storage_class}" in told.told
    assert "a person's decision" in told.told
    assert ns.get(ref.kind, "data")["metadata"]["uid"] == ref.uid
