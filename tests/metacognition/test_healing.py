"""Real faults in the sandbox, from planning to a verified end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from healing.actions import known_states
from healing.approvals import service as approvals
from healing.faults import Severity
from healing.findings import Finding
from healing.lifecycle import Outcome, Phase
from healing.models import ActionRun, ActionState, Approval, ApprovalState, HealingEvent, StrategyState
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story, finding
from tests.people import approver

pytestmark = pytest.mark.django_db

QUICK = {"verification": {"timeoutSeconds": 60, "stableSeconds": 1}}


def bad_image(ns: Namespace, **deployment: Any) -> ObjectRef:
    """A rollout that cannot pull its image; the pods of the revision before go on serving."""
    ref = ns.rolled_out(ns.deployment(**deployment))
    ns.patch_container(ref, image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ImagePullBackOff") or ns.waits_with("ErrImagePull"), "the pull fails")
    return ref


def story(live: Live, event: HealingEvent, cause: str, **facts: Any) -> Story:
    return Story(event, live.ports, finding(event, cause, **facts))


def test_a_bad_rollout_is_paused_rolled_back_and_verified(live: Live, ns: Namespace) -> None:
    ref = bad_image(ns)
    told = story(live, events.event(ref, "ImagePullBackOff", **QUICK), "ImageNotFound")
    told.until(Phase.DIAGNOSING)
    assert ns.get("Deployment", "web")["spec"]["paused"] is True
    event = told.through()
    assert event.outcome == Outcome.HEALED, told.told
    found = ns.get("Deployment", "web")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.local/web:1.0"
    assert "paused" not in found["spec"]
    assert "recist.io/paused-by" not in found["metadata"]["annotations"]
    assert ns.is_rolled_out(ref)
    chosen = event.strategies.get(state=StrategyState.SUCCEEDED)
    assert chosen.key == "rollback"
    assert event.strategies.filter(attempt=1).count() >= 3  # two that argue, and the person
    topics = {argument["topic"] for argument in chosen.arguments}
    assert {"plan", "limits", "dry run", "recent change"} <= topics
    assert max(argument["turn"] for argument in chosen.arguments) >= 2
    kinds = told.kinds()
    assert kinds.index("evidence-saved") < kinds.index("contained") < kinds.index("decided") < kinds.index("verified")
    assert event.healed_at is not None


def test_a_person_is_asked_and_the_answer_is_bound_to_the_plan(live: Live, ns: Namespace) -> None:
    ref = bad_image(ns)
    event = events.event(ref, "ImagePullBackOff", approval={"mode": "always"}, **QUICK)
    told = story(live, event, "ImageNotFound")
    told.until(Phase.AWAITING_APPROVAL)
    approval = Approval.objects.get()
    assert approval.digest == approval.strategy.digest
    assert approval.state == ApprovalState.OPEN
    assert approval.reason
    person = approver("ana")
    approvals.approve(approval.pk, by=person, digest=approval.digest)
    assert told.through().outcome == Outcome.HEALED


def test_a_plan_that_was_overtaken_while_a_person_thought_is_made_anew(live: Live, ns: Namespace) -> None:
    ref = bad_image(ns)
    told = story(live, events.event(ref, "ImagePullBackOff", approval={"mode": "always"}, **QUICK), "ImageNotFound")
    told.until(Phase.AWAITING_APPROVAL)
    approval = Approval.objects.get()
    # Somebody tries another image meanwhile, and it is no better.
    ns.patch_container(ref, image="registry.local/web:missing", env=[{"name": "A", "value": "1"}])
    approvals.approve(approval.pk, by=approver("ana"), digest=approval.digest)
    told.until(Phase.PLANNING, Phase.VERIFYING)
    if told.event.phase == Phase.PLANNING:
        assert "stale" in told.kinds()
        told.until(Phase.AWAITING_APPROVAL)
        again = Approval.objects.get(state=ApprovalState.OPEN)
        assert again.digest != approval.digest
        assert told.event.attempt == 1
    else:  # the same operations would be sent to the same object: then the approval still holds
        assert told.through().outcome == Outcome.HEALED


def test_another_strategy_chosen_by_a_person_is_carried_out(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    # it comes up, but never gets ready
    ns.patch_container(ref, readinessProbe={"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1})
    until(lambda: len(ns.pods()) > 2, "a pod of the new revision")
    event = events.event(ref, "ReadinessProbeFailed", approval={"mode": "always"}, containment={"pauseRollouts": False})
    told = story(live, event, "ApplicationNotReady")
    told.until(Phase.AWAITING_APPROVAL)
    approval = Approval.objects.get()
    other = event.strategies.get(key="restart")
    person = approver("ana")
    question = approvals.override(approval.pk, by=person, strategy_id=other.pk, digest=other.digest)
    with pytest.raises(approvals.NotAllowed, match="yourself"):
        approvals.approve(question.pk, by=person, digest=other.digest)
    approvals.approve(question.pk, by=approver("bo"), digest=other.digest)
    told.until(Phase.VERIFYING)
    assert [row.action for row in ActionRun.objects.filter(strategy__isnull=False)] == ["restart"]


def test_a_fix_that_does_not_help_is_undone_then_the_next_then_a_person(live: Live, ns: Namespace) -> None:
    """The program itself is broken, since its first revision: nothing in the registry heals that."""
    limits = {"cpu": "100m", "memory": "64Mi"}
    ref = ns.deployment(replicas=1, command=["sh", "-c", "sleep 1; exit 3"], resources={"limits": limits})
    until(lambda: ns.waits_with("CrashLoopBackOff"), "a crash loop", 60)
    event = events.event(
        ref,
        limits={"maxAttempts": 2, "cooldownSeconds": 0},
        verification={"timeoutSeconds": 5, "stableSeconds": 2},
        approval={"mode": "never"},
        decisionThreshold=0.0,
        confidenceThreshold=0.0,
    )
    told = Story(event, live.ports, finding(event, "MemoryLeak", container="web"))
    ended = told.through(90)
    assert ended.outcome == Outcome.ESCALATED, told.told
    tried = ended.strategies.filter(state__in=(StrategyState.UNDONE, StrategyState.FAILED)).order_by("attempt")
    assert [strategy.key for strategy in tried] == ["restart", "raise-memory"], told.told
    assert all(row.state == ActionState.UNDONE for row in ActionRun.objects.filter(strategy__in=tried)), told.told
    assert told.kinds().count("strategy-failed") == 2
    container = ns.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == limits


def test_what_went_away_by_itself_is_left_alone(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    told = story(live, events.event(ref), "BadRollout")
    assert told.through().outcome == Outcome.RECOVERED
    assert not ActionRun.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_lost_key_is_put_back_with_the_value_it_had(live: Live, ns: Namespace) -> None:
    config = ns.config_map("settings", {"REGION": "eu-central", "MODE": "fast"})
    known_states.remember("default", ns.get("ConfigMap", "settings"), timezone.now())
    env = [{"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "REGION"}}}]
    ref = ns.rolled_out(ns.deployment(env=env))
    ns.cluster.patch("ConfigMap", ns.name, "settings", {"data": {"REGION": None}})
    stamp = {"kubectl.kubernetes.io/restartedAt": "2026-11-23T00:00:00Z"}
    ns.cluster.patch("Deployment", ns.name, "web", {"spec": {"template": {"metadata": {"annotations": stamp}}}})
    until(lambda: ns.waits_with("CreateContainerConfigError"), "the key is missed")
    event = events.event(ref, "CreateContainerConfigError", **QUICK)
    cause = Finding(
        "MissingConfigMapKey", config, 0.95, "REGION is not there", facts={"config_map": "settings", "key": "REGION"}
    )
    told = Story(event, live.ports, cause)
    assert told.through(90).outcome == Outcome.HEALED, told.told
    assert ns.get("ConfigMap", "settings")["data"] == {"REGION": "eu-central", "MODE": "fast"}
    assert "paused" not in ns.get("Deployment", "web")["spec"]
    assert ns.is_rolled_out(ref)


def test_a_key_nobody_remembers_is_not_made_up(live: Live, ns: Namespace) -> None:
    config = ns.config_map("settings", {"MODE": "fast"})
    env = [{"name": "REGION", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "REGION"}}}]
    ref = ns.deployment(env=env)
    until(lambda: ns.waits_with("CreateContainerConfigError"), "the key is missed")
    event = events.event(ref, "CreateContainerConfigError", **QUICK)
    cause = Finding("MissingConfigMapKey", config, 0.95, "", facts={"config_map": "settings", "key": "REGION"})
    told = Story(event, live.ports, cause)
    told.until(Phase.AWAITING_APPROVAL, Phase.ESCALATED)
    assert ns.get("ConfigMap", "settings")["data"] == {"MODE": "fast"}
    assert not ActionRun.objects.filter(strategy__isnull=False).exists()


def test_a_services_selector_is_corrected(live: Live, ns: Namespace) -> None:
    ns.rolled_out(ns.deployment())
    service = ns.service("web", {"app": "wbe"})
    event = events.event(service, "NoEndpoints", severity=Severity.CRITICAL, **QUICK)
    told = story(live, event, "ServiceSelectorMismatch")
    assert told.through().outcome == Outcome.HEALED, told.told
    assert ns.get("Service", "web")["spec"]["selector"] == {"app": "web"}


def test_a_limit_that_was_lowered_is_restored(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(image="nginx:1.25", resources={"limits": {"memory": "64Mi"}}))
    ns.patch_container(ref, resources={"limits": {"memory": "4Mi"}})
    until(
        lambda: any(
            (s.get("lastState") or {}).get("terminated", {}).get("reason") == "OOMKilled"
            or (s.get("state") or {}).get("terminated", {}).get("reason") == "OOMKilled"
            for pod in ns.pods()
            for s in pod["status"].get("containerStatuses") or ()
        ),
        "an OOM kill",
        60,
    )
    told = story(live, events.event(ref, "OOMKilled", **QUICK), "MemoryLimitTooLow", container="web")
    assert told.through(90).outcome == Outcome.HEALED, told.told
    container = ns.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["memory"] == "64Mi"


def test_what_a_gitops_tool_owns_needs_a_person(live: Live, ns: Namespace) -> None:
    ref = bad_image(ns)
    labels = {"argocd.argoproj.io/instance": "shop"}
    ns.cluster.patch("Deployment", ns.name, "web", {"metadata": {"labels": labels}})
    told = story(live, events.event(ref, "ImagePullBackOff", **QUICK), "ImageNotFound")
    told.until(Phase.AWAITING_APPROVAL)
    assert "Argo CD" in Approval.objects.get().reason


def test_a_policy_that_only_observes_does_nothing(live: Live, ns: Namespace) -> None:
    ref = bad_image(ns)
    told = story(live, events.event(ref, "ImagePullBackOff", autonomy="observe"), "ImageNotFound")
    assert told.through().outcome == Outcome.ESCALATED
    assert not ActionRun.objects.exists()
    assert "paused" not in ns.get("Deployment", "web")["spec"]


def test_an_unknown_cause_asks_a_person(live: Live, ns: Namespace) -> None:
    ref = bad_image(ns)
    event = events.event(ref, "ImagePullBackOff", **QUICK)
    told = Story(event, live.ports, finding(event, "SomethingNew", confidence=0.3))
    told.until(Phase.AWAITING_APPROVAL)
    assert "not certain" in Approval.objects.get().reason


class Meddler:
    """A cluster in which somebody else writes the object right before each of the first dry runs."""

    def __init__(self, cluster: Any, times: int) -> None:
        self._cluster = cluster
        self.left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def patch(self, kind: str, namespace: str, name: str, patch: Any, *, dry_run: bool = False, **rest: Any) -> Any:
        if dry_run and self.left:
            self.left -= 1
            note = {"metadata": {"annotations": {"example.com/left": str(self.left)}}}
            self._cluster.patch(kind, namespace, name, note)
        return self._cluster.patch(kind, namespace, name, patch, dry_run=dry_run, **rest)


def test_others_who_write_the_object_while_it_is_planned_are_no_reason_to_give_up(live: Live, ns: Namespace) -> None:
    ref = bad_image(ns)
    meddler = Meddler(live.ports.cluster, times=3)
    event = events.event(ref, "ImagePullBackOff", containment={"pauseRollouts": False}, **QUICK)
    told = Story(event, replace(live.ports, cluster=meddler), finding(event, "ImageNotFound"))  # type: ignore[arg-type]
    assert told.through().outcome == Outcome.HEALED, told.told
    assert meddler.left == 0
    assert "failed" not in told.kinds()
