"""A fix that makes things worse is taken back at once, and a person gets to know everything that was tried."""

from __future__ import annotations

import pytest

from healing.lifecycle import Outcome
from healing.models import ActionRun, ActionState, StrategyState
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story, finding

pytestmark = pytest.mark.django_db

NEVER_READY = {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1}


def test_a_rollback_to_what_cannot_even_start_is_undone_and_escalated(live: Live, ns: Namespace) -> None:
    """The earlier revision was never run, so nothing is known against it; its image does not exist."""
    ref = ns.deployment(replicas=0, image="registry.local/web:does-not-exist")
    until(lambda: ns.get("Deployment", "web")["status"].get("observedGeneration"), "its first revision is kept")
    ns.patch_container(ref, image="registry.local/web:1.0", readinessProbe=NEVER_READY)
    ns.cluster.patch("Deployment", ns.name, "web", {"spec": {"replicas": 2}})
    until(lambda: len(ns.pods()) == 2 and ns.runs(), "its pods run")
    event = events.event(
        ref,
        "ReplicasUnavailable",
        limits={"maxAttempts": 1, "cooldownSeconds": 0},
        verification={"timeoutSeconds": 40, "stableSeconds": 1},
        approval={"mode": "never"},
        allowedActions=["rollback"],
    )
    told = Story(event, live.ports, finding(event, "BadRollout"))
    ended = told.through(90)
    assert ended.outcome == Outcome.ESCALATED, told.told
    tried = ended.strategies.get(state=StrategyState.UNDONE)
    assert tried.key == "rollback"
    assert "it made things worse" in told.told
    assert "1 strategies were tried" in ended.outcome_reason
    assert [row.state for row in ActionRun.objects.filter(strategy=tried)] == [ActionState.UNDONE]
    container = ns.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.local/web:1.0"
    assert container["readinessProbe"]["periodSeconds"] == 1
