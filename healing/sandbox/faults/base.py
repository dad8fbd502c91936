"""The shape of a fault, its parameters, and what faults need to know of the world."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from healing.sandbox.apps.images import Catalogue
from healing.sandbox.apps.process import BaseProcess
from healing.sandbox.apps.program import parse_bytes
from healing.sandbox.apps.runtime import AppRuntime
from healing.sandbox.ports import Cluster, Object, User

#: a person with kubectl, as audit logs and managedFields show one
DEVELOPER = User("dev@example.com", ("developers", "system:authenticated"), field_manager="kubectl-edit")
_KINDS = {"deployment": "deployments.apps", "statefulset": "statefulsets.apps", "daemonset": "daemonsets.apps"}


class FaultError(ValueError):
    """A fault that cannot be injected as asked; the message says what to change."""


class NodeHandle(Protocol):
    def fail(self, kind: Any) -> None: ...

    def recover(self) -> None: ...


class World(Protocol):
    """The one thing faults ask of the world: to make a machine bad."""

    def node(self, name: str) -> NodeHandle: ...


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: Literal["string", "number", "integer", "bytes", "boolean"]
    help: str
    #: None: must be given
    default: Any = None
    required: bool = False

    def check(self, value: Any) -> Any:
        """The value in the right type; raises `FaultError`."""
        if self.type == "bytes":
            try:
                return parse_bytes(value, self.name)
            except ValueError as error:
                raise FaultError(str(error)) from error
        if self.type == "boolean" and isinstance(value, bool):
            return value
        if self.type in ("number", "integer") and isinstance(value, int | float) and not isinstance(value, bool):
            if value < 0:
                raise FaultError(f"{self.name}: must not be negative, got {value}")
            return int(value) if self.type == "integer" else float(value)
        if self.type == "string" and isinstance(value, str):
            return value
        raise FaultError(f"{self.name}: expected a {self.type}, got {value!r}")


@dataclass(slots=True)
class Injection:
    """An active fault. ``undo`` takes it back, as far as nobody else has changed the same thing since."""

    id: str
    fault: str
    params: dict[str, Any]
    at: float
    #: what it was done to: {"kind", "namespace", "name"}
    target: dict[str, str]
    summary: str
    undo: Callable[[], None]
    active: bool = True


@dataclass(slots=True)
class Scene:
    """What a fault works with."""

    cluster: Cluster
    runtime: AppRuntime
    world: World | None
    injection_id: str
    params: dict[str, Any]

    @property
    def catalogue(self) -> Catalogue:
        return self.runtime.catalogue

    @property
    def namespace(self) -> str:
        return str(self.params["namespace"])

    # workloads

    def workload(self) -> tuple[str, Object]:
        """(resource, object) of the parameter ``workload``: ``orders`` or ``deployment/orders``."""
        text = str(self.params["workload"])
        kind, slash, name = text.partition("/")
        if slash and kind.lower() not in _KINDS:
            raise FaultError(f"workload: kind {kind!r} is none of {', '.join(_KINDS)}")
        candidates = [_KINDS[kind.lower()]] if slash else list(_KINDS.values())
        for resource in candidates:
            found = self.cluster.get(resource, self.namespace, name if slash else text)
            if found is not None:
                return resource, found
        raise FaultError(f"workload: no {text!r} in namespace {self.namespace!r}")

    def change_template(self, change: Callable[[Object], None]) -> Object:
        """Edit the workload's pod template as the developer."""
        resource, found = self.workload()

        def edit(body: Object) -> None:
            change(body["spec"]["template"])

        return self.cluster.mutate(resource, self.namespace, found["metadata"]["name"], edit, user=DEVELOPER)

    def container_of(self, template: Object) -> Object:
        containers: list[Object] = template["spec"]["containers"]
        name = self.params.get("container")
        if not name:
            return containers[0]
        for container in containers:
            if container["name"] == name:
                return container
        raise FaultError(f"container: no {name!r} in {', '.join(c['name'] for c in containers)}")

    def processes(self) -> list[BaseProcess]:
        """Running processes of the workload's pods, without those that are on their way out."""
        _, found = self.workload()
        wanted = selector_labels(found)
        return [
            p
            for p in self.runtime.processes.values()
            if p.running and p.start.namespace == self.namespace and self._belongs(p, wanted)
        ]

    def _belongs(self, process: BaseProcess, wanted: Mapping[str, str]) -> bool:
        pod = self.cluster.get("pods", self.namespace, process.start.pod_name)
        if pod is None or pod["metadata"]["uid"] != process.start.pod_uid:
            return False
        return not pod["metadata"].get("deletionTimestamp") and _carries(pod["metadata"].get("labels") or {}, wanted)

    def target(self) -> dict[str, str]:
        _, found = self.workload()
        kind = found.get("kind") or {v: k for k, v in _KINDS.items()}[self.workload()[0]].capitalize()
        kind = {"Statefulset": "StatefulSet", "Daemonset": "DaemonSet"}.get(kind, kind)
        return {"kind": kind, "namespace": self.namespace, "name": found["metadata"]["name"]}


def selector_labels(workload: Object) -> dict[str, str]:
    return dict((workload.get("spec", {}).get("selector") or {}).get("matchLabels") or {})


def _carries(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


#: what a fault did: (target, summary, how to take it back)
Outcome = tuple[dict[str, str], str, Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. Add one by writing its ``inject`` and listing it in `injector.FAULTS`."""

    name: str
    title: str
    #: ``change``: a person edits manifests; ``behaviour``: a program misbehaves; ``machine``: a node does
    kind: Literal["change", "behaviour", "machine"]
    inject: Callable[[Scene], Outcome]
    parameters: tuple[Parameter, ...] = ()

    def check(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Complete, typed parameters; raises `FaultError`."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in params:
            if name not in known:
                raise FaultError(f"fault {self.name} has no parameter {name!r}; it has {', '.join(known)}")
        values: dict[str, Any] = {}
        for name, parameter in known.items():
            if params.get(name) is not None:
                values[name] = parameter.check(params[name])
            elif parameter.required:
                raise FaultError(f"fault {self.name} needs the parameter {name!r}: {parameter.help}")
            else:
                values[name] = parameter.default
        return values


NAMESPACE = Parameter("namespace", "string", "namespace of the target", required=True)
WORKLOAD = Parameter("workload", "string", "name, or kind/name such as statefulset/db", required=True)
CONTAINER = Parameter("container", "string", "container; the first one unless given", default="")
ON_WORKLOAD = (NAMESPACE, WORKLOAD, CONTAINER)


def describe(faults: Iterable[Fault]) -> list[dict[str, Any]]:
    return [
        {
            "name": fault.name,
            "title": fault.title,
            "kind": fault.kind,
            "params": [
                {"name": p.name, "type": p.type, "help": p.help, "required": p.required, "default": p.default}
                for p in fault.parameters
            ],
        }
        for fault in faults
    ]
