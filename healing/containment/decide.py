"""What to contain, and what not, with the reason. Reads the cluster, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from healing.actions import revisions, siblings
from healing.actions.base import CannotPlan
from healing.actions.ownership import allowed, budgets_of
from healing.actions.reading import WORKLOAD_KINDS, Workload, condition, container_statuses, controller_of, is_ready
from healing.containment.network import Enforcement, Network, network_of
from healing.faults import Severity, SignalSource
from healing.models import HealingEvent
from healing.policies.spec import ActionName, PolicySpec
from healing.ports import Ports
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import NotFound

#: Symptoms that callers of a pod feel although the pod is ready.
TRAFFIC_SYMPTOMS = frozenset({"HighErrorRate", "HighLatency"})

_NETWORK_SECONDS = 1.0

#: Reasons for which a container of a new revision waits and will go on waiting.
_STUCK = frozenset(
    {
        "CrashLoopBackOff",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing to do."""

    action: ActionName
    target: ObjectRef
    parameters: dict[str, Any]
    why: str


@dataclass(slots=True)
class Decision:
    """``pods``: those whose evidence is to be saved first. ``not_done``: what is left alone, and why."""

    measures: list[Measure] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    #: where pods are isolated: whether NetworkPolicies have an effect here
    network: Network | None = None


def decide(event: HealingEvent, policy: PolicySpec, ports: Ports, *, timeout_seconds: float) -> Decision:
    """Raises `healing.ports.errors`."""
    cluster = ports.cluster
    if event.source == SignalSource.FORECAST:
        return Decision(not_done=["It has not happened yet: there is nothing to contain."])
    target = ObjectRef(event.target_kind, event.target_namespace, event.target_name, event.target_uid)
    if target.kind == "Node":
        return _node(event, policy, cluster, target, timeout_seconds)
    if target.kind not in WORKLOAD_KINDS:
        return Decision(not_done=[f"Nothing to contain around a {target.kind}: no pod of it misbehaves."])
    try:
        workload = Workload.read(cluster, target, timeout_seconds=timeout_seconds)
    except CannotPlan as error:
        return Decision(not_done=[str(error)])
    pods = workload.pods(cluster, timeout_seconds=timeout_seconds)
    decision = Decision(pods=_faulty(event, pods))
    _rollout(event, policy, cluster, workload, pods=pods, decision=decision, timeout_seconds=timeout_seconds)
    _traffic(event, policy, ports, workload, pods, decision, timeout_seconds)
    if not decision.measures and not decision.not_done:
        decision.not_done.append("No pod that gets traffic shows the fault, and no rollout is under way.")
    return decision


def _node(
    event: HealingEvent, policy: PolicySpec, cluster: Cluster, target: ObjectRef, timeout_seconds: float
) -> Decision:
    if not policy.containment.cordon_nodes:
        return Decision(not_done=["The policy does not cordon nodes (containment.cordonNodes)."])
    try:
        node = cluster.get("Node", "", target.name, timeout_seconds=timeout_seconds)
    except NotFound:
        return Decision(not_done=[f"{target} has gone."])
    if node["spec"].get("unschedulable"):
        return Decision(not_done=[f"{target} is cordoned already."])
    ready = condition(node, "Ready")
    why = f"its condition Ready is {ready or 'missing'}" if ready != "True" else f"of {event.symptom}"
    return Decision([Measure(ActionName.CORDON, ObjectRef.of(node, "Node"), {"event": event.name}, why)])


def _rollout(
    event: HealingEvent,
    policy: PolicySpec,
    cluster: Cluster,
    workload: Workload,
    *,
    pods: list[Object],
    decision: Decision,
    timeout_seconds: float,
) -> None:
    """Pause a rollout whose new pods fail, where pods of the former revision still serve."""
    if workload.ref.kind != "Deployment" or workload.is_paused:
        return
    kept = revisions.of_workload(cluster, workload, timeout_seconds=timeout_seconds)
    if not kept:
        return
    newest, serving = kept[0], [r for r in kept[1:] if r.is_serving]
    if not revisions.same_template(newest.template, workload.template):
        return  # the controller has not seen the newest template yet
    failing = [pod for pod in pods if _owner_name(pod) == newest.name and _fails(pod)]
    if not failing or newest.available >= workload.desired:
        return
    if not serving:
        decision.not_done.append("The rollout is not paused: no pod of an earlier revision serves any more.")
    elif not policy.containment.pause_rollouts:
        decision.not_done.append("The policy does not pause rollouts (containment.pauseRollouts).")
    else:
        decision.measures.append(
            Measure(
                ActionName.PAUSE_ROLLOUT,
                workload.ref,
                {"event": event.name},
                f"{len(failing)} pod(s) of revision {newest.number} fail, while {serving[0].available} of revision "
                f"{serving[0].number} serve",
            )
        )


def _traffic(
    event: HealingEvent,
    policy: PolicySpec,
    ports: Ports,
    workload: Workload,
    pods: list[Object],
    decision: Decision,
    timeout_seconds: float,
) -> None:
    """Isolate the pods that answer badly, where their siblings answer well."""
    names = {
        s.get("subject", {}).get("name")
        for s in event.signals
        if s.get("symptom") in TRAFFIC_SYMPTOMS and s.get("subject", {}).get("kind") == "Pod"
    }
    ready = [pod for pod in pods if is_ready(pod)]
    bad = [pod for pod in ready if pod["metadata"]["name"] in names]
    for pod in decision.pods:
        if not is_ready(pod):
            name, state = pod["metadata"]["name"], in_words(pod)
            decision.not_done.append(f"Pod {name} is not isolated: it gets no traffic anyway ({state}).")
    if not bad:
        if any(s.get("symptom") in TRAFFIC_SYMPTOMS for s in event.signals) and not names:
            decision.not_done.append("No pod is isolated: the workload as a whole shows it, not one pod.")
        return
    others = [pod for pod in ready if pod not in bad]
    reason = _why_none(policy, bad, others)
    if reason:
        decision.not_done.append(f"No pod is isolated: {reason}")
        return
    least_free = policy.containment.neighbor_capacity_threshold
    room = ""
    if least_free is not None:
        answer = siblings.ask(
            ports.metrics, workload.ref.namespace, others, least_free, timeout_seconds=timeout_seconds
        )
        if not answer.has_room:
            what = "its siblings could not take its load" if answer.has_room is False else "its siblings were asked"
            decision.not_done.append(
                f"No pod is isolated: {what}: {answer.text} (containment.neighborCapacityThreshold)."
            )
            return
        room = f"; {answer.text}"
    _isolate(event, policy, ports, workload, bad, decision, f"{len(others)} other ready pod(s) do not{room}")


def _why_none(policy: PolicySpec, bad: list[Object], others: list[Object]) -> str:
    """Why no pod may be isolated, whatever else holds; empty: one may."""
    if policy.containment.mode == "off":
        return "the policy does not isolate pods (containment.mode is off)."
    if not others:
        return "all that serve show it, so its cause lies elsewhere."
    if len(bad) > len(others):
        return "most of them show it, and the others could not carry the load."
    return ""


def _isolate(
    event: HealingEvent,
    policy: PolicySpec,
    ports: Ports,
    workload: Workload,
    bad: list[Object],
    decision: Decision,
    siblings: str,
) -> None:
    """One measure a pod, as many as the disruption budgets allow, in the way this cluster's network makes effective."""
    network = decision.network = network_of(ports.cluster, ports.cluster_name, timeout_seconds=_NETWORK_SECONDS)
    # The budgets' own counter follows a moment later: of several pods none may be taken on the old number.
    labels = workload.template["metadata"].get("labels") or {}
    budget = allowed(budgets_of(ports.cluster, workload.ref.namespace, labels, timeout_seconds=_NETWORK_SECONDS))
    most = len(bad) if budget is None else max(1, budget)  # of one, the guardrail says what forbids it
    mode, is_detached = _mode(event, policy), workload.ref.kind == "Deployment"
    why = f"it answers badly, while {siblings}"
    for pod in bad[:most]:
        name = pod["metadata"]["name"]
        if network.enforcement is Enforcement.NO:
            if not is_detached:
                decision.not_done.append(
                    f"Pod {name} is not isolated: its {workload.ref.kind} would not replace it. {network.why}"
                )
                continue
            mode = "soft"
        parameters = {"event": event.name, "mode": mode, "detach": True}
        decision.measures.append(Measure(ActionName.ISOLATE, ObjectRef.of(pod, "Pod"), parameters, why))
    for pod in bad[most:]:
        name = pod["metadata"]["name"]
        decision.not_done.append(f"Pod {name} is not isolated: a PodDisruptionBudget allows {budget} at a time.")


def _mode(event: HealingEvent, policy: PolicySpec) -> str:
    if policy.containment.mode in ("soft", "hard"):
        return policy.containment.mode
    return "hard" if event.severity == Severity.CRITICAL else "soft"


def _faulty(event: HealingEvent, pods: list[Object]) -> list[Object]:
    """The pods that signals name, then others that fail; a few are enough."""
    named = {s.get("subject", {}).get("name") for s in event.signals if s.get("subject", {}).get("kind") == "Pod"}
    first = [pod for pod in pods if pod["metadata"]["name"] in named]
    rest = [pod for pod in pods if pod["metadata"]["name"] not in named and _fails(pod)]
    return [*first, *rest][:3]


def _owner_name(pod: Object) -> str:
    owner = controller_of(pod)
    return owner.name if owner else ""


def _fails(pod: Object) -> bool:
    if is_ready(pod):
        return False
    statuses = container_statuses(pod)
    return bool(_reasons(statuses) & _STUCK) or any(_has_crashed(s) for s in statuses)


def _has_crashed(status: dict[str, Any]) -> bool:
    ends = [(status.get(part) or {}).get("terminated") for part in ("state", "lastState")]
    return any(end and end.get("exitCode", 0) != 0 for end in ends)


def _reasons(statuses: Iterable[dict[str, Any]]) -> set[str]:
    return {(s.get("state") or {}).get("waiting", {}).get("reason", "") for s in statuses}


def in_words(pod: Object) -> str:
    """Why a pod is not ready, in the kubelet's words."""
    statuses = container_statuses(pod)
    reasons = sorted(_reasons(statuses) - {""})
    ends = [(s.get("state") or {}).get("terminated") for s in statuses]
    reasons += [str(end.get("reason", "terminated")) for end in ends if end]
    return ", ".join(reasons) or str((pod.get("status") or {}).get("phase", "unknown"))
