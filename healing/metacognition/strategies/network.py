"""Strategies about Services and the workloads behind them."""

from __future__ import annotations

from collections.abc import Mapping

from healing.actions import labels
from healing.actions.base import CannotPlan
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.actions.restart import stamp
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.policies.spec import ActionName
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import NotFound


def _service(case: Case) -> Object:
    for ref in (case.finding.object, case.target):
        if ref.kind == "Service":
            try:
                return case.cluster.get("Service", ref.namespace, ref.name, timeout_seconds=case.seconds)
            except NotFound as error:
                raise CannotPlan(f"{ref} does not exist.") from error
    raise CannotPlan("No Service is at fault.")


def fix_selector(case: Case) -> Blueprint:
    service = _service(case)
    ref = ObjectRef.of(service, "Service")
    suggested = case.fact("suggested_selector") or _likely_selector(case, service)
    return Blueprint(
        f"Correct the selector of Service {ref.name}",
        f"It selects {_in_words(service['spec'].get('selector') or {})}, which no pod has.",
        (Step(ActionName.FIX_SERVICE_SELECTOR, ref, {"selector": dict(suggested)}),),
        restores=False,
        seconds=5,
    )


def _likely_selector(case: Case, service: Object) -> dict[str, str]:
    """The labels, under the selector's keys, of the workload that the Service is meant for.

    That is the workload called like the Service, or the only one that agrees with part of the selector.
    """
    selector = service["spec"].get("selector") or {}
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    found = [
        Workload.of(obj, kind)
        for kind in sorted(WORKLOAD_KINDS - {"DaemonSet"})
        for obj in case.cluster.list(kind, namespace, timeout_seconds=case.seconds).items
    ]
    named = [w for w in found if w.ref.name == name]
    partly = [w for w in found if selector.items() & (w.template["metadata"].get("labels") or {}).items()]
    meant = named or partly
    if len(meant) != 1:
        raise CannotPlan(f"It is not clear which workload Service {name} is meant for.")
    own = meant[0].template["metadata"].get("labels") or {}
    kept = {key: own[key] for key in selector if key in own}
    wanted = kept or dict(meant[0].selector.get("matchLabels") or {})
    if not wanted or labels.service_selects({"spec": {"selector": selector}}, own):
        raise CannotPlan(f"Service {name} selects the pods of {meant[0].ref} already.")
    return wanted


def _in_words(selector: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "nothing"


def fix_target_port(case: Case) -> Blueprint:
    service = _service(case)
    ref = ObjectRef.of(service, "Service")
    suggested = case.fact("suggested_target_port")
    ports = service["spec"].get("ports") or []
    port = case.fact("port") or (ports[0]["port"] if len(ports) == 1 else None)
    if suggested is None or port is None:
        raise CannotPlan("It is not clear which port the pods listen on.")
    return Blueprint(
        f"Correct targetPort of Service {ref.name} to {suggested}",
        "The pods listen on another port than the Service sends to.",
        (Step(_port_action(case), ref, {"targetPorts": {str(port): str(suggested)}}),),
        restores=False,
        seconds=5,
    )


def fix_protocol(case: Case) -> Blueprint:
    ref = ObjectRef.of(_service(case), "Service")
    suggested, port = case.fact("suggested_protocol"), case.fact("port")
    if not suggested or not port:
        raise CannotPlan("It is not clear which protocol the pods speak.")
    return Blueprint(
        f"Offer port {port} of Service {ref.name} as {suggested}",
        "The pods speak another protocol there than the Service offers.",
        (Step(_port_action(case), ref, {"protocols": {str(port): str(suggested)}}),),
        restores=False,
        seconds=5,
    )


def _port_action(case: Case) -> ActionName:
    """The narrower action where the policy allows only that."""
    is_narrow = ActionName.FIX_SERVICE_SELECTOR not in case.policy.allowed_actions
    return ActionName.FIX_SERVICE_PORT if is_narrow else ActionName.FIX_SERVICE_SELECTOR


def dependency(case: Case) -> Workload:
    ref = case.finding.object
    if ref.kind not in WORKLOAD_KINDS or (ref.kind, ref.name) == (case.target.kind, case.target.name):
        ref = _workload_behind(case, *_named(case))
    if (ref.kind, ref.namespace, ref.name) == (case.target.kind, case.target.namespace, case.target.name):
        raise CannotPlan("It is its own dependency.")
    return Workload.read(case.cluster, ref, timeout_seconds=case.seconds)


def _named(case: Case) -> tuple[str, str]:
    """(namespace, name) of what the finding says is called. A host outside of the cluster is nobody's to restart, even
    if something here is called like the first part of its name."""
    known = case.fact("dependency")
    if isinstance(known, Mapping):
        return str(known.get("namespace") or case.target.namespace), str(known.get("name") or "")
    parts = str(known or case.fact("host") or "").rstrip(".").split(".")
    if not parts[0]:
        raise CannotPlan("The finding names no dependency.")
    if len(parts) > 2 and parts[2] not in ("svc", "pod"):
        raise CannotPlan(f"{'.'.join(parts)} is not in this cluster: nothing here can start it anew.")
    return (parts[1] if len(parts) > 1 else case.target.namespace), parts[0]


def _workload_behind(case: Case, namespace: str, name: str) -> ObjectRef:
    """The workload behind a Service of that name, else the one called like it."""
    selector: dict[str, str] = {}
    try:
        service = case.cluster.get("Service", namespace, name, timeout_seconds=case.seconds)
        selector = service["spec"].get("selector") or {}
    except NotFound:
        pass
    for kind in sorted(WORKLOAD_KINDS):
        for obj in case.cluster.list(kind, namespace, timeout_seconds=case.seconds).items:
            own = obj["spec"]["template"]["metadata"].get("labels") or {}
            if (selector and selector.items() <= own.items()) or (not selector and obj["metadata"]["name"] == name):
                return ObjectRef.of(obj, kind)
    raise CannotPlan(f"Nothing in {namespace} is called {name}.")


def restart_dependency(case: Case) -> Blueprint:
    workload = dependency(case)
    return Blueprint(
        f"Restart the dependency {workload.ref.name}",
        f"{case.target.name} suffers from {workload.ref.name}; a fresh start clears what it has piled up.",
        (Step(ActionName.RESTART_DEPENDENCY, workload.ref, {"at": stamp()}),),
        restores=False,
        seconds=25,
    )
