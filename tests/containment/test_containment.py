"""What is contained, what is not and why, and that nothing outlives its event."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import containment, engine
from healing.faults import Fault, Severity, SignalSource
from healing.lifecycle import Outcome, Phase
from healing.models import ActionRun, ActionState, HealingEvent, Isolation
from healing.phase import Note
from healing.ports import ObjectRef, Ports
from healing.ports.cluster import Object
from tests.actions import events
from tests.actions.counting import Counting, Killed
from tests.actions.live import Live, Namespace, until
from tests.parts.crowd import crowding

pytestmark = pytest.mark.django_db


def contain(event: HealingEvent, ports: Ports) -> list[Note]:
    """Run the phase; its notes in order."""
    notes: list[Note] = []
    result = containment.run(events.context(event, ports, notes))
    assert result.next == Phase.DIAGNOSING
    assert result.fields["contained_at"] is not None
    return [*notes, *result.notes]


def of_kind(notes: list[Note], kind: str) -> list[str]:
    return [note.message for note in notes if note.kind == kind]


def failing_rollout(ns: Namespace, **more: Any) -> ObjectRef:
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}
    ref = ns.rolled_out(ns.deployment(readinessProbe=probe, **more))
    ns.patch_container(ref, command=["sh", "-c", "echo password=hunter2; exit 3"])
    until(lambda: ns.waits_with("CrashLoopBackOff"), "a crash loop", 60)
    return ref


def is_paused(ns: Namespace) -> bool:
    return bool(ns.get("Deployment", "web")["spec"].get("paused"))


@pytest.mark.usefixtures("logs_are_waited_for")
def test_a_failing_rollout_is_paused_after_its_evidence_is_saved(live: Live, ns: Namespace) -> None:
    event = events.event(failing_rollout(ns))
    started = time.monotonic()
    notes = contain(event, live.ports)
    assert time.monotonic() - started < 2 * crowding()
    assert is_paused(ns)
    assert ns.get("Deployment", "web")["metadata"]["annotations"]["recist.io/paused-by"] == event.name
    kinds = [note.kind for note in notes]
    assert kinds.index("evidence-saved") < kinds.index("contained")
    (saved,) = [note.data for note in notes if note.kind == "evidence-saved"]
    log = saved["logs"]["web"]
    assert "password=" in log["text"]
    assert "hunter2" not in log["text"]
    assert saved["containers"][0]["restartCount"] >= 1


def test_a_first_rollout_is_not_paused_and_what_does_not_serve_is_not_isolated(live: Live, ns: Namespace) -> None:
    ref = ns.deployment(command=["sh", "-c", "exit 3"])
    until(lambda: ns.waits_with("CrashLoopBackOff"), "a crash loop", 60)
    pod = ObjectRef.of(ns.pods()[0], "Pod")
    notes = contain(events.event(ref, subject=pod), live.ports)
    assert not of_kind(notes, "contained")
    assert any("no traffic anyway" in text for text in of_kind(notes, "not-contained"))
    assert not is_paused(ns)
    assert not ns.list("NetworkPolicy")


def test_a_rollout_that_somebody_paused_is_left_alone(live: Live, ns: Namespace) -> None:
    ref = failing_rollout(ns)
    ns.cluster.patch("Deployment", ns.name, "web", {"spec": {"paused": True}})
    contain(events.event(ref), live.ports)
    assert "recist.io/paused-by" not in ns.get("Deployment", "web")["metadata"]["annotations"]
    assert not ActionRun.objects.exists()


@pytest.mark.parametrize(
    "spec",
    [{"paused": True}, {"autonomy": "observe"}, {"autonomy": "propose"}, {"containment": {"pauseRollouts": False}}],
)
def test_the_policy_decides_whether_anything_is_contained(live: Live, ns: Namespace, spec: dict[str, Any]) -> None:
    notes = contain(events.event(failing_rollout(ns), **spec), live.ports)
    assert not is_paused(ns)
    assert of_kind(notes, "not-contained")


def answers_badly(ref: ObjectRef, pods: list[Object], **more: Any) -> HealingEvent:
    """An event whose signals name these pods, as callers of them would feel it."""
    under = events.policy(ref.namespace, **more)
    for pod in pods:
        fault = Fault(
            "default",
            ref,
            "HighErrorRate",
            "5 % of the requests fail",
            Severity.HIGH,
            SignalSource.METRICS,
            timezone.now(),
            ObjectRef.of(pod, "Pod"),
        )
        event, _ = engine.open_event(fault, under)
    return event


def test_one_pod_that_answers_badly_is_isolated_and_replaced(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3))
    service = ns.service("web", {"app": "web"})
    bad, *others = ns.pods()
    event = answers_badly(ref, [bad])
    notes = contain(event, live.ports)
    assert of_kind(notes, "contained"), notes
    name = bad["metadata"]["name"]
    labels = ns.get("Pod", name)["metadata"]["labels"]
    assert labels["recist.io/quarantine"] == event.name
    (policy,) = ns.list("NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    isolation = Isolation.objects.get()
    assert isolation.pod_name == name
    assert isolation.expires_at > timezone.now()
    until(lambda: name not in endpoints(ns, service), "the pod is out of its Service")
    until(lambda: ns.is_rolled_out(ref), "a new pod takes its place")
    assert {pod["metadata"]["name"] for pod in others} <= {pod["metadata"]["name"] for pod in ns.pods()}
    # Its time is over: it goes, and its NetworkPolicy with it.
    said: list[tuple[int, Note]] = []
    assert containment.release_due("default", lambda _: live.ports, lambda pk, note: said.append((pk, note))) == 0
    later = timezone.now() + timedelta(hours=1)
    assert (
        containment.release_due("default", lambda _: live.ports, lambda pk, note: said.append((pk, note)), later) == 1
    )
    until(lambda: not ns.list("NetworkPolicy"), "the NetworkPolicy goes")
    until(lambda: all(p["metadata"]["name"] != name for p in ns.pods_of_all()), "the pod goes")
    assert [pk for pk, _ in said] == [event.pk]
    isolation.refresh_from_db()
    assert isolation.released_at is not None
    until(lambda: ns.is_rolled_out(ref), "the others and the new one serve")


def endpoints(ns: Namespace, service: ObjectRef) -> set[str]:
    slices = ns.list("EndpointSlice", label_selector=f"kubernetes.io/service-name={service.name}")
    return {
        endpoint["targetRef"]["name"]
        for item in slices
        for endpoint in item.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
    }


@pytest.mark.parametrize(("replicas", "bad"), [(1, 1), (3, 3), (3, 2)])
def test_the_last_ones_that_serve_are_never_isolated(live: Live, ns: Namespace, replicas: int, bad: int) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=replicas))
    notes = contain(answers_badly(ref, ns.pods()[:bad]), live.ports)
    assert of_kind(notes, "not-contained")
    assert not ns.list("NetworkPolicy")
    assert not Isolation.objects.exists()


def test_a_disruption_budget_is_respected(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3))
    spec = {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}}
    ns.create("PodDisruptionBudget", {"apiVersion": "policy/v1", "metadata": {"name": "web"}, "spec": spec})
    until(lambda: "disruptionsAllowed" in (ns.get("PodDisruptionBudget", "web").get("status") or {}), "its status")
    notes = contain(answers_badly(ref, ns.pods()[:1]), live.ports)
    assert any("web allows 0 disruptions" in text for text in of_kind(notes, "refused")), notes
    assert not Isolation.objects.exists()
    assert not ns.list("NetworkPolicy")


def test_killed_at_any_write_it_is_done_once(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3))
    event = answers_badly(ref, ns.pods()[:1])
    counting = Counting(live.cluster)
    ports = Ports("default", counting, None, None)
    for writes in (1, 2):
        counting.die_after = writes
        with pytest.raises(Killed):
            contain(event, ports)
    contain(event, ports)
    assert counting.written == 2
    assert Isolation.objects.count() == 1
    assert ActionRun.objects.get().state == ActionState.APPLIED


def test_a_cluster_that_is_away_does_not_hold_the_event_up(live: Live, ns: Namespace) -> None:
    event = events.event(failing_rollout(ns))
    with live.api_fault("error", "/api", code=503):
        notes = contain(event, live.ports)
    assert of_kind(notes, "not-contained")


def test_a_node_is_cordoned_and_freed_when_it_is_ready(live: Live, ns: Namespace) -> None:
    node = live.cluster.list("Node").items[0]
    ref = ObjectRef.of(node, "Node")
    event = events.event(ref, "MemoryPressure", under=events.policy(ns.name))
    contain(event, live.ports)
    assert live.cluster.get("Node", "", ref.name)["spec"]["unschedulable"] is True
    settle(event, live.ports, Outcome.HEALED)
    assert not live.cluster.get("Node", "", ref.name)["spec"].get("unschedulable")


def settle(event: HealingEvent, ports: Ports, outcome: Outcome) -> list[Note]:
    event.outcome = outcome
    notes: list[Note] = []
    containment.settle(events.context(event, ports, notes))
    return notes


def test_a_pause_is_lifted_when_the_event_is_healed(live: Live, ns: Namespace) -> None:
    event = events.event(failing_rollout(ns))
    contain(event, live.ports)
    assert of_kind(settle(event, live.ports, Outcome.HEALED), "released")
    assert not is_paused(ns)
    assert settle(event, live.ports, Outcome.HEALED) == []


@pytest.mark.parametrize("outcome", [Outcome.ESCALATED, Outcome.DECLINED, Outcome.FAILED])
def test_a_pause_that_stays_is_said_with_how_to_lift_it(live: Live, ns: Namespace, outcome: Outcome) -> None:
    event = events.event(failing_rollout(ns))
    contain(event, live.ports)
    (text,) = of_kind(settle(event, live.ports, outcome), "stays-contained")
    assert f"kubectl -n {ns.name} rollout resume deployment/web" in text
    assert is_paused(ns)


def test_what_another_person_changed_is_not_put_back(live: Live, ns: Namespace) -> None:
    event = events.event(failing_rollout(ns))
    contain(event, live.ports)
    mine = {"metadata": {"annotations": {"recist.io/paused-by": "ana"}}}
    ns.cluster.patch("Deployment", ns.name, "web", mine)
    assert of_kind(settle(event, live.ports, Outcome.HEALED), "not-released")
    assert is_paused(ns)
