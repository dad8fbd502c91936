"""A strategy of several steps: a person's fresh edit holds it back before it begins, and what was put back half-way can
be done again."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from django.utils import timezone

from healing.actions import guardrails, known_states
from healing.approvals import service as approvals
from healing.findings import Finding
from healing.lifecycle import Outcome, Phase
from healing.models import Approval, ApprovalState
from healing.ports.cluster import ObjectRef
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story
from tests.parts.tools import tool
from tests.people import approver

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = {"verification": {"timeoutSeconds": 60, "stableSeconds": 1}}


def lost_key(live: Live, ns: Namespace, **spec: Any) -> Story:
    """A ConfigMap lost a key; the workload cannot start without it: the fix restores it and starts the pods anew."""
    settings = ns.config_map("settings", {"REGION": "eu", "MODE": "fast"})
    reference = {"configMapKeyRef": {"name": "settings", "key": "REGION"}}
    ref = ns.rolled_out(ns.deployment(replicas=2, env=[{"name": "REGION", "valueFrom": reference}]))
    known_states.remember("default", ns.get("ConfigMap", "settings"), timezone.now())
    ns.cluster.patch("ConfigMap", ns.name, settings.name, {"data": {"REGION": None}})
    stamp = {"kubectl.kubernetes.io/restartedAt": "2026-11-23T00:00:00Z"}
    ns.cluster.patch("Deployment", ns.name, "web", {"spec": {"template": {"metadata": {"annotations": stamp}}}})
    until(lambda: ns.waits_with("CreateContainerConfigError"), "pods that cannot start")
    event = events.event(ref, "CreateContainerConfigError", **QUICK, **spec)
    facts = {"config_map": "settings", "key": "REGION"}
    found = Finding("MissingConfigMapKey", settings, 0.95, "REGION is not there", facts=facts)
    return Story(event, live.ports, found)


def touched_by_hand(live: Live, ns: Namespace, ref: ObjectRef) -> None:
    command = [tool("kubectl"), f"--kubeconfig={live.kubeconfig}", "-n", ns.name, "label", ref.kind, ref.name]
    subprocess.run([*command, "touched=yes"], check=True, capture_output=True)


def test_what_was_put_back_half_way_is_done_again(live: Live, ns: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    told = lost_key(live, ns, approval={"mode": "always"})
    told.until(Phase.AWAITING_APPROVAL)
    first = Approval.objects.get()
    check, refused = guardrails.check, []

    def once_not(plan: Any, *more: Any, **options: Any) -> list[guardrails.Refusal]:
        if not refused:
            refused.append(plan)
            return [guardrails.Refusal("freshEdit", guardrails.Kind.ASK, "ask first", "approve it")]
        return check(plan, *more, **options)

    approvals.approve(first.pk, by=approver("ana"), digest=first.digest)
    monkeypatch.setattr(guardrails, "check", once_not)
    told.until(Phase.PLANNING)
    told.until(Phase.AWAITING_APPROVAL)
    again = Approval.objects.get(state=ApprovalState.OPEN)
    assert again.digest == first.digest, "the plan is the same to the letter"
    approvals.approve(again.pk, by=approver("ana"), digest=again.digest)
    assert told.through().outcome == Outcome.HEALED, told.told


def test_a_fresh_edit_of_any_object_holds_it_back_before_anything_is_sent(
    live: Live, ns: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from healing.actions import fresh_edits

    monkeypatch.setattr(fresh_edits, "HOLD_SECONDS", 8.0)  # told by whole seconds, on a busy machine
    told = lost_key(live, ns, approval={"mode": "never"})
    told.until(Phase.HEALING)
    for step in told.event.strategies.get(state="chosen").steps:
        touched_by_hand(live, ns, ObjectRef.from_json({**step["target"], "uid": ""}))
    assert told.through().outcome == Outcome.HEALED, told.told
    kinds = told.kinds()
    assert kinds.index("waiting") < kinds.index("applied")
    assert "undone" not in kinds
