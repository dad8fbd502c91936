"""What the scripted phases of the dashboard's tests say: three faults with realistic diagnoses and plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from healing.actions.base import BlastRadius, Change, Plan
from healing.findings import CausalGraph, Diagnosis, Evidence, Finding, GraphEdge, GraphNode
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import ObjectRef

CRASH_LOG = """2031-05-04T11:58:01Z INFO  orders 2.4.1 starting
2031-05-04T11:58:01Z INFO  reading configuration from environment
2031-05-04T11:58:01Z INFO  connecting to postgres://orders@[redacted]:5432/orders
2031-05-04T11:58:02Z INFO  pool of 20 connections is ready
2031-05-04T11:58:02Z INFO  applying migration 0042_order_totals
2031-05-04T11:58:02Z INFO  migration 0042_order_totals is applied already
2031-05-04T11:58:02Z INFO  warming price cache
2031-05-04T11:58:03Z INFO  1184 prices cached
2031-05-04T11:58:03Z INFO  feature flags: totals_v2=on express=off
2031-05-04T11:58:03Z FATAL panic: interface conversion: interface {} is nil, not *totals.Plan
2031-05-04T11:58:03Z FATAL   at totals.(*Engine).Start(engine.go:88)
2031-05-04T11:58:03Z FATAL   at main.run(main.go:131)
2031-05-04T11:58:03Z INFO  flushing traces
2031-05-04T11:58:03Z INFO  closing pool
2031-05-04T11:58:03Z INFO  bye
"""


@dataclass(frozen=True)
class Option:
    """A strategy to be."""

    key: str
    title: str
    rationale: str
    score: float
    confidence: float
    plan: Plan
    arguments: tuple[tuple[str, str, float], ...]
    origin: str = "causes"
    refused: str = ""


@dataclass(frozen=True)
class Case:
    """One fault and everything the phases will find and propose; the first option is the one that is chosen."""

    target: ObjectRef
    subject: ObjectRef
    symptom: str
    message: str
    severity: str
    contained: str
    diagnosis: Diagnosis
    options: tuple[Option, ...]
    ask: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def _series(values: list[float], at: datetime, step: float = 15.0) -> list[list[float]]:
    start = at.timestamp() - step * (len(values) - 4)
    return [[start + step * index, value] for index, value in enumerate(values)]


def bad_rollout(now: datetime, workload: str = "orders", namespace: str = "shop") -> Case:
    target = ObjectRef("Deployment", namespace, workload, uid=f"uid-{namespace}-{workload}")
    pod = ObjectRef("Pod", namespace, f"{workload}-7f9c6d5b8-x2k4q", uid=f"uid-pod-{workload}")
    rollback = Plan(
        action=ActionName.ROLLBACK,
        target=target,
        generation=14,
        summary="Puts the pod template of revision 12 back; pods are replaced one by one.",
        changes=(
            Change(
                target,
                f"spec.template.spec.containers[{workload}].image",
                f"registry/{workload}:2.4.1",
                f"registry/{workload}:2.3.9",
            ),
            Change(target, f"spec.template.spec.containers[{workload}].env[TOTALS_V2].value", "on", None),
        ),
        operations=({"patch": "strategic", "target": workload, "revision": 12},),
        pre_state={"revision": 13},
        risk=Risk.MEDIUM,
        risk_reason="replaces all pods of a workload that still serves from 2 of 3 replicas",
        reversible=True,
        undo_summary="rolls forward to revision 13 again.",
        blast_radius=BlastRadius(
            pods=3,
            ready_replicas=2,
            desired_replicas=3,
            remaining_ready=2,
            disruption_budget=f"{workload}, 1 may be away",
        ),
        parameters={"toRevision": 12},
    )
    restart = Plan(
        action=ActionName.RESTART,
        target=target,
        generation=14,
        summary="Restarts the pods of the current revision, one by one.",
        changes=(
            Change(
                target,
                "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]",
                None,
                "2031-05-04T12:00:00Z",
            ),
        ),
        operations=({"patch": "strategic", "target": workload, "restart": True},),
        pre_state={},
        risk=Risk.LOW,
        risk_reason="replaces pods one by one with the same template",
        reversible=False,
        undo_summary="A restart cannot be taken back, and need not be.",
        blast_radius=BlastRadius(pods=3, ready_replicas=2, desired_replicas=3, remaining_ready=2),
    )
    scale = Plan(
        action=ActionName.SCALE,
        target=target,
        generation=14,
        summary="Adds a replica.",
        changes=(Change(target, "spec.replicas", 3, 4),),
        operations=({"patch": "scale", "replicas": 4},),
        pre_state={"replicas": 3},
        risk=Risk.LOW,
        risk_reason="only adds",
        reversible=True,
        undo_summary="scales back to 3.",
        blast_radius=BlastRadius(pods=1, ready_replicas=2, desired_replicas=3, remaining_ready=2),
    )
    evidence = (
        Evidence(
            "status",
            "status",
            "kubernetes",
            "3 restarts in 90 s, last exit code 2",
            "state.waiting.reason: CrashLoopBackOff\nlastState.terminated.exitCode: 2\nrestartCount: 3",
            pod,
            now.isoformat(),
        ),
        Evidence(
            "log",
            "log",
            "loki",
            "Last lines before the crash",
            CRASH_LOG,
            pod,
            now.isoformat(),
            link="http://127.0.0.1:3000/explore?query=orders",
        ),
        Evidence(
            "change",
            "change",
            "kubernetes",
            "Revision 13 was rolled out 2 minutes earlier",
            f"image registry/{workload}:2.3.9 → registry/{workload}:2.4.1\nenv TOTALS_V2=on",
            target,
            (now - timedelta(minutes=2)).isoformat(),
        ),
        Evidence(
            "event",
            "event",
            "kubernetes",
            "BackOff",
            f"Back-off restarting failed container {workload} in pod {pod.name}",
            pod,
            now.isoformat(),
        ),
        Evidence(
            "metric",
            "metric",
            "prometheus",
            "Failed requests",
            "",
            target,
            now.isoformat(),
            data={
                "values": _series(
                    [0.002, 0.003, 0.002, 0.004, 0.003, 0.002, 0.061, 0.098, 0.112, 0.104, 0.109, 0.11], now
                ),
                "threshold": 0.05,
                "unit": "fraction",
            },
        ),
        Evidence(
            "memory-1",
            "memory",
            "memory",
            "A rollback healed this 9 days ago (97 % alike)",
            f"{workload} crashed after the rollout of 2.2.0; revision 9 was put back and verified after 41 s.",
            data={"similarity": 0.97},
        ),
        Evidence(
            "memory-2",
            "memory",
            "memory",
            "A restart did not help 3 weeks ago (88 % alike)",
            "payments crashed after a rollout; a restart was tried first and undone.",
            data={"similarity": 0.88},
        ),
    )
    graph = CausalGraph(
        nodes=(
            GraphNode("change", "change", "Rollout of revision 13 (2.4.1, TOTALS_V2=on)", target, ("change",)),
            GraphNode("root", "rootCause", "New version panics at start: totals plan is nil", target, ("log",)),
            GraphNode("crash", "error", "Container exits with code 2, again and again", pod, ("status", "event")),
            GraphNode(
                "endpoints", "warning", "One of three endpoints is gone", ObjectRef("Service", namespace, workload)
            ),
            GraphNode("errors", "metric", "11 % of requests fail", target, ("metric",)),
            GraphNode("symptom", "symptom", "CrashLoopBackOff", pod, ("status",)),
        ),
        edges=(
            GraphEdge("change", "root", "triggers"),
            GraphEdge("root", "crash", "causes"),
            GraphEdge("crash", "symptom", "causes"),
            GraphEdge("crash", "endpoints", "causes"),
            GraphEdge("endpoints", "errors", "correlates"),
        ),
    )
    diagnosis = Diagnosis(
        findings=(
            Finding(
                "BadRollout",
                target,
                0.93,
                "Every pod of revision 13 panics two seconds after its start, none of revision 12 ever did.",
                ("log", "change", "status"),
                ("rollback",),
            ),
            Finding(
                "MissingConfig",
                target,
                0.21,
                "A missing totals plan could also come from configuration, but no ConfigMap changed.",
                ("log",),
                ("updateConfig",),
            ),
        ),
        evidence=evidence,
        graph=graph,
    )
    return Case(
        target=target,
        subject=pod,
        symptom="CrashLoopBackOff",
        message=f"Container {workload} restarted 3 times in 90 s (exit code 2)",
        severity="high",
        contained=f"Paused the rollout of {workload} and kept traffic from {pod.name}",
        diagnosis=diagnosis,
        options=(
            Option(
                "rollback",
                f"Roll {workload} back to revision 12",
                "The fault began with revision 13 and revision 12 was healthy for 6 days.",
                0.87,
                0.92,
                rollback,
                (
                    ("cause", "The panic is in code that only revision 13 has.", 0.45),
                    ("history", "A rollback healed the same symptom on the same workload 9 days ago.", 0.30),
                    ("safety", "Two ready replicas remain while it runs; it can be undone.", 0.20),
                    ("cost", "The new totals are away until someone fixes 2.4.1.", -0.10),
                ),
            ),
            Option(
                "restart",
                f"Restart {workload}",
                "Cheap, but the crash follows the code and not the state.",
                0.31,
                0.15,
                restart,
                (
                    ("safety", "The least invasive step.", 0.25),
                    ("history", "A restart did not help in a case like this.", -0.35),
                    ("cause", "All three restarts by the kubelet ended in the same panic.", -0.40),
                ),
            ),
            Option(
                "scale",
                f"Scale {workload} to 4",
                "More replicas of a version that cannot start.",
                0.08,
                0.03,
                scale,
                (("cause", "New pods would run revision 13 too.", -0.60),),
                refused="the rollout is failing: more replicas would fail as well",
            ),
        ),
        ask="replacing all pods is medium risk, and the policy lets only low risk run unasked",
    )


def memory_limit(now: datetime, workload: str = "recommender", namespace: str = "shop") -> Case:
    target = ObjectRef("Deployment", namespace, workload, uid=f"uid-{namespace}-{workload}")
    pod = ObjectRef("Pod", namespace, f"{workload}-5b8f7c9d64-m9z8p")
    plan = Plan(
        action=ActionName.UPDATE_RESOURCES,
        target=target,
        generation=4,
        summary="Raises the memory limit; pods are replaced one by one.",
        changes=(
            Change(target, f"spec.template.spec.containers[{workload}].resources.limits.memory", "256Mi", "512Mi"),
            Change(target, f"spec.template.spec.containers[{workload}].resources.requests.memory", "256Mi", "384Mi"),
        ),
        operations=({"patch": "resources"},),
        pre_state={},
        risk=Risk.LOW,
        risk_reason="the node pool has room for it",
        reversible=True,
        undo_summary="puts 256Mi back.",
        blast_radius=BlastRadius(pods=2, ready_replicas=1, desired_replicas=2, remaining_ready=1),
    )
    values = [180, 190, 205, 221, 239, 252, 256, 90, 140, 196, 241, 255]
    evidence = (
        Evidence(
            "status",
            "status",
            "kubernetes",
            "OOMKilled, exit code 137",
            "lastState.terminated.reason: OOMKilled\nlastState.terminated.exitCode: 137",
            pod,
            now.isoformat(),
        ),
        Evidence(
            "memory",
            "metric",
            "prometheus",
            "Memory in use",
            "",
            pod,
            now.isoformat(),
            data={"values": _series([v * 2.0**20 for v in values], now), "threshold": 256 * 2**20, "unit": "bytes"},
        ),
    )
    graph = CausalGraph(
        nodes=(
            GraphNode("root", "rootCause", "Memory limit of 256Mi is below the working set", target, ("memory",)),
            GraphNode("symptom", "symptom", "OOMKilled", pod, ("status",)),
        ),
        edges=(GraphEdge("root", "symptom", "causes"),),
    )
    finding = Finding(
        "MemoryLimitTooLow",
        target,
        0.81,
        "The working set is flat at 250 MiB since the catalogue grew; it does not leak.",
        ("status", "memory"),
        ("updateResources",),
    )
    option = Option(
        "updateResources",
        f"Give {workload} 512Mi of memory",
        "The working set fits twice.",
        0.78,
        0.84,
        plan,
        (("cause", "The working set is stable: no leak.", 0.5), ("cost", "256Mi more on two nodes.", -0.1)),
    )
    return Case(
        target,
        pod,
        "OOMKilled",
        f"Container {workload} was OOMKilled 2 times in 5 min",
        "medium",
        f"Kept traffic from {pod.name}",
        Diagnosis((finding,), evidence, graph, {"loki": "no answer within 4 s"}),
        (option,),
    )


def slow_dependency(now: datetime, workload: str = "checkout", namespace: str = "shop") -> Case:
    target = ObjectRef("Deployment", namespace, workload, uid=f"uid-{namespace}-{workload}")
    database = ObjectRef("StatefulSet", namespace, "inventory-db", uid="uid-db")
    plan = Plan(
        action=ActionName.RESTART_DEPENDENCY,
        target=database,
        generation=2,
        summary="Restarts inventory-db-0, the only replica.",
        changes=(
            Change(
                database,
                "spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]",
                None,
                "2031-05-04T12:00:00Z",
            ),
        ),
        operations=({"restart": "inventory-db"},),
        pre_state={},
        risk=Risk.HIGH,
        risk_reason="the database has one replica: orders fail for about 20 s",
        reversible=False,
        undo_summary="A restart cannot be taken back.",
        blast_radius=BlastRadius(pods=1, ready_replicas=1, desired_replicas=1, remaining_ready=0, managed_by="Argo CD"),
    )
    finding = Finding(
        "SlowDependency",
        database,
        0.64,
        "98 % of checkout's time is spent waiting for inventory-db, whose lock queue grows.",
        ("latency",),
        ("restartDependency",),
    )
    seconds = [
        [now.timestamp() - 15 * (11 - i), v]
        for i, v in enumerate([0.11, 0.12, 0.1, 0.13, 0.4, 0.9, 1.6, 2.2, 2.4, 2.3, 2.4, 2.5])
    ]
    evidence = (
        Evidence(
            "latency",
            "metric",
            "prometheus",
            "p99 latency",
            "",
            target,
            now.isoformat(),
            data={"values": seconds, "threshold": 0.5, "unit": "seconds"},
        ),
    )
    graph = CausalGraph(
        nodes=(
            GraphNode("root", "rootCause", "Lock queue of inventory-db grows", database),
            GraphNode("slow", "metric", "Queries take 2.3 s", database),
            GraphNode("symptom", "symptom", "p99 of checkout is 2.5 s", target, ("latency",)),
        ),
        edges=(GraphEdge("root", "slow", "causes"), GraphEdge("slow", "symptom", "dependsOn")),
    )
    option = Option(
        "restartDependency",
        "Restart inventory-db",
        "The lock queue never drained by itself in 4 minutes.",
        0.55,
        0.58,
        plan,
        (
            ("cause", "A restart drops the stuck locks.", 0.4),
            ("safety", "The only replica is away for about 20 s.", -0.3),
        ),
    )
    return Case(
        target,
        target,
        "HighLatency",
        "p99 latency of checkout is 2.5 s, threshold 500 ms",
        "critical",
        "Nothing to isolate: every pod is slow alike",
        Diagnosis((finding,), evidence, graph),
        (option,),
        ask="the risk is high: the only replica of a database restarts",
    )
