"""Whether an object that is neither a workload nor a node is well: what is wrong with it, and what is good."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from healing import routes
from healing.actions.reading import WORKLOAD_KINDS, Workload, condition
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import NotFound

#: ``(cluster, what, seconds)`` -> what is wrong, what is good. Raises `healing.ports.errors`.
Judge = Callable[[Cluster, ObjectRef, float], tuple[list[str], list[str]]]


def look(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> tuple[list[str], list[str]] | None:
    """None: nobody knows when such an object is well. Raises `healing.ports.errors`."""
    judge = _JUDGES.get(ref.kind)
    return judge(cluster, ref, timeout_seconds) if judge is not None else None


def _by_status(problem_of: Callable[[Object], str]) -> Judge:
    def judge(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> tuple[list[str], list[str]]:
        problem = problem_of(cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds))
        return ([f"{ref} {problem}"], []) if problem else ([], [f"{ref} is well"])

    return judge


def _claim(claim: Object) -> str:
    phase = (claim.get("status") or {}).get("phase", "unknown")
    return "" if phase == "Bound" else f"is {phase}"


def _autoscaler(scaler: Object) -> str:
    bad = [type_ for type_ in ("AbleToScale", "ScalingActive") if condition(scaler, type_) == "False"]
    return f"is not {' and '.join(bad)}" if bad else ""


def _budget(budget: Object) -> str:
    status = budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        return "was not looked at by its controller yet"
    is_blocking = status.get("expectedPods") and not status.get("disruptionsAllowed")
    return "allows no disruption" if is_blocking else ""


def _pod(pod: Object) -> str:
    return "" if condition(pod, "Ready") == "True" else "is not ready"


def _service(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> tuple[list[str], list[str]]:
    cluster.get("Service", ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    slices = cluster.list(
        "EndpointSlice",
        ref.namespace,
        label_selector=f"kubernetes.io/service-name={ref.name}",
        timeout_seconds=timeout_seconds,
    ).items
    ready = sum(
        (endpoint.get("conditions") or {}).get("ready") is not False
        for item in slices
        for endpoint in item.get("endpoints") or ()
        if item.get("ports")
    )
    return ([], [f"{ref} reaches {ready} ready endpoint(s)"]) if ready else ([f"{ref} reaches no ready endpoint"], [])


def _route(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> tuple[list[str], list[str]]:
    """Well when all it sends to exists and has somebody behind it."""
    route = cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    problems: list[str] = []
    good: list[str] = []
    for backend in routes.backends({**route, "kind": ref.kind}):
        behind = ObjectRef("Service", backend.namespace, backend.service)
        try:
            service = cluster.get("Service", behind.namespace, behind.name, timeout_seconds=timeout_seconds)
        except NotFound:
            service = None
        if why := routes.problem(backend, service):
            problems.append(f"{ref} sends to {why}")
        else:
            bad, well = _service(cluster, behind, timeout_seconds)
            problems += bad
            good += well
    return problems, good


def _admission(cluster: Cluster, ref: ObjectRef, timeout_seconds: float) -> tuple[list[str], list[str]]:
    """A ResourceQuota or LimitRange does harm where pods are refused: well when no workload of its namespace lacks
    any."""
    cluster.get(ref.kind, ref.namespace, ref.name, timeout_seconds=timeout_seconds)
    lacking = [
        f"{workload.ref} has {workload.total} of {workload.desired} pods"
        for kind in sorted(WORKLOAD_KINDS)
        for obj in cluster.list(kind, ref.namespace, timeout_seconds=timeout_seconds).items
        if (workload := Workload.of(obj, kind)).total < workload.desired
    ]
    return lacking, [] if lacking else [f"no workload of {ref.namespace} lacks pods"]


_JUDGES: Mapping[str, Judge] = MappingProxyType(
    {
        "Service": _service,
        "Ingress": _route,
        "HTTPRoute": _route,
        "PersistentVolumeClaim": _by_status(_claim),
        "HorizontalPodAutoscaler": _by_status(_autoscaler),
        "PodDisruptionBudget": _by_status(_budget),
        "ResourceQuota": _admission,
        "LimitRange": _admission,
        "Pod": _by_status(_pod),
    }
)
