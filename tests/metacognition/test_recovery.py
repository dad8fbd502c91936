"""A question about a fault that went away is withdrawn, once it has stayed away for a while."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from healing.approvals import recovery
from healing.lifecycle import Outcome, Phase
from healing.models import Approval, ApprovalState, HealingEvent
from healing.ports import ObjectRef, Ports
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story, finding

pytestmark = pytest.mark.django_db

NEVER_READY = {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1}


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture
def asked(live: Live, ns: Namespace) -> Story:
    """An event of a Deployment whose pods never become ready, waiting for a person."""
    ref = ns.deployment("web", readinessProbe=NEVER_READY)
    # Pods that start after the fault was seen would speak against a restart, the only strategy there is here.
    until(ns.runs, "its pods run")
    event = events.event(ref, "ReplicasUnavailable", approval={"mode": "always"})
    told = Story(event, live.ports, finding(event, "ApplicationNotReady"))
    told.until(Phase.AWAITING_APPROVAL)
    return told


def looks(ports: Ports) -> int:
    return recovery.withdraw_recovered("default", lambda _: ports)


def test_it_is_withdrawn_after_a_while(
    live: Live, ns: Namespace, asked: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = ObjectRef("Deployment", ns.name, "web")
    assert looks(live.ports) == 0
    ns.patch_container(ref, readinessProbe=None)
    ns.rolled_out(ref)
    assert looks(live.ports) == 0  # the first good look only starts the clock
    assert looks(live.ports) == 0
    monkeypatch.setattr(recovery, "AWAY_SECONDS", 0.0)
    assert looks(live.ports) == 1
    assert Approval.objects.get().state not in (ApprovalState.OPEN, ApprovalState.APPROVED)
    event = asked.through()
    assert (event.phase, event.outcome) == (Phase.COMPLETED, Outcome.RECOVERED)
    assert not event.actions.filter(strategy__isnull=False).exists()


def test_what_comes_back_starts_the_clock_anew(
    live: Live, ns: Namespace, asked: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = ObjectRef("Deployment", ns.name, "web")
    ns.patch_container(ref, readinessProbe=None)
    ns.rolled_out(ref)
    assert looks(live.ports) == 0
    ns.patch_container(ref, readinessProbe=NEVER_READY)
    until(lambda: not ns.is_rolled_out(ref), "it is ill again")
    monkeypatch.setattr(recovery, "AWAY_SECONDS", 0.0)
    assert looks(live.ports) == 0
    assert cache.get(f"recovered-since:{Approval.objects.get().pk}") is None
    assert HealingEvent.objects.get().phase == Phase.AWAITING_APPROVAL
