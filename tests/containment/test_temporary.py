"""What Argo CD or Flux owns: changed for a time only where the policy allows it, and never against the tool."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import containment, engine
from healing.actions import guardrails, registry, temporary
from healing.actions.base import CannotPlan
from healing.lifecycle import Outcome, Phase
from healing.models import ActionRun, ActionState, HealingEvent
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story, finding

pytestmark = pytest.mark.django_db

BAD, GOOD = "registry.local/web:does-not-exist", "registry.local/web:1.0"
TRACKING = "argocd.argoproj.io/tracking-id"
POLICY: dict[str, Any] = {
    "approval": {"mode": "never"},
    "allowedActions": ["rollback"],
    "limits": {"cooldownSeconds": 0, "maxAttempts": 2},
    "verification": {"timeoutSeconds": 60, "stableSeconds": 1},
}
FOR_A_TIME = {**POLICY, "gitOps": {"temporaryChanges": True, "expireAfterSeconds": 600}}


def broken(ns: Namespace) -> ObjectRef:
    """A bad release of what Argo CD owns: pods of the former one serve."""
    ref = ns.deployment(image=GOOD)
    ns.cluster.patch(ref.kind, ns.name, ref.name, {"metadata": {"annotations": {TRACKING: "shop:apps/Deployment"}}})
    ns.rolled_out(ref)
    argo_applies(ns, ref, BAD)
    until(lambda: ns.waits_with("ErrImagePull") or ns.waits_with("ImagePullBackOff"), "the bad release shows")
    return ref


def argo_applies(ns: Namespace, ref: ObjectRef, image: str) -> None:
    """As Argo CD writes: by server-side apply, under its own name."""
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": ref.name},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}},
    }
    ns.cluster._transport.call(
        "PATCH",
        f"/apis/apps/v1/namespaces/{ns.name}/deployments/{ref.name}",
        query={"fieldManager": "argocd-controller", "force": "true"},
        body=body,
        content_type="application/apply-patch+yaml",
    )


def image(ns: Namespace) -> str:
    return str(ns.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"])


def marks(ns: Namespace) -> dict[str, str]:
    found = ns.get("Deployment", "web")["metadata"].get("annotations") or {}
    return {key: value for key, value in found.items() if key.startswith("recist.io/temporary")}


def upkeep(live: Live, now: Any) -> None:
    containment.release_due("default", lambda _: live.ports, engine.add_note, now=now)


def story(live: Live, event: HealingEvent) -> Story:
    return Story(event, live.ports, finding(event, "ImageNotFound"))


def test_without_the_policys_word_a_person_is_asked(live: Live, ns: Namespace) -> None:
    event = events.event(broken(ns), "ImagePullBackOff", **POLICY)
    told = story(live, event)
    told.until(Phase.AWAITING_APPROVAL)
    assert "managed by Argo CD shop" in told.told
    assert image(ns) == BAD
    assert not ns.get("Deployment", "web")["spec"].get("paused")


def test_it_heals_for_a_time_and_is_put_back_by_itself(live: Live, ns: Namespace) -> None:
    event = events.event(broken(ns), "ImagePullBackOff", **FOR_A_TIME)
    told = story(live, event)
    ended = told.through()
    assert ended.outcome == Outcome.HEALED, told.told
    assert "then it is put back by itself: Argo CD shop keeps web as its repository says" in told.told
    row = ActionRun.objects.get(event=event, strategy__isnull=False)
    assert row.expires_at is not None
    assert timedelta(minutes=9) < row.expires_at - timezone.now() < timedelta(minutes=10)
    assert marks(ns) == {temporary.CHANGED_BY: event.name, temporary.CHANGED_UNTIL: row.expires_at.isoformat()}
    upkeep(live, row.expires_at - timedelta(seconds=5))
    assert image(ns) == GOOD
    assert "default" not in containment.clusters_to_release(row.expires_at - timedelta(seconds=5))
    assert "default" in containment.clusters_to_release(row.expires_at)
    upkeep(live, row.expires_at)
    assert image(ns) == BAD
    assert marks(ns) == {}
    row.refresh_from_db()
    assert row.state == ActionState.UNDONE
    assert "again as Argo CD shop keeps it" in event.timeline.get(kind="expired").message
    # Once is enough.
    generation = ns.get("Deployment", "web")["metadata"]["generation"]
    upkeep(live, row.expires_at + timedelta(hours=1))
    assert ns.get("Deployment", "web")["metadata"]["generation"] == generation


def test_put_back_by_the_tool_while_it_is_verified_it_says_so_and_stops(live: Live, ns: Namespace) -> None:
    ref = broken(ns)
    event = events.event(ref, "ImagePullBackOff", **FOR_A_TIME)
    told = story(live, event)
    told.until(Phase.VERIFYING)
    argo_applies(ns, ref, BAD)
    ended = told.through()
    assert ended.outcome == Outcome.ESCALATED, told.told
    assert "Argo CD shop has put the change of Deployment" in ended.outcome_reason
    assert "Make the change there: " in ended.outcome_reason
    assert json.dumps(BAD)[1:-1] in ended.outcome_reason
    assert ended.attempt == 1  # no next strategy against the tool
    row = ActionRun.objects.get(event=event, strategy__isnull=False)
    assert (row.state, row.result["overruledBy"]) == (ActionState.UNDONE, "Argo CD shop")
    # Nor for the next event of the same fault, by whatever strategy: a person is asked.
    again = events.event(ref, "ImagePullBackOff", under=event.policy)
    plan = registry.make_plan(live.cluster, "rollback", ref, {}, timeout_seconds=5)
    assert temporary.planned(plan, again, again.policy_spec) is plan
    situation = guardrails.situation_of(again, timezone.now())
    forced = temporary.added(plan, temporary.Temporary(event=again.name, until=timezone.now() + timedelta(hours=1)))
    for one in (plan, forced):
        refusals = guardrails.check(one, situation, live.cluster, timeout_seconds=5)
        (found,) = [refusal for refusal in refusals if refusal.limit == "gitops"]
        assert found.kind is guardrails.Kind.ASK
        assert "a change of it was put back already" in found.message
    assert image(ns) == BAD


def test_put_back_by_the_tool_later_it_is_noticed(live: Live, ns: Namespace) -> None:
    ref = broken(ns)
    event = events.event(ref, "ImagePullBackOff", **FOR_A_TIME)
    story(live, event).through()
    containment.release_strays("default", lambda _: live.ports, engine.add_note)
    assert not event.timeline.filter(kind="overruled").exists()
    argo_applies(ns, ref, BAD)
    for _ in range(2):
        containment.release_strays("default", lambda _: live.ports, engine.add_note)
    assert "Argo CD shop has put the temporary change" in event.timeline.get(kind="overruled").message
    assert marks(ns) == {}


def test_what_somebody_else_changed_meanwhile_is_left_alone(live: Live, ns: Namespace) -> None:
    ref = broken(ns)
    event = events.event(ref, "ImagePullBackOff", **FOR_A_TIME)
    story(live, event).through()
    ns.patch_container(ref, image="registry.local/web:2.0")
    row = ActionRun.objects.get(event=event, strategy__isnull=False)
    assert row.expires_at is not None
    upkeep(live, row.expires_at)
    assert image(ns) == "registry.local/web:2.0"
    assert "it is not put back" in event.timeline.get(kind="overruled").message


def test_a_cluster_that_is_away_at_the_end_is_asked_again(live: Live, ns: Namespace) -> None:
    event = events.event(broken(ns), "ImagePullBackOff", **FOR_A_TIME)
    story(live, event).through()
    row = ActionRun.objects.get(event=event, strategy__isnull=False)
    assert row.expires_at is not None
    with live.api_fault("error", "/apis/apps", code=503):
        upkeep(live, row.expires_at)
    row.refresh_from_db()
    assert row.state in (ActionState.APPLIED, ActionState.UNDOING)
    upkeep(live, row.expires_at)
    assert image(ns) == BAD


def test_an_operators_objects_and_plans_whose_time_is_over_are_not_made(live: Live, ns: Namespace) -> None:
    ref = broken(ns)
    event = events.event(ref, "ImagePullBackOff", **FOR_A_TIME)
    plan = registry.make_plan(live.cluster, "rollback", ref, {"toRevision": 1}, timeout_seconds=5)
    policy = event.policy_spec
    assert temporary.of(temporary.planned(plan, event, policy).parameters) is not None
    restart = registry.make_plan(live.cluster, "restart", ref, {"at": "2026-11-23T10:00:00Z"}, timeout_seconds=5)
    assert temporary.planned(restart, event, policy) is restart  # nothing to put back
    late = {"toRevision": 1, "temporary": {"event": event.name, "until": "2020-01-01T00:00:00Z"}}
    with pytest.raises(CannotPlan, match="that is over"):
        registry.make_plan(live.cluster, "rollback", ref, late, timeout_seconds=5)
