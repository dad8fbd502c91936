"""Fix a Service: the selector, or a targetPort, so that it reaches the pods it is meant for."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from healing.actions import operations
from healing.actions.base import Action, BlastRadius, CannotPlan, Parameters, Plan
from healing.actions.ownership import managed_by
from healing.actions.reading import get, is_ready
from healing.actions.template_patch import diff
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, Object, ObjectRef


class FixServiceSelectorParameters(Parameters):
    """``selector``: the whole new selector. ``targetPorts``: ``{"80": "8080"}``, ``protocols``: ``{"53": "UDP"}``, both
    by the Service's port number."""

    selector: dict[str, str] = Field(default_factory=dict, max_length=20)
    target_ports: dict[str, str] = Field(default_factory=dict, max_length=20)

    protocols: dict[str, Literal["TCP", "UDP", "SCTP"]] = Field(default_factory=dict, max_length=20)

    @model_validator(mode="after")
    def _something_to_do(self) -> FixServiceSelectorParameters:
        if not self.selector and not self.target_ports and not self.protocols:
            raise ValueError("a selector, targetPorts or protocols are needed; an empty selector is refused")
        if any(not key or not value or "*" in value for key, value in self.selector.items()):
            raise ValueError("empty or wildcard labels are refused")
        return self


class FixServiceSelector(Action[FixServiceSelectorParameters]):
    """Only towards pods that exist: a selector that selects nothing is not a fix."""

    name = ActionName.FIX_SERVICE_SELECTOR
    title = "Correct the Service"
    kinds = frozenset({"Service"})
    permissions: ClassVar = (("get", "Service"), ("patch", "Service"), ("list", "Pod"))
    parameters = FixServiceSelectorParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: FixServiceSelectorParameters, *, timeout_seconds: float
    ) -> Plan:
        service = get(cluster, target, timeout_seconds=timeout_seconds)
        ref = ObjectRef.of(service, "Service")
        before: dict[str, str] = service["spec"].get("selector") or {}
        after = parameters.selector or before
        ports = _with(ref, service["spec"].get("ports") or [], parameters)
        changes = [*diff(ref, "spec.selector", before, after), *_port_changes(ref, service, ports)]
        if not changes:
            raise CannotPlan(f"{ref} has this selector and these ports already.")
        old = _selected(cluster, ref, before, timeout_seconds)
        new = _selected(cluster, ref, after, timeout_seconds)
        if not new:
            raise CannotPlan(f"No pod in {ref.namespace} has the labels {_in_words(after)}.")
        serving_now, serving_then = (sum(map(is_ready, pods)) for pods in (old, new))
        # A merge keeps keys that it does not name: those that shall go are set to null.
        body: dict[str, Any] = {"spec": {}}
        undo: dict[str, Any] = {"spec": {}}
        if after != before:
            body["spec"]["selector"] = {**dict.fromkeys(before), **after}
            undo["spec"]["selector"] = {**dict.fromkeys(after), **before}
        if parameters.target_ports or parameters.protocols:
            body["spec"]["ports"], undo["spec"]["ports"] = ports, service["spec"].get("ports")
        harmless = serving_now == 0 or after == before
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"{ref} reaches {serving_then} ready pod(s) with {_in_words(after)}; now it is {serving_now}.",
            changes=tuple(changes),
            operations=(operations.patch(ref, body),),
            pre_state={"selector": before, "undo": [operations.patch(ref, undo)]},
            risk=Risk.LOW if harmless else Risk.MEDIUM,
            risk_reason="Nothing is reached now." if harmless else "Traffic that flows now goes to other pods.",
            reversible=True,
            undo_summary=f"{ref} has its former selector and ports again.",
            blast_radius=BlastRadius(pods=len(new), managed_by=managed_by(service)),
            parameters=parameters.model_dump(by_alias=True),
        )


def _selected(cluster: Cluster, ref: ObjectRef, selector: dict[str, str], timeout_seconds: float) -> list[Object]:
    if not selector:
        return []
    query = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
    return cluster.list("Pod", ref.namespace, label_selector=query, timeout_seconds=timeout_seconds).items


def _with(ref: ObjectRef, ports: list[dict[str, Any]], wanted: FixServiceSelectorParameters) -> list[dict[str, Any]]:
    unknown = {*wanted.target_ports, *wanted.protocols} - {str(p["port"]) for p in ports}
    if unknown:
        raise CannotPlan(f"{ref} has no port {', '.join(sorted(unknown))}.")
    changed = []
    for port in ports:
        number, new = str(port["port"]), dict(port)
        if number in wanted.target_ports:
            new["targetPort"] = _port(wanted.target_ports[number])
        if number in wanted.protocols:
            new["protocol"] = wanted.protocols[number]
        changed.append(new)
    return changed


def _port(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _port_changes(ref: ObjectRef, service: Object, after: list[dict[str, Any]]) -> list[Any]:
    changes = []
    for old, new in zip(service["spec"].get("ports") or [], after, strict=True):
        for field in ("targetPort", "protocol"):
            changes += diff(ref, f"spec.ports[{old['port']}].{field}", old.get(field), new.get(field))
    return changes


def _in_words(selector: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items())) or "no selector"
