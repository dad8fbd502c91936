"""Calls that fail: what the logs say about other hosts, resolved to Services, workloads, policies and addresses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from healing.actions.labels import QUARANTINE
from healing.diagnosis import reading as r, series as s
from healing.diagnosis.analyzers.common import change_evidence, rollout_blame, status_evidence, workload_ref
from healing.diagnosis.analyzers.responsible import target_of
from healing.diagnosis.calls import Address, is_cluster_name, means_a_service, resolve
from healing.diagnosis.hypothesis import Hypothesis, bare
from healing.diagnosis.log_rules import Match
from healing.diagnosis.requests import served
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Container, Scene, is_ready
from healing.diagnosis.snapshot import recent
from healing.ports.cluster import ObjectRef

_LATELY = timedelta(hours=1)
#: Of a program that is ready: so many lines in the last minute, or such a part of its answers, are no accident.
_MANY_LINES, _MANY_ERRORS = 4, 0.03
#: So many failed requests are about every call of some kind.
_MANY_FAIL = 0.1


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """DependencyUnavailable, WrongDependencyAddress, WrongDependencyPort, ServiceMissing."""
    for workload, containers in scene.containers.items():
        seen: set[tuple[str, str, str]] = set()
        for container in containers:
            for match in scene.matches(container):
                host, port = match.details.get("host", ""), match.details.get("port", "")
                key = (match.kind, host, port)
                if r.text(container.pod, "metadata", "labels", QUARANTINE):
                    continue  # the isolation itself keeps it from what it calls
                if match.kind in ("Unreachable", "UnknownHost") and key not in seen:
                    seen.add(key)
                    if (host and _is_own(container, host)) or _is_accident(scene, workload, container, match):
                        continue
                    if scene.has_moved_on(container, match):
                        continue
                    if match.kind == "UnknownHost" and (not host or target_of(scene, workload, host) is not None):
                        continue  # the name is right: analyzers.dns
                    yield _judge(scene, workload, container, match, host, port)
    yield from _configured(scene)


def _is_own(container: Container, host: str) -> bool:
    return (
        host in ("localhost", "::1")
        or host.startswith(("127.", "0."))
        or host == r.text(container.pod, "status", "podIP")
    )


def _is_accident(scene: Scene, workload: ObjectRef, container: Container, match: Match) -> bool:
    """A few failed calls of a program that is well, to something that is well: no network is perfect. Nor is a
    dependency away that is well and to which no call fails any more."""
    if scene.is_crashing(container) or not container.is_ready:
        return False
    host = match.details.get("host", "")
    target = target_of(scene, workload, host) if host else None
    backends = scene.calls.backends.get(target, set()) if target is not None else set()
    found = served(scene).get(workload)
    rate = s.latest(found.error_fraction) if found is not None and found.error_fraction else None
    if rate is not None and rate < _MANY_ERRORS:
        return True
    all_well = bool(backends) and all(scene.ready_pods(b) for b in backends)
    if all_well and scene.has_stopped(match):
        return True
    return match.count < (_MANY_LINES if all_well or target is None else 2)


def _judge(scene: Scene, workload: ObjectRef, container: Container, match: Match, host: str, port: str) -> Hypothesis:
    address = _configured_as(scene, workload, host, port)
    target = target_of(scene, workload, host) if host else None
    proof = [*scene.log_evidence(container, match), status_evidence(container)]
    about = workload_ref(scene, workload)
    facts: dict[str, Any] = {
        "host": host,
        "port": port,
        "container": container.name,
        "error": match.record.message[:300],
    }
    if address is not None:
        facts |= {
            "variable": address.variable,
            "config_map": address.config_map,
            "key": address.key,
            "source": address.source,
        }
    first_line = match.record.message.splitlines()[0][:200] if match.record.message else ""
    words = f"{workload.kind} {workload.name} cannot reach {_shown(host, port)}: {first_line}"
    affected = {*scene.around(workload), bare(workload)}
    crashing = scene.is_crashing(container) or not container.is_ready
    base = 0.72 if crashing else 0.6
    elsewhere = _missing_service(scene, workload, match, host, target) or _moved_port(scene, workload, port, target)
    if elsewhere is not None:
        cause, ref, strength, more, suggestion = elsewhere
        facts |= suggestion
        return Hypothesis(cause, ref, strength, f"{words}.{more}", proof, facts, {*affected, bare(ref)})
    wrong = _wrong_address(scene, workload, match, host, port, target)
    if wrong is not None:
        strength, more, suggestion = wrong
        facts |= suggestion
        past, _ = rollout_blame(scene, workload, [container])
        changed = (
            [c for c in past.changes if host in f"{c.before}{c.after}" or (port and port in f"{c.after}")]
            if past and host
            else []
        )
        if past is not None and past.good is not None and changed:
            strength = max(strength, 0.94)
            facts |= past.facts()
            proof += change_evidence(past, changed)
            more += f" Revision {past.current.number} changed {changed[0].path}."
        elif address is not None and address.config_map:
            obj = scene.snapshot.get("ConfigMap", workload.namespace, address.config_map)
            when, who = last_change(obj or {}, fields="f:data")
            created = r.moment(obj or {}, "metadata", "creationTimestamp")
            if obj is not None and when and created and when > created:
                about = ObjectRef.of(obj, "ConfigMap")
                more += f" ConfigMap {address.config_map} was changed{f' by {who}' if who else ''}."
        cause = "WrongDependencyPort" if target is not None else "WrongDependencyAddress"
        return Hypothesis(cause, about, strength, f"{words}.{more}", proof, facts, affected)
    blames: set[ObjectRef] = set()
    if target is not None:
        blames = {target, *scene.calls.backends.get(target, ())}
        facts["dependency"] = target.as_json()
        words += f" ({target})"
        if target.kind == "Pod":
            pod = scene.snapshot.find(target)
            blames |= {bare(scene.snapshot.workload_of(pod))} if pod is not None else set()
    elif _is_outside(scene, workload, host) and _fails_for_it(scene, workload, match):
        base = max(base, 0.86)
        facts["outside"] = True
        words += f". {host} is not in the cluster: nothing here can put it right"
    siblings_fine = any(is_ready(p) for p in scene.pods.get(bare(workload), ()) if p is not container.pod) and crashing
    strength = base * (0.7 if siblings_fine else 1.0) * (0.85 if not host else 1.0)
    return Hypothesis("DependencyUnavailable", about, strength, f"{words}.", proof, facts, affected, blames)


def _is_outside(scene: Scene, workload: ObjectRef, host: str) -> bool:
    """A full name that cannot be meant for one of the cluster's."""
    is_name = "." in host and not host.replace(".", "").isdigit()
    return is_name and not means_a_service(scene.snapshot, host, workload.namespace)


def _fails_for_it(scene: Scene, workload: ObjectRef, match: Match) -> bool:
    """Many requests of it fail while its calls there do, again and again until now."""
    found = served(scene).get(bare(workload))
    failed = s.latest(found.error_fraction) if found is not None else None
    return match.count >= _MANY_LINES and not scene.has_stopped(match) and (failed or 0.0) >= _MANY_FAIL


Elsewhere = tuple[str, ObjectRef, float, str, dict[str, Any]]


def _missing_service(
    scene: Scene, workload: ObjectRef, match: Match, host: str, target: ObjectRef | None
) -> Elsewhere | None:
    """The name is right, but its Service is gone: others use the name, too, or pods stand ready behind it."""
    if target is not None or match.kind != "UnknownHost" or not host or not is_cluster_name(host):
        return None
    parts = host.split(".")
    name, namespace = parts[0], parts[1] if len(parts) > 1 else workload.namespace
    if not scene.snapshot.knows_all("Service", namespace) or _is_new_address(scene, workload, host):
        return None
    users = {w for w, known in scene.calls.addresses.items() if any(a.host == host.lower() for a in known)}
    users |= {bare(workload)}
    backend = next(
        (
            ref
            for kind in ("Deployment", "StatefulSet", "DaemonSet")
            if scene.snapshot.find(ref := ObjectRef(kind, namespace, name)) is not None
        ),
        None,
    )
    if (backend is None or scene.services_of(backend)) and len(users) < 2:
        return None
    strength = 0.95 if backend is not None else 0.88
    more = f" Service {name} does not exist"
    more += (
        f", though {backend.kind} {name} does." if backend is not None else f", though {len(users)} workloads call it."
    )
    facts: dict[str, Any] = {"service": name, "callers": [u.as_json() for u in sorted(users)]}
    if backend is not None:
        facts["workload"] = backend.as_json()
    return "ServiceMissing", ObjectRef("Service", namespace, name), strength, more, facts


def _is_new_address(scene: Scene, workload: ObjectRef, host: str) -> bool:
    """Whether the newest revision brought the address: then that is where the mistake is."""
    past = scene.history(workload)
    return past is not None and any(host in str(c.after) and host not in str(c.before) for c in past.changes)


def _moved_port(scene: Scene, workload: ObjectRef, port: str, target: ObjectRef | None) -> Elsewhere | None:
    """The Service's own port was changed: its callers use the one it had."""
    if target is None or target.kind != "Service" or not port:
        return None
    service = scene.snapshot.find(target) or {}
    ports = [r.number(p, "port") for p in r.dicts(service, "spec", "ports")]
    if not ports or int(port) in ports or r.text(service, "spec", "clusterIP") == "None":
        return None
    users = {
        w
        for w, known in scene.calls.addresses.items()
        if any(a.port == port and resolve(scene.snapshot, a.host, w.namespace) == target for a in known)
    }
    when, who = last_change(service, fields="f:spec")
    created = r.moment(service, "metadata", "creationTimestamp")
    is_changed = when is not None and created is not None and when > created and recent(when, scene.now, _LATELY)
    if not is_changed and len(users) < 2:
        return None
    shown = ", ".join(map(str, ports))
    more = f" Service {target.name} has port {shown}{f', changed by {who}' if is_changed and who else ''};"
    more += f" {len(users | {workload})} callers use {port}."
    facts: dict[str, Any] = {"service": target.name, "port": ports[0], "suggested_port": int(port)}
    return "ServicePortMismatch", ObjectRef.of(service, "Service"), 0.94 if is_changed else 0.85, more, facts


def _wrong_address(
    scene: Scene, workload: ObjectRef, match: Match, host: str, port: str, target: ObjectRef | None
) -> tuple[float, str, dict[str, Any]] | None:
    """(strength, words, facts) if the address itself is wrong."""
    if not host:
        return None
    if target is None:
        if match.kind != "UnknownHost" or not means_a_service(scene.snapshot, host, workload.namespace):
            return None
        return _no_such_service(scene, workload, host)
    if target.kind == "Service" and port:
        service = scene.snapshot.find(target) or {}
        ports = [r.number(p, "port") for p in r.dicts(service, "spec", "ports")]
        headless = r.text(service, "spec", "clusterIP") == "None"
        if ports and not headless and int(port) not in ports:
            more = f" Service {target.name} has {'port' if len(ports) == 1 else 'ports'} {', '.join(map(str, ports))}."
            return 0.92, more, {"suggested_port": ports[0]} if len(ports) == 1 else {}
    return None


def _no_such_service(scene: Scene, workload: ObjectRef, host: str) -> tuple[float, str, dict[str, Any]] | None:
    """As `_wrong_address`, of a name that no Service has, with the one that may have been meant."""
    first, _, rest = host.lower().rstrip(".").partition(".")
    named = rest.split(".")[0] or workload.namespace
    exists = bool(scene.snapshot.get("Namespace", "", named) or scene.snapshot.of_kind("Service", named))
    if not scene.snapshot.knows_all("Service", named if exists else workload.namespace):
        return None
    more = f" No Service is called {first}" + (f" in namespace {named}." if named != workload.namespace else ".")
    for namespace in dict.fromkeys((named, workload.namespace)):
        names = [r.text(service, "metadata", "name") for service in scene.snapshot.of_kind("Service", namespace)]
        similar = first if first in names else r.closest(first, names, 0.6)
        if similar:
            suggested = similar if namespace == workload.namespace else f"{similar}.{namespace}"
            return 0.92, f"{more} There is {suggested}.", {"suggested_host": suggested}
    return 0.8, more, {}


def _configured_as(scene: Scene, workload: ObjectRef, host: str, port: str) -> Address | None:
    found = [a for a in scene.calls.addresses.get(bare(workload), ()) if a.host == host.lower()]
    return next((a for a in found if not port or a.port == port), found[0] if found else None)


def _shown(host: str, port: str) -> str:
    return f"{host}:{port}" if host and port else host or "something it needs"


def _configured(scene: Scene) -> Iterator[Hypothesis]:
    """Workloads in trouble whose configuration names a Service that does not exist, though a similar one does."""
    for workload, containers in scene.containers.items():
        if workload.namespace and not scene.snapshot.knows_all("Service", workload.namespace):
            continue
        in_trouble = any(not c.is_ready and not c.is_init for c in containers)
        for address in scene.calls.addresses.get(workload, ()):
            if not in_trouble or "." in address.host or resolve(scene.snapshot, address.host, workload.namespace):
                continue
            names = [
                r.text(service, "metadata", "name") for service in scene.snapshot.of_kind("Service", workload.namespace)
            ]
            similar = r.closest(address.host, names, 0.75)
            if similar:
                facts = {
                    "host": address.host,
                    "port": address.port,
                    "suggested_host": similar,
                    "variable": address.variable,
                }
                facts |= {"config_map": address.config_map, "key": address.key}
                words = f"{workload.kind} {workload.name} calls {address.host} ({address.source}). No Service has that"
                words += f" name, but {similar} does."
                yield Hypothesis(
                    "WrongDependencyAddress",
                    workload_ref(scene, workload),
                    0.66,
                    words,
                    [],
                    facts,
                    affected=scene.around(workload),
                )
