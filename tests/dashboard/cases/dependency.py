"""A database that keeps its callers waiting, and has one replica: what would help is of high risk."""

from __future__ import annotations

from datetime import datetime

from healing.actions.base import BlastRadius, Plan
from healing.findings import CausalGraph, Diagnosis, Finding, GraphEdge, GraphNode
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import ObjectRef
from tests.dashboard.cases.parts import Case, Option, deployment, measured, restarted


def slow_dependency(now: datetime, workload: str = "checkout", namespace: str = "shop") -> Case:
    target = deployment(namespace, workload)
    database = ObjectRef("StatefulSet", namespace, "inventory-db", uid="uid-db")
    plan = Plan(
        action=ActionName.RESTART_DEPENDENCY,
        target=database,
        generation=2,
        summary="Restarts inventory-db-0, the only replica.",
        changes=(restarted(database),),
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
    evidence = (
        measured(
            "latency",
            "p99 latency",
            target,
            now,
            [0.11, 0.12, 0.1, 0.13, 0.4, 0.9, 1.6, 2.2, 2.4, 2.3, 2.4, 2.5],
            ahead=0,
            threshold=0.5,
            unit="seconds",
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
