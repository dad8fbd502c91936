"""What people put in place of our decisions, on the real cluster API: edited plans, and fixes by hand."""

from __future__ import annotations

from typing import Any

import pytest

from healing.approvals import service, takeover
from healing.approvals.errors import NotAllowed
from healing.lifecycle import Outcome, Phase
from healing.metacognition.health import target_of
from healing.models import ActionRun, Approval, ApprovalState, TakeoverEnd
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.metacognition.test_healing import QUICK, bad_image, story
from tests.people import approver, person

pytestmark = pytest.mark.django_db


def asked(live: Live, ns: Namespace, **more: Any) -> tuple[Any, Approval]:
    event = events.event(bad_image(ns), "ImagePullBackOff", approval={"mode": "always"}, **{**QUICK, **more})
    told = story(live, event, "ImageNotFound")
    told.until(Phase.AWAITING_APPROVAL)
    return told, Approval.objects.get(state=ApprovalState.OPEN)


def test_edited_parameters_are_planned_against_the_cluster_and_approved_by_somebody_else(
    live: Live, ns: Namespace
) -> None:
    ref = ns.rolled_out(ns.deployment())
    ns.patch_container(ref, env=[{"name": "SECOND", "value": "yes"}])
    until(lambda: ns.is_rolled_out(ref), "the second revision is rolled out")
    ns.patch_container(ref, image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ImagePullBackOff") or ns.waits_with("ErrImagePull"), "the pull fails")
    told = story(live, events.event(ref, "ImagePullBackOff", approval={"mode": "always"}, **QUICK), "ImageNotFound")
    told.until(Phase.AWAITING_APPROVAL)
    approval, ana = Approval.objects.get(state=ApprovalState.OPEN), approver("ana")
    assert approval.strategy.steps[0]["parameters"]["toRevision"] == 2
    service.edit(approval.pk, by=ana, parameters=[{"toRevision": 1}], digest=approval.digest)
    told.until(Phase.AWAITING_APPROVAL)
    question = Approval.objects.get(state=ApprovalState.OPEN)
    assert (question.strategy.author, question.strategy.steps[0]["parameters"]["toRevision"]) == (ana, 1)
    assert question.digest == question.strategy.digest != approval.digest
    with pytest.raises(NotAllowed, match="yourself"):
        service.approve(question.pk, by=ana, digest=question.digest)
    service.approve(question.pk, by=approver("bo"), digest=question.digest)
    assert told.through().outcome == Outcome.HEALED, told.told
    container = ns.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.local/web:1.0"
    assert "SECOND" not in [entry["name"] for entry in container.get("env", [])]


def test_an_edit_that_cannot_be_carried_out_is_said_and_the_question_is_asked_again(live: Live, ns: Namespace) -> None:
    told, approval = asked(live, ns)
    service.edit(approval.pk, by=approver("ana"), parameters=[{"toRevision": 77}], digest=approval.digest)
    told.until(Phase.AWAITING_APPROVAL)
    assert "edit-refused" in told.kinds()
    question = Approval.objects.get(state=ApprovalState.OPEN)
    assert question.strategy.key == "rollback"
    assert question.strategy.author is None
    assert not ActionRun.objects.filter(strategy__isnull=False).exists()


def test_a_policy_that_asks_for_two_by_now_makes_the_plan_stale(live: Live, ns: Namespace) -> None:
    told, approval = asked(live, ns)
    service.approve(approval.pk, by=approver("ana"), digest=approval.digest)
    policy = told.event.policy
    risk = approval.risk
    policy.spec["approval"] = {"mode": "always", "requiredApprovals": {risk: 2}}
    policy.save()
    told.until(Phase.AWAITING_APPROVAL, Phase.VERIFYING)
    assert told.event.phase == Phase.AWAITING_APPROVAL
    assert Approval.objects.get(state=ApprovalState.OPEN).required == 2


def test_a_fix_by_hand_is_verified_and_the_outcome_says_who(live: Live, ns: Namespace) -> None:
    told, approval = asked(live, ns, containment={"pauseRollouts": False})
    olga = person("olga", "operator")
    takeover.take_over(approval.event_id, by=olga)
    takeover.fixed(approval.event_id, by=olga, what="nothing yet, to be honest")
    told.until(Phase.AWAITING_APPROVAL)
    assert "not-fixed" in told.kinds()
    assert takeover.open_takeover(told.event) is not None
    ns.patch_container(target_of(told.event), image="registry.local/web:1.0")
    takeover.fixed(approval.event_id, by=olga, what="put the image back")
    event = told.through()
    assert event.outcome == Outcome.HEALED, told.told
    assert "olga healed it by hand (put the image back)" in event.outcome_reason
    assert event.takeovers.get().end == TakeoverEnd.FIXED
    assert not ActionRun.objects.filter(strategy__isnull=False).exists()
