"""A new version panics at its start: taking it back is best, a restart would not help, more replicas are refused."""

from __future__ import annotations

from datetime import datetime, timedelta

from healing.actions.base import BlastRadius, Change, Plan
from healing.findings import CausalGraph, Diagnosis, Evidence, Finding, GraphEdge, GraphNode
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import ObjectRef
from tests.dashboard.cases.parts import Case, Option, deployment, measured, restarted

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


def _rollback(target: ObjectRef) -> Plan:
    return Plan(
        action=ActionName.ROLLBACK,
        target=target,
        generation=14,
        summary="Puts the pod template of revision 12 back; pods are replaced one by one.",
        changes=(
            Change(
                target,
                f"spec.template.spec.containers[{target.name}].image",
                f"registry/{target.name}:2.4.1",
                f"registry/{target.name}:2.3.9",
            ),
            Change(target, f"spec.template.spec.containers[{target.name}].env[TOTALS_V2].value", "on", None),
        ),
        operations=({"patch": "strategic", "target": target.name, "revision": 12},),
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
            disruption_budget=f"{target.name}, 1 may be away",
        ),
        parameters={"toRevision": 12},
    )


def _restart(target: ObjectRef) -> Plan:
    return Plan(
        action=ActionName.RESTART,
        target=target,
        generation=14,
        summary="Restarts the pods of the current revision, one by one.",
        changes=(restarted(target),),
        operations=({"patch": "strategic", "target": target.name, "restart": True},),
        pre_state={},
        risk=Risk.LOW,
        risk_reason="replaces pods one by one with the same template",
        reversible=False,
        undo_summary="A restart cannot be taken back, and need not be.",
        blast_radius=BlastRadius(pods=3, ready_replicas=2, desired_replicas=3, remaining_ready=2),
    )


def _scale(target: ObjectRef) -> Plan:
    return Plan(
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


def _evidence(now: datetime, target: ObjectRef, pod: ObjectRef) -> tuple[Evidence, ...]:
    return (
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
            f"image registry/{target.name}:2.3.9 → registry/{target.name}:2.4.1\nenv TOTALS_V2=on",
            target,
            (now - timedelta(minutes=2)).isoformat(),
        ),
        Evidence(
            "event",
            "event",
            "kubernetes",
            "BackOff",
            f"Back-off restarting failed container {target.name} in pod {pod.name}",
            pod,
            now.isoformat(),
        ),
        measured(
            "metric",
            "Failed requests",
            target,
            now,
            [0.002, 0.003, 0.002, 0.004, 0.003, 0.002, 0.061, 0.098, 0.112, 0.104, 0.109, 0.11],
            ahead=3,
            threshold=0.05,
            unit="fraction",
        ),
        Evidence(
            "memory-1",
            "memory",
            "memory",
            "A rollback healed this 9 days ago (97 % alike)",
            f"{target.name} crashed after the rollout of 2.2.0; revision 9 was put back and verified after 41 s.",
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


def _graph(target: ObjectRef, pod: ObjectRef) -> CausalGraph:
    return CausalGraph(
        nodes=(
            GraphNode("change", "change", "Rollout of revision 13 (2.4.1, TOTALS_V2=on)", target, ("change",)),
            GraphNode("root", "rootCause", "New version panics at start: totals plan is nil", target, ("log",)),
            GraphNode("crash", "error", "Container exits with code 2, again and again", pod, ("status", "event")),
            GraphNode(
                "endpoints",
                "warning",
                "One of three endpoints is gone",
                ObjectRef("Service", target.namespace, target.name),
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


def _findings(target: ObjectRef) -> tuple[Finding, ...]:
    return (
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
    )


def _options(target: ObjectRef) -> tuple[Option, ...]:
    return (
        Option(
            "rollback",
            f"Roll {target.name} back to revision 12",
            "The fault began with revision 13 and revision 12 was healthy for 6 days.",
            0.87,
            0.92,
            _rollback(target),
            (
                ("cause", "The panic is in code that only revision 13 has.", 0.45),
                ("history", "A rollback healed the same symptom on the same workload 9 days ago.", 0.30),
                ("safety", "Two ready replicas remain while it runs; it can be undone.", 0.20),
                ("cost", "The new totals are away until someone fixes 2.4.1.", -0.10),
            ),
        ),
        Option(
            "restart",
            f"Restart {target.name}",
            "Cheap, but the crash follows the code and not the state.",
            0.31,
            0.15,
            _restart(target),
            (
                ("safety", "The least invasive step.", 0.25),
                ("history", "A restart did not help in a case like this.", -0.35),
                ("cause", "All three restarts by the kubelet ended in the same panic.", -0.40),
            ),
        ),
        Option(
            "scale",
            f"Scale {target.name} to 4",
            "More replicas of a version that cannot start.",
            0.08,
            0.03,
            _scale(target),
            (("cause", "New pods would run revision 13 too.", -0.60),),
            refused="the rollout is failing: more replicas would fail as well",
        ),
    )


def bad_rollout(now: datetime, workload: str = "orders", namespace: str = "shop") -> Case:
    target = deployment(namespace, workload)
    pod = ObjectRef("Pod", namespace, f"{workload}-7f9c6d5b8-x2k4q", uid=f"uid-pod-{workload}")
    return Case(
        target=target,
        subject=pod,
        symptom="CrashLoopBackOff",
        message=f"Container {workload} restarted 3 times in 90 s (exit code 2)",
        severity="high",
        contained=f"Paused the rollout of {workload} and kept traffic from {pod.name}",
        diagnosis=Diagnosis(_findings(target), _evidence(now, target, pod), _graph(target, pod)),
        options=_options(target),
        ask="replacing all pods is medium risk, and the policy lets only low risk run unasked",
    )
