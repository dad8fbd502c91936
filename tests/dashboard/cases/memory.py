"""A limit below what the program needs; the logs do not answer."""

from __future__ import annotations

from datetime import datetime

from healing.actions.base import BlastRadius, Change, Plan
from healing.findings import CausalGraph, Diagnosis, Evidence, Finding, GraphEdge, GraphNode
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import ObjectRef
from tests.dashboard.cases.parts import Case, Option, deployment, measured


def memory_limit(now: datetime, workload: str = "recommender", namespace: str = "shop") -> Case:
    target = deployment(namespace, workload)
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
        measured(
            "memory",
            "Memory in use",
            pod,
            now,
            [mib * 2.0**20 for mib in (180, 190, 205, 221, 239, 252, 256, 90, 140, 196, 241, 255)],
            ahead=3,
            threshold=256 * 2**20,
            unit="bytes",
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
