"""How each strategy would be carried out in a given case: its steps with their parameters.

A builder only reads. It raises `CannotPlan` where the strategy makes no sense; the message is kept for people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from healing.actions import labels, quantities, revisions
from healing.actions.base import CannotPlan
from healing.actions.reading import WORKLOAD_KINDS, Workload, container_statuses, controller_of, is_ready
from healing.actions.restart import stamp
from healing.metacognition.case import Case
from healing.policies.spec import ActionName
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import NotFound

#: A limit that is too low is raised by this where nobody knows how much is needed.
_RAISE = Decimal("1.5")
_MOVED_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One action to be."""

    action: ActionName
    target: ObjectRef
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """``restores``: it goes back to something that existed, instead of making up a value. ``seconds``: how long it
    usually takes to show."""

    title: str
    rationale: str
    steps: tuple[Step, ...]
    restores: bool
    seconds: float


Builder = Callable[[Case], Blueprint]


def _rollback(case: Case, workload: Workload | None = None) -> Blueprint:
    workload = workload or case.workload()
    good = case.last_good(workload)
    ref = workload.ref
    return Blueprint(
        f"Roll {ref.name} back to revision {good.revision.number}",
        f"Revision {good.current.number} is at fault or came with the fault; of revision {good.revision.number}, "
        f"{good.reason}.",
        (Step(ActionName.ROLLBACK, ref, {"toRevision": good.revision.number}),),
        restores=True,
        seconds=20,
    )


def _restart(case: Case, workload: Workload | None = None) -> Blueprint:
    workload = workload or case.workload()
    return Blueprint(
        f"Restart all pods of {workload.ref.name}",
        "A fresh start clears what a process has piled up; template and configuration stay as they are.",
        (Step(ActionName.RESTART, workload.ref, {"at": stamp()}),),
        restores=False,
        seconds=20,
    )


def _evict_pod(case: Case) -> Blueprint:
    workload = case.target_workload()
    names = set(case.fact("pods", [])) | {case.event.subject.get("name", "")}
    pods = workload.pods(case.cluster, timeout_seconds=case.seconds)
    named = [pod for pod in pods if pod["metadata"]["name"] in names]
    if not named:
        raise CannotPlan("The pod that showed the fault has gone already.")
    if len(named) == len(pods) and len(pods) > 1:
        raise CannotPlan("All pods show the fault: replacing one of them is not enough.")
    ref = ObjectRef.of(named[0], "Pod")
    return Blueprint(
        f"Replace pod {ref.name}",
        "Only this pod shows the fault; its siblings do not.",
        (Step(ActionName.EVICT, ref, {}),),
        restores=False,
        seconds=10,
    )


def _scale_out(case: Case, workload: Workload | None = None) -> Blueprint:
    workload = workload or case.workload()
    now = workload.desired
    if now == 0:
        raise CannotPlan(f"{workload.ref} is scaled to zero.")
    suggested = case.fact("suggested_replicas")
    wanted = max(now + 1, min(int(suggested), now * 3)) if suggested else now + max(1, (now + 1) // 2)
    return Blueprint(
        f"Scale {workload.ref.name} out to {wanted} replicas",
        f"{now} replicas share the load now.",
        (Step(ActionName.SCALE, workload.ref, {"replicas": wanted}),),
        restores=False,
        seconds=15,
    )


def _restore_replicas(case: Case) -> Blueprint:
    workload = case.workload()
    suggested = case.fact("suggested_replicas")
    if not suggested:
        raise CannotPlan(f"Nobody knows how many replicas {workload.ref} had before.")
    return Blueprint(
        f"Scale {workload.ref.name} back to {int(suggested)} replicas",
        f"It had {int(suggested)} before; now it is {workload.desired}.",
        (Step(ActionName.SCALE, workload.ref, {"replicas": int(suggested)}),),
        restores=True,
        seconds=15,
    )


def _container_of(case: Case, workload: Workload) -> dict[str, Any]:
    """The finding's container, else the one that was killed or restarts most, else the only one."""
    name = case.fact("container")
    if not name and len(workload.template["spec"]["containers"]) > 1:
        statuses = [s for p in workload.pods(case.cluster, timeout_seconds=case.seconds) for s in container_statuses(p)]
        worst = max(statuses, key=lambda s: int(s.get("restartCount", 0)), default=None)
        name = worst["name"] if worst else workload.template["spec"]["containers"][0]["name"]
    return workload.container(str(name or ""))


def _restore_resources(case: Case) -> Blueprint:
    workload = case.workload()
    container = _container_of(case, workload)
    good = case.last_good(workload)
    former = next((c for c in good.revision.template["spec"]["containers"] if c["name"] == container["name"]), None)
    resources = (former or {}).get("resources") or {}
    if former is None or resources == (container.get("resources") or {}):
        raise CannotPlan(f"Revision {good.revision.number} has the same resources.")
    if not resources.get("limits"):
        raise CannotPlan(f"Revision {good.revision.number} has no limits to go back to.")
    return Blueprint(
        f"Give {container['name']} the resources of revision {good.revision.number} again",
        "Requests and limits were changed; the rest of the new revision stays.",
        (
            Step(
                ActionName.UPDATE_RESOURCES,
                workload.ref,
                {"container": container["name"], "fromRevision": good.revision.number},
            ),
        ),
        restores=True,
        seconds=20,
    )


def _raise(resource: str) -> Builder:
    def build(case: Case) -> Blueprint:
        workload = case.workload()
        container = _container_of(case, workload)
        limit = (container.get("resources") or {}).get("limits", {}).get(resource)
        if limit is None:
            raise CannotPlan(f"Container {container['name']} has no {resource} limit.")
        suggested = case.fact(f"suggested_{resource}_limit")
        wanted = quantities.parse(suggested) if suggested else quantities.parse(limit) * _RAISE
        if wanted <= quantities.parse(limit):
            raise CannotPlan(f"The {resource} limit of {container['name']} is {limit}, which is enough.")
        text = quantities.of_resource(resource, wanted)
        return Blueprint(
            f"Raise the {resource} limit of {container['name']} from {limit} to {text}",
            f"The limit of {limit} is reached.",
            (
                Step(
                    ActionName.UPDATE_RESOURCES,
                    workload.ref,
                    {"container": container["name"], "limits": {resource: text}},
                ),
            ),
            restores=False,
            seconds=20,
        )

    return build


def _restore_references(case: Case) -> Blueprint:
    workload = case.workload()
    good = case.last_good(workload)
    return Blueprint(
        f"Give {workload.ref.name} the configuration of revision {good.revision.number} again",
        "Only environment and configuration volumes go back; the image stays.",
        (Step(ActionName.UPDATE_CONFIG, workload.ref, {"fromRevision": good.revision.number}),),
        restores=True,
        seconds=20,
    )


def _config_map(case: Case) -> ObjectRef:
    name = case.fact("config_map")
    if case.finding.object.kind == "ConfigMap":
        name = case.finding.object.name
    if not name:
        raise CannotPlan("The finding names no ConfigMap.")
    namespace = case.finding.object.namespace or case.target.namespace
    try:
        live = case.cluster.get("ConfigMap", namespace, str(name), timeout_seconds=case.seconds)
    except NotFound as error:
        raise CannotPlan(f"ConfigMap {name} does not exist.") from error
    return ObjectRef.of(live, "ConfigMap")


def _keys(case: Case) -> list[str]:
    keys = [str(key) for key in (case.fact("key"), case.fact("variable")) if key]
    if not keys:
        raise CannotPlan("The finding names no key.")
    return keys[:1]


def _restore_keys(case: Case) -> Blueprint:
    ref, keys = _config_map(case), _keys(case)
    steps = [Step(ActionName.UPDATE_CONFIG, ref, {"keys": keys})]
    return Blueprint(
        f"Put {keys[0]} back into ConfigMap {ref.name}",
        f"ConfigMap {ref.name} had {keys[0]} and lost it.",
        (*steps, *_carry_on(case)),
        restores=True,
        seconds=15,
    )


def _restore_values(case: Case) -> Blueprint:
    ref, keys = _config_map(case), _keys(case)
    workload = case.workload()
    steps = [Step(ActionName.UPDATE_CONFIG, ref, {"keys": keys, "overwrite": True})]
    if not workload.is_paused:
        steps.append(Step(ActionName.RESTART, workload.ref, {"at": stamp()}))
    return Blueprint(
        f"Give {keys[0]} of ConfigMap {ref.name} its former value, and restart",
        f"{keys[0]} of ConfigMap {ref.name} was changed, and the program refuses the new value.",
        (*steps, *_carry_on(case)),
        restores=True,
        seconds=25,
    )


def _carry_on(case: Case) -> list[Step]:
    """A rollout that we paused goes on, once the cause outside of the template is gone."""
    try:
        workload = case.target_workload()
    except CannotPlan:
        return []
    if workload.paused_by_event:
        return [Step(ActionName.RESUME_ROLLOUT, workload.ref, {"event": workload.paused_by_event})]
    return []


def _service(case: Case) -> Object:
    for ref in (case.finding.object, case.target):
        if ref.kind == "Service":
            try:
                return case.cluster.get("Service", ref.namespace, ref.name, timeout_seconds=case.seconds)
            except NotFound as error:
                raise CannotPlan(f"{ref} does not exist.") from error
    raise CannotPlan("No Service is at fault.")


def _fix_selector(case: Case) -> Blueprint:
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


def _fix_target_port(case: Case) -> Blueprint:
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
        (Step(ActionName.FIX_SERVICE_SELECTOR, ref, {"targetPorts": {str(port): str(suggested)}}),),
        restores=False,
        seconds=5,
    )


def _dependency(case: Case) -> Workload:
    ref = case.finding.object
    named = case.fact("dependency") or case.fact("host")
    if ref.kind not in WORKLOAD_KINDS or (ref.kind, ref.name) == (case.target.kind, case.target.name):
        ref = _workload_behind(case, str(named or "").split(".", 1)[0])
    if (ref.kind, ref.namespace, ref.name) == (case.target.kind, case.target.namespace, case.target.name):
        raise CannotPlan("It is its own dependency.")
    return Workload.read(case.cluster, ref, timeout_seconds=case.seconds)


def _workload_behind(case: Case, name: str) -> ObjectRef:
    """The workload behind a Service of that name, else the one called like it."""
    if not name:
        raise CannotPlan("The finding names no dependency.")
    selector: dict[str, str] = {}
    try:
        service = case.cluster.get("Service", case.target.namespace, name, timeout_seconds=case.seconds)
        selector = service["spec"].get("selector") or {}
    except NotFound:
        pass
    for kind in sorted(WORKLOAD_KINDS):
        for obj in case.cluster.list(kind, case.target.namespace, timeout_seconds=case.seconds).items:
            own = obj["spec"]["template"]["metadata"].get("labels") or {}
            if (selector and selector.items() <= own.items()) or (not selector and obj["metadata"]["name"] == name):
                return ObjectRef.of(obj, kind)
    raise CannotPlan(f"Nothing in {case.target.namespace} is called {name}.")


def _restart_dependency(case: Case) -> Blueprint:
    workload = _dependency(case)
    return Blueprint(
        f"Restart the dependency {workload.ref.name}",
        f"{case.target.name} suffers from {workload.ref.name}; a fresh start clears what it has piled up.",
        (Step(ActionName.RESTART_DEPENDENCY, workload.ref, {"at": stamp()}),),
        restores=False,
        seconds=25,
    )


def _move_pods(case: Case) -> Blueprint:
    node = case.finding.object if case.finding.object.kind == "Node" else case.target
    if node.kind != "Node":
        raise CannotPlan("No node is at fault.")
    pods = []
    for namespace in case.policy.target_namespaces:
        found = case.cluster.list(
            "Pod", namespace, field_selector=f"spec.nodeName={node.name}", timeout_seconds=case.seconds
        )
        pods += [pod for pod in found.items if _is_movable(pod)]
    if not pods:
        raise CannotPlan(f"No pod that could be moved runs on {node.name}.")
    # Those that do not serve go first: nothing is lost by moving them.
    pods.sort(key=lambda pod: (is_ready(pod), pod["metadata"]["namespace"], pod["metadata"]["name"]))
    return Blueprint(
        f"Move {len(pods)} pod(s) away from node {node.name}",
        f"Node {node.name} is not fit to run them; their controllers make new ones elsewhere.",
        tuple(Step(ActionName.EVICT, ObjectRef.of(pod, "Pod"), {}) for pod in pods[:_MOVED_AT_MOST]),
        restores=False,
        seconds=20,
    )


def _is_movable(pod: Object) -> bool:
    owner = controller_of(pod)
    done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return (
        not done
        and "deletionTimestamp" not in pod["metadata"]
        and owner is not None
        and owner.kind
        not in (
            "DaemonSet",
            "Node",
            "Job",
        )
    )


def _resume_rollout(case: Case) -> Blueprint:
    workload = case.workload()
    if not workload.is_paused:
        raise CannotPlan(f"The rollout of {workload.ref} is not paused.")
    kept = revisions.of_workload(case.cluster, workload, timeout_seconds=case.seconds)
    if workload.paused_by_event and revisions.current(workload, kept).name != revisions.UNRELEASED:
        raise CannotPlan("We paused it ourselves, because the pods of its template fail.")
    return Blueprint(
        f"Let the newest template of {workload.ref.name} roll out",
        "Somebody has changed the template since its rollout was paused; it has not been tried yet.",
        (Step(ActionName.RESUME_ROLLOUT, workload.ref, {}),),
        restores=False,
        seconds=20,
    )


def _uncordon(case: Case) -> Blueprint:
    name = case.finding.object.name if case.finding.object.kind == "Node" else case.fact("node")
    if not name:
        raise CannotPlan("The finding names no node.")
    return Blueprint(
        f"Uncordon node {name}",
        "Pods find no place because the node is cordoned.",
        (Step(ActionName.UNCORDON, ObjectRef("Node", "", str(name)), {}),),
        restores=True,
        seconds=5,
    )


STRATEGIES: Mapping[str, Builder] = MappingProxyType(
    {
        "rollback": _rollback,
        "restart": _restart,
        "evict-pod": _evict_pod,
        "scale-out": _scale_out,
        "restore-replicas": _restore_replicas,
        "restore-resources": _restore_resources,
        "raise-memory": _raise("memory"),
        "raise-cpu": _raise("cpu"),
        "restore-references": _restore_references,
        "restore-keys": _restore_keys,
        "restore-values": _restore_values,
        "fix-selector": _fix_selector,
        "fix-target-port": _fix_target_port,
        "restart-dependency": _restart_dependency,
        "rollback-dependency": lambda case: _rollback(case, _dependency(case)),
        "scale-out-dependency": lambda case: _scale_out(case, _dependency(case)),
        "move-pods": _move_pods,
        "resume-rollout": _resume_rollout,
        "uncordon": _uncordon,
    }
)
