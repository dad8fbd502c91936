"""What speaks against a fresh start: it has been tried, or the rest of the pods would have to carry too much."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing.actions.base import CannotPlan
from healing.actions.planning_cluster import PlanningCluster
from healing.actions.registry import make_plan
from healing.deadline import Deadline
from healing.findings import Diagnosis, Finding
from healing.metacognition import fresh_starts
from healing.metacognition.agents import Agent
from healing.metacognition.candidates import Candidate, candidates_for
from healing.metacognition.case import Case
from healing.metacognition.experience import recall
from healing.metacognition.strategies import STRATEGIES
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.numbers import LIMITS, Numbers

pytestmark = pytest.mark.django_db

NEVER_READY = {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1}


def case(live: Live, ref: ObjectRef, *findings: Finding, subject: ObjectRef | None = None, metrics: Any = None) -> Case:
    event = events.event(ref, "ReadinessProbeFailed", subject=subject)
    return Case(
        event=event,
        policy=event.policy_spec,
        diagnosis=Diagnosis(findings, ()),
        cluster=PlanningCluster(live.cluster),
        experience=recall(event, findings[0].cause if findings else "", timezone.now()),
        deadline=Deadline.after(60),
        now=timezone.now(),
        metrics=metrics,
    )


def restart(case: Case, ref: ObjectRef) -> Agent:
    agent = Agent(Candidate("restart", "causes", 0.5, STRATEGIES["restart"](case)), 0.5)
    agent.plans = [make_plan(case.cluster, "restart", ref, {}, timeout_seconds=5)]
    return agent


def told(case: Case, ref: ObjectRef) -> list[tuple[str, bool]]:
    return [(argument.topic, argument.weight < 0) for argument in fresh_starts.doubts(case, restart(case, ref))]


def test_pods_that_were_started_since_show_it_still(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    of = case(live, ref, Finding("FailingDependency", ref, 0.9, ""))
    assert told(of, ref) == []
    old = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in ns.pods()}
    # Kubernetes tells time in whole seconds
    until(lambda: timezone.now() > of.event.detected_at + timedelta(seconds=1), "a second later")
    for name in old.values():
        live.cluster.delete("Pod", ns.name, name)
    until(
        lambda: len({p["metadata"]["uid"] for p in ns.pods()} - old.keys()) == 2 and ns.is_rolled_out(ref), "new pods"
    )
    anew = case(live, ref, Finding("FailingDependency", ref, 0.9, ""))
    assert anew.event.pk == of.event.pk
    assert told(anew, ref) == [("fresh start", True)]
    leak = case(live, ref, Finding("MemoryLeak", ref, 0.9, ""))
    assert told(leak, ref) == [], "a leak comes back after each start, and is gone for a while"


def test_what_the_kubelet_tries_in_vain_in_most_pods(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3))
    killed = {"httpGet": {"path": "/", "port": 1}, "periodSeconds": 1, "failureThreshold": 1}
    ns.patch_container(ref, livenessProbe=killed, readinessProbe=NEVER_READY)
    live.cluster.patch(
        "Deployment", ns.name, ref.name, {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}
    )

    def restarts() -> list[int]:
        return sorted(pod["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) for pod in ns.pods())

    until(lambda: len(restarts()) == 3 and restarts()[1] >= 2, "two pods that were started again twice", 60)
    of = case(live, ref, Finding("FailingDependency", ref, 0.9, ""))
    (argument,) = [a for a in fresh_starts.doubts(of, restart(of, ref)) if a.topic == "fresh start"]
    assert argument.weight <= -1.5
    assert "in vain" in argument.text


@pytest.mark.parametrize(("confidence", "expected"), [(0.5, [("load", True)]), (0.1, [])])
def test_what_has_too_much_to_do_has_no_less_of_it_meanwhile(
    live: Live, ns: Namespace, confidence: float, expected: Any
) -> None:
    ref = ns.rolled_out(ns.deployment())
    findings = [Finding("SlowDependency", ref, 0.8, ""), Finding("TrafficSpike", ref, confidence, "")]
    assert told(case(live, ref, *findings), ref) == expected


@pytest.mark.parametrize(
    ("cores", "replicas", "cause", "expected"),
    [
        pytest.param(0.7, 3, "", [("load", True)], id="one of three goes, and 30% are free"),
        pytest.param(0.4, 3, "", [], id="60% are free"),
        pytest.param(0.7, 3, "MemoryLeak", [], id="who knows the cause knows what a start is worth"),
        pytest.param(0.95, 3, "MemoryLeak", [("load", True)], id="whatever it is, all are at their limit"),
        pytest.param(0.95, 3, "CPUHog", [], id="it is what a start ends"),
        pytest.param(0.3, 1, "", [("load", True)], id="nobody else does its work"),
    ],
)
def test_no_start_of_what_has_little_to_spare(
    live: Live, ns: Namespace, *, cores: float, replicas: int, cause: str, expected: Any
) -> None:
    """Fewer pods do the same work while one starts."""
    ref = ns.rolled_out(ns.deployment(replicas=replicas, resources=LIMITS))
    findings = [Finding(cause, ref, 0.8, "")] if cause else []
    numbers = Numbers(cores, 2**20, ns.pods())
    assert told(case(live, ref, *findings, metrics=numbers), ref) == expected
    assert told(case(live, ref, *findings), ref) == [], "nobody can tell"


def test_new_pods_can_come_up_on_the_bad_node_again(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    name = ns.pods()[0]["spec"]["nodeName"]
    of = case(live, ref, Finding("NetworkDelay", ObjectRef("Node", "", name), 0.8, ""))
    assert told(of, ref) == [("node", True)]
    live.cluster.patch("Node", "", name, {"spec": {"unschedulable": True}})
    try:
        cordoned = case(live, ref, Finding("NetworkDelay", ObjectRef("Node", "", name), 0.8, ""))
        assert told(cordoned, ref) == []
    finally:
        live.cluster.patch("Node", "", name, {"spec": {"unschedulable": None}})


def test_one_pod_is_not_replaced_where_none_of_its_siblings_is_ready(live: Live, ns: Namespace) -> None:
    ref = ns.deployment(readinessProbe=NEVER_READY)
    until(lambda: len(ns.pods()) == 2, "its pods")
    one = ObjectRef.of(ns.pods()[0], "Pod")
    of = case(live, ref, Finding("NetworkDelay", ref, 0.8, ""), subject=one)
    with pytest.raises(CannotPlan, match="None of its siblings is ready"):
        STRATEGIES["evict-pod"](of)


def test_no_fresh_start_for_what_lies_outside_of_the_cluster(live: Live, ns: Namespace) -> None:
    """Not of who suffers, and not of a stranger here that is called like the first part of the host."""
    ref = ns.rolled_out(ns.deployment())
    ns.rolled_out(ns.deployment("payments"))
    facts = {"host": "payments.provider.example.com", "outside": True}
    found, dropped = candidates_for(case(live, ref, Finding("DependencyUnavailable", ref, 0.9, "", facts=facts)))
    assert [candidate.key for candidate in found] == []
    assert "web only suffers" in next(one.reason for one in dropped if one.key == "restart")
    with pytest.raises(CannotPlan, match="not in this cluster"):
        STRATEGIES["restart-dependency"](
            case(
                live,
                ref,
                Finding("DependencyUnavailable", ref, 0.9, "", facts={"host": "payments.provider.example.com"}),
            )
        )
