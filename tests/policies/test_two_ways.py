"""Changes made here reach the resource by server-side apply, those made there reach the app; nobody's are lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from healing.audit import Actor
from healing.cluster.kubernetes import KubernetesCluster
from healing.models import AuditEntry, Policy, PolicyRevision
from healing.policies.spec import PolicySpec
from healing.policy_changes import rows, service
from healing.policy_changes.errors import ClusterAway, Conflicts, NameTaken, ReadOnly, Stale
from healing.policy_changes.history import State
from recist_web.clusters import ClusterTarget
from tests.parts.kubectl import Kubectl
from tests.policies.conftest import manifest

pytestmark = pytest.mark.django_db
ROOT = Actor("person", "root")
KIND = "SelfHealingPolicy"


def stored(cluster: str, live: KubernetesCluster, namespace: str) -> Policy:
    return rows.store(cluster, live.get(KIND, namespace, "shop"))


def edited(policy: Policy, **changes: Any) -> PolicySpec:
    return PolicySpec.model_validate({**policy.spec, **changes})


def managers(live: KubernetesCluster, namespace: str) -> dict[str, Any]:
    entries = live.get(KIND, namespace, "shop")["metadata"]["managedFields"]
    return {entry["manager"]: entry["fieldsV1"] for entry in entries}


def test_a_change_is_applied_under_our_name_and_takes_nothing_else(
    joined: str, applied: str, live: KubernetesCluster
) -> None:
    policy = stored(joined, live, applied)
    assert policy.parsed().confidence_threshold == 0.6, "the seed's name is understood"
    changed = service.change(policy.pk, edited(policy, paused=True), enabled=True, actor=ROOT, revision=policy.revision)
    assert changed.parsed().paused
    resource = live.get(KIND, applied, "shop")
    assert resource["spec"] == {
        "targetNamespaces": [applied],
        "thresholds": {"cpu": 0.8},
        "diagnosisConfig": {"confidenceThreshold": 0.6},
        "paused": True,
    }
    assert managers(live, applied)["recist"]["f:spec"] == {"f:paused": {}}
    # A second change keeps what the first one set.
    limits = {**policy.spec["limits"], "maxAttempts": 5}
    again = service.change(
        policy.pk, edited(changed, limits=limits), enabled=True, actor=ROOT, revision=changed.revision
    )
    assert (again.parsed().paused, again.parsed().limits.max_attempts) == (True, 5)
    assert managers(live, applied)["recist"]["f:spec"] == {"f:paused": {}, "f:limits": {"f:maxAttempts": {}}}
    newest = PolicyRevision.objects.filter(policy=policy).first()
    assert newest is not None
    assert (newest.actor, newest.origin, newest.number) == ("root", "app", again.revision)
    assert newest.changes == [{"field": "limits.maxAttempts", "before": 3, "after": 5}]
    actors = AuditEntry.objects.filter(action="policy.changed").values_list("actor", flat=True)
    assert list(actors) == ["root", "root"], "the resource's own echo is no second change"


def test_what_others_have_set_is_shown_and_taken_over_only_when_told(
    joined: str, applied: str, live: KubernetesCluster, kubectl: Kubectl
) -> None:
    policy = stored(joined, live, applied)
    thresholds = {**policy.spec["thresholds"], "cpu": 0.7}
    wanted = edited(policy, thresholds=thresholds, confidenceThreshold=0.9, paused=True)
    with pytest.raises(Conflicts) as refused:
        service.change(policy.pk, wanted, enabled=True, actor=ROOT, revision=policy.revision)
    assert {(c.field, c.manager, c.theirs, c.yours) for c in refused.value.found} == {
        ("thresholds.cpu", "kubectl-client-side-apply", 0.8, 0.7),
        ("diagnosisConfig.confidenceThreshold", "kubectl-client-side-apply", 0.6, 0.9),
    }
    assert "thresholds.cpu is 0.8, set by kubectl-client-side-apply; you set 0.7" in str(refused.value)
    assert "paused" not in live.get(KIND, applied, "shop")["spec"], "all or nothing"
    with pytest.raises(Conflicts):
        service.change(
            policy.pk, wanted, enabled=True, actor=ROOT, revision=policy.revision, take_over=["thresholds.cpu"]
        )
    changed = service.change(
        policy.pk,
        wanted,
        enabled=True,
        actor=ROOT,
        revision=policy.revision,
        take_over=["thresholds.cpu", "diagnosisConfig.confidenceThreshold"],
    )
    assert changed.parsed() == wanted
    spec = live.get(KIND, applied, "shop")["spec"]
    assert spec["diagnosisConfig"] == {"confidenceThreshold": 0.9}, "written where it was, not twice"
    newest = PolicyRevision.objects.filter(policy=policy).first()
    assert newest is not None
    assert "Took over" in newest.note
    assert "thresholds.cpu from kubectl-client-side-apply" in newest.note


def test_the_cluster_was_faster(joined: str, applied: str, live: KubernetesCluster, kubectl: Kubectl) -> None:
    policy = stored(joined, live, applied)
    patch = json.dumps({"spec": {"autonomy": "propose"}})
    kubectl("patch", "shp", "shop", "-n", applied, "--type=merge", "-p", patch)
    with pytest.raises(Stale) as refused:
        service.change(policy.pk, edited(policy, paused=True), enabled=True, actor=ROOT, revision=policy.revision)
    assert [c.as_json() for c in refused.value.changes] == [{"field": "autonomy", "before": None, "after": "propose"}]
    assert "by kubectl-patch (autonomy)" in str(refused.value)
    policy.refresh_from_db()
    assert policy.parsed().autonomy == "propose"
    newest = PolicyRevision.objects.filter(policy=policy).first()
    assert newest is not None
    assert (newest.actor, newest.origin) == ("kubectl-patch", "cluster")


def test_labels_are_replaced_as_a_whole(joined: str, namespace: str, live: KubernetesCluster) -> None:
    spec = PolicySpec.model_validate({"targetNamespaces": [namespace], "targetLabels": {"app": "a", "tier": "b"}})
    made = service.create(service.Place(joined, namespace, "shop"), spec, enabled=True, actor=ROOT)
    assert (made.policy.source, made.says) == ("cluster", f"Its SelfHealingPolicy resource is {namespace}/shop.")
    fewer = edited(made.policy, targetLabels={"app": "a"})
    changed = service.change(made.policy.pk, fewer, enabled=True, actor=ROOT, revision=1)
    assert changed.spec["targetLabels"] == {"app": "a"}
    assert live.get(KIND, namespace, "shop")["spec"]["targetLabels"] == {"app": "a"}
    cleared = {**changed.spec["thresholds"], "cpu": None}
    unwatched = service.change(
        made.policy.pk, edited(changed, thresholds=cleared), enabled=False, actor=ROOT, revision=2
    )
    assert (unwatched.parsed().thresholds.cpu, unwatched.enabled, unwatched.revision) == (None, False, 3)
    with pytest.raises(NameTaken):
        service.create(service.Place(joined, namespace, "shop"), spec, enabled=True, actor=ROOT)
    service.delete(made.policy.pk, actor=ROOT, revision=3)
    assert not live.list(KIND, namespace).items
    assert PolicyRevision.objects.filter(name="shop", namespace=namespace).first().kind == "deleted"  # type: ignore[union-attr]


def test_what_argo_cd_owns_is_read_only(joined: str, namespace: str, live: KubernetesCluster) -> None:
    labels = {"argocd.argoproj.io/instance": "payments"}
    body = {"metadata": {"name": "shop", "labels": labels}, "spec": {"targetNamespaces": [namespace]}}
    live.create(KIND, namespace, body)
    policy = stored(joined, live, namespace)
    assert "Argo CD payments" in service.read_only_because(policy)
    for call in (
        lambda: service.change(policy.pk, edited(policy, paused=True), enabled=True, actor=ROOT, revision=None),
        lambda: service.delete(policy.pk, actor=ROOT, revision=None),
    ):
        with pytest.raises(ReadOnly, match="Change it in the repository"):
            call()
    # The row may not know yet: the resource is asked again before anything is written.
    Policy.objects.filter(pk=policy.pk).update(managed_by="")
    with pytest.raises(ReadOnly):
        service.change(policy.pk, edited(policy, paused=True), enabled=True, actor=ROOT, revision=None)


def test_a_cluster_that_is_away_keeps_the_policy_as_it_was(
    joined: str, applied: str, live: KubernetesCluster, settings: Any
) -> None:
    policy = stored(joined, live, applied)
    settings.CLUSTERS = {joined: ClusterTarget(joined, kubeconfig=settings.VAR_DIR / "no-such-kubeconfig")}
    before = State.of(policy)
    with pytest.raises(ClusterAway, match="nothing was changed"):
        service.change(policy.pk, edited(policy, paused=True), enabled=True, actor=ROOT, revision=None)
    with pytest.raises(ClusterAway):
        service.create(service.Place(joined, applied, "other"), policy.parsed(), enabled=True, actor=ROOT)
    policy.refresh_from_db()
    assert State.of(policy) == before
    assert Policy.objects.count() == 1


def test_a_bad_spec_can_be_repaired_here(
    joined: str, namespace: str, live: KubernetesCluster, kubectl: Kubectl
) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(namespace, "  limits: {freezeWindows: ['Mon 10:00-12:00 Mars/Phobos']}"))
    policy = stored(joined, live, namespace)
    assert (policy.spec, "Mars/Phobos" in policy.error) == ({}, True)
    spec = PolicySpec.model_validate({"targetNamespaces": [namespace], "thresholds": {"cpu": 0.8}})
    with pytest.raises(Conflicts) as refused:
        service.change(policy.pk, spec, enabled=True, actor=ROOT, revision=None)
    fields = [c.field for c in refused.value.found]
    assert "limits.freezeWindows" in fields
    changed = service.change(policy.pk, spec, enabled=True, actor=ROOT, revision=None, take_over=fields)
    assert (changed.error, changed.parsed()) == ("", spec)
