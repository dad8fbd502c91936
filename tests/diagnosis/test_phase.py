"""The phase on a running cluster (the sandbox, over HTTP): collected, named, told live, remembered."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from healing import engine, learning
from healing.cluster.kubernetes import KubernetesCluster
from healing.cluster.loki import Loki
from healing.cluster.prometheus import Prometheus
from healing.deadline import Deadline
from healing.diagnosis import phase, run
from healing.diagnosis.collect.live import Collector
from healing.faults import Fault, Severity, SignalSource
from healing.findings import Diagnosis
from healing.lifecycle import Outcome, Phase
from healing.models import HealingEvent, Policy, Strategy, StrategyState
from healing.phase import Note, PhaseContext
from healing.policies.spec import PolicySpec
from healing.ports import Ports
from healing.ports.cluster import ObjectList, ObjectRef
from healing.ports.errors import Forbidden, Unavailable
from knowledge import memory
from knowledge.index import Index
from knowledge.models import KnowledgeEntry
from tests.cluster.sandbox import RunningSandbox, eventually
from tests.knowledge.conftest import experience, no_qdrant, use_index
from tests.parts.crowd import crowding

__all__ = ["no_qdrant", "use_index"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_qdrant")]
Obj = dict[str, Any]


def deployment(name: str, **container: Any) -> Obj:
    spec = {
        "name": "app",
        "image": "registry.example.com/team/app:1.0.0",
        "ports": [{"containerPort": 8080}],
        **container,
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [spec]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


@pytest.fixture
def ports(sandbox: RunningSandbox, live: KubernetesCluster) -> Iterator[Ports]:
    metrics, logs = Prometheus(sandbox.prometheus), Loki(sandbox.loki)
    yield Ports("default", live, metrics, logs)
    metrics.close()
    logs.close()


def opened(
    namespace: str, name: str, symptom: str, message: str = "it does not work", **policy_fields: Any
) -> HealingEvent:
    """An event about the Deployment that waits for its diagnosis."""
    spec = PolicySpec(target_namespaces=[namespace], **policy_fields)
    policy = Policy.objects.create(name="p", spec=spec.as_json())
    target = ObjectRef("Deployment", namespace, name)
    fault = Fault("default", target, symptom, message, Severity.HIGH, SignalSource.WATCH, timezone.now())
    event, _ = engine.open_event(fault, policy)
    HealingEvent.objects.filter(pk=event.pk).update(phase=Phase.DIAGNOSING)
    event.refresh_from_db()
    return event


def through(event: HealingEvent, ports: Ports) -> HealingEvent:
    """One run of the engine."""
    assert engine.run(
        event.pk, event.run_id, ports=ports, handlers={Phase.DIAGNOSING: run, Phase.LEARNING: learning.run}
    )
    event.refresh_from_db()
    return event


def test_a_missing_config_map(ports: Ports, live: KubernetesCluster, namespace: str) -> None:
    live.create("Deployment", namespace, deployment("quotes", envFrom=[{"configMapRef": {"name": "quotes-config"}}]))
    eventually(lambda: _waits(live, namespace, "CreateContainerConfigError"))
    started = time.monotonic()
    event = through(opened(namespace, "quotes", "CreateContainerConfigError"), ports)
    assert time.monotonic() - started < 10
    assert (event.phase, event.cause) == (Phase.PLANNING, "MissingConfigMap")
    assert event.cause_object["name"] == "quotes"
    assert event.confidence is not None
    assert event.confidence > 0.8
    assert event.diagnosed_at is not None
    diagnosis = Diagnosis.from_json(event.diagnosis)
    assert diagnosis.best is not None
    assert diagnosis.best.facts["config_map"] == "quotes-config"
    assert diagnosis.graph.nodes
    kinds = list(event.timeline.values_list("kind", flat=True))
    assert kinds[-3:] == ["evidence", "hypotheses", "diagnosed"]


def test_who_is_not_sure_looks_further_within_the_budget(ports: Ports, live: KubernetesCluster, namespace: str) -> None:
    live.create("Deployment", namespace, deployment("quotes", envFrom=[{"configMapRef": {"name": "quotes-config"}}]))
    eventually(lambda: _waits(live, namespace, "CreateContainerConfigError"))
    started = time.monotonic()
    event = through(opened(namespace, "quotes", "CreateContainerConfigError", confidence_threshold=1.0), ports)
    assert time.monotonic() - started < 15
    kinds = list(event.timeline.values_list("kind", flat=True))
    assert kinds[-6:] == ["evidence", "hypotheses", "looks-further", "evidence", "hypotheses", "not-sure"]
    assert (event.phase, event.cause) == (Phase.PLANNING, "MissingConfigMap")
    assert event.phase_runs.get(phase=Phase.DIAGNOSING).state == "done"


def test_a_crash_whose_log_says_why(ports: Ports, live: KubernetesCluster, namespace: str) -> None:
    script = "echo 'FATAL: required environment variable QUEUE_REGION is not set, token=s3cr3tvalue'; exit 1"
    body = deployment("worker", image="busybox:1.36", command=["sh", "-c", script])
    live.create("Deployment", namespace, body)
    eventually(lambda: _waits(live, namespace, "CrashLoopBackOff"), seconds=20)
    event = through(opened(namespace, "worker", "CrashLoopBackOff"), ports)
    assert (event.phase, event.cause) == (Phase.PLANNING, "MissingEnvironmentVariable")
    text = str(event.diagnosis)
    assert "QUEUE_REGION" in text
    assert "s3cr3tvalue" not in text


def test_what_is_well_again_has_recovered(ports: Ports, live: KubernetesCluster, namespace: str) -> None:
    live.create("Deployment", namespace, deployment("calm"))
    eventually(lambda: live.get("Deployment", namespace, "calm").get("status", {}).get("readyReplicas") == 1)
    event = opened(namespace, "calm", "CrashLoopBackOff")
    through(event, ports)
    assert (event.phase, event.outcome, event.cause) == (Phase.LEARNING, Outcome.RECOVERED, "")
    through(event, ports)
    assert event.phase == Phase.COMPLETED
    assert KnowledgeEntry.objects.get(ref=event.knowledge_ref).outcome == "recovered"


def test_a_symptom_of_metrics_nobody_measures_is_not_gone(
    ports: Ports, live: KubernetesCluster, namespace: str
) -> None:
    live.create("Deployment", namespace, deployment("calm"))
    eventually(lambda: live.get("Deployment", namespace, "calm").get("status", {}).get("readyReplicas") == 1)
    event = through(opened(namespace, "calm", "HighCpu"), dataclasses.replace(ports, metrics=None, logs=None))
    assert (event.phase, event.cause, event.confidence) == (Phase.PLANNING, "", phase.NOT_SURE)
    assert event.timeline.last().kind == "not-sure"


def test_similar_events_are_recalled_as_evidence(ports: Ports, live: KubernetesCluster, namespace: str) -> None:
    text = "CreateContainerConfigError\nDeployment quotes\nconfigmap quotes-config not found"
    memory.remember(experience("he-before", text, symptom="CreateContainerConfigError", cause="MissingConfigMap"))
    live.create("Deployment", namespace, deployment("quotes", envFrom=[{"configMapRef": {"name": "quotes-config"}}]))
    eventually(lambda: _waits(live, namespace, "CreateContainerConfigError"))
    event = opened(namespace, "quotes", "CreateContainerConfigError", "configmap quotes-config not found")
    through(event, ports)
    remembered = [e for e in Diagnosis.from_json(event.diagnosis).evidence if e.kind == "memory"]
    assert [e.data["event"] for e in remembered] == ["he-before"]
    assert remembered[0].data["worked"] == "rollback"


class Partly:
    """The cluster, with one kind of answer replaced."""

    def __init__(self, cluster: KubernetesCluster, kind: str, answer: Callable[[], ObjectList]) -> None:
        self._cluster, self._kind, self._answer = cluster, kind, answer

    def list(self, kind: str, *arguments: Any, **options: Any) -> ObjectList:
        return self._answer() if kind == self._kind else self._cluster.list(kind, *arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)


def _refuse() -> ObjectList:
    raise Forbidden("events is forbidden: cannot list")


def _hang_until(released: threading.Event) -> ObjectList:
    released.wait(60)
    return ObjectList([], "1")


def test_a_source_that_is_refused_is_named(ports: Ports, live: KubernetesCluster, namespace: str) -> None:
    live.create("Deployment", namespace, deployment("quotes", envFrom=[{"configMapRef": {"name": "quotes-config"}}]))
    eventually(lambda: _waits(live, namespace, "CreateContainerConfigError"))
    whole = through(opened(namespace, "quotes", "CreateContainerConfigError"), ports)
    HealingEvent.objects.filter(pk=whole.pk).update(finished_at=timezone.now())
    Policy.objects.all().delete()
    partly = dataclasses.replace(ports, cluster=Partly(live, "Event", _refuse))
    event = through(opened(namespace, "quotes", "CreateContainerConfigError"), partly)
    assert "cannot list" in event.diagnosis["missing_sources"]["events"]
    assert event.cause == "MissingConfigMap"
    assert event.confidence is not None
    assert whole.confidence is not None
    assert event.confidence < whole.confidence


def test_what_is_late_is_left_out(ports: Ports, live: KubernetesCluster, namespace: str) -> None:
    released = threading.Event()
    slow = dataclasses.replace(ports, cluster=Partly(live, "Ingress", partial(_hang_until, released)))
    collector = Collector(slow, ObjectRef("Deployment", namespace, "x"), now=timezone.now(), deadline=Deadline.after(3))
    started = time.monotonic()
    collector.start()
    snapshot = collector.finish()
    collector.close()
    assert time.monotonic() - started < 3 + crowding()
    released.set()
    assert snapshot.missing["kubernetes Ingress"] == "no answer in time"
    assert ("Pod", namespace) in snapshot.complete


def test_without_pods_the_phase_is_tried_again(ports: Ports, live: KubernetesCluster, namespace: str) -> None:
    def down() -> ObjectList:
        raise Unavailable("connection refused")

    broken = dataclasses.replace(ports, cluster=Partly(live, "Pod", down))
    event = opened(namespace, "quotes", "CrashLoopBackOff")
    through(event, broken)
    assert (event.phase, event.tries) == (Phase.DIAGNOSING, 1)
    assert "could not be read" in event.timeline.last().message


def test_an_event_is_remembered_once_with_what_was_tried(ports: Ports, tmp_path: Path) -> None:
    event = opened("shop", "cart", "CrashLoopBackOff", "password=hunter2 refused")
    states = (StrategyState.FAILED, StrategyState.SUCCEEDED, StrategyState.REFUSED, StrategyState.PROPOSED)
    for key, state in zip(("restart", "rollback", "scale-out", "evict-pod"), states, strict=True):
        step = {"action": key}
        Strategy.objects.create(event=event, attempt=1, key=key, title=key, origin="causes", steps=[step], state=state)
    now = timezone.now()
    HealingEvent.objects.filter(pk=event.pk).update(
        phase=Phase.LEARNING,
        outcome=Outcome.HEALED,
        cause="BadRollout",
        healed_at=now,
        detected_at=now - timedelta(seconds=50),
        waited_seconds=20,
    )
    event.refresh_from_db()
    notes: list[Note | None] = []
    context = PhaseContext(event, event.policy_spec, ports, Deadline.after(5), is_retry=False, _report=notes.append)
    first = learning.run(context)
    assert learning.run(context).fields == first.fields  # killed before the commit, and run again
    entry = KnowledgeEntry.objects.get()
    assert entry.ref == first.fields["knowledge_ref"]
    assert entry.duration_seconds == pytest.approx(30, abs=0.1)
    assert [(s["strategy"], s["outcome"]) for s in entry.strategies] == [
        ("restart", "failed"),
        ("rollback", "succeeded"),
        ("scale-out", "refused"),
    ]
    assert "hunter2" not in entry.text
    assert str(memory.success("BadRollout", "rollback", namespace="shop")) == "worked 1 of 1 here"
    assert memory.success("BadRollout", "scale-out", namespace="shop").tried == 0
    through(event, ports)
    assert (event.phase, event.knowledge_ref) == (Phase.COMPLETED, entry.ref)
    assert KnowledgeEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("outcome", "end"), [(Outcome.ESCALATED, Phase.ESCALATED), (Outcome.FAILED, Phase.FAILED), ("", Phase.ESCALATED)]
)
def test_failures_are_remembered_as_well(outcome: str, end: Phase, ports: Ports, no_qdrant: Index) -> None:
    event = opened("shop", "cart", "CrashLoopBackOff")
    HealingEvent.objects.filter(pk=event.pk).update(phase=Phase.LEARNING, outcome=outcome)
    event.refresh_from_db()
    through(event, ports)
    assert event.phase == end
    assert KnowledgeEntry.objects.get().outcome == (outcome or Outcome.ESCALATED)


def _waits(live: KubernetesCluster, namespace: str, reason: str) -> bool:
    statuses = [s for p in live.list("Pod", namespace).items for s in p.get("status", {}).get("containerStatuses", [])]
    return any(s.get("state", {}).get("waiting", {}).get("reason") == reason for s in statuses)
