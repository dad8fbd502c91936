"""Calls that fail: what the logs say about other hosts, resolved to Services, workloads, policies and addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from healing.actions.labels import QUARANTINE
from healing.diagnosis import reading as r, series as s
from healing.diagnosis.analyzers.common import change_evidence, rollout_blame, status_evidence, workload_ref
from healing.diagnosis.calls import Address, is_cluster_name, resolve
from healing.diagnosis.hypothesis import Hypothesis, bare
from healing.diagnosis.log_rules import Match
from healing.diagnosis.requests import served
from healing.diagnosis.revisions import last_change
from healing.diagnosis.scene import Container, Scene, is_ready
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: Of a program that is ready: so many lines in the last minute, or such a part of its answers, are no accident.
_MANY_LINES, _MANY_ERRORS = 4, 0.03


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """DependencyUnavailable, WrongDependencyAddress, DNSFailure; pools, certificates and others of running programs."""
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
                    yield _judge(scene, workload, container, match, host, port)
        yield from _from_running(scene, workload, containers)
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
    target = _target(scene, workload, match.details.get("host", ""))
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
    target = _target(scene, workload, host)
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
        return Hypothesis("WrongDependencyAddress", about, strength, f"{words}.{more}", proof, facts, affected)
    if match.kind == "UnknownHost" and (target is not None or not host):
        facts["host"] = host
        return Hypothesis(
            "DNSFailure", about, 0.6, f"{words}. The name exists, but is not resolved.", proof, facts, affected
        )
    blames: set[ObjectRef] = set()
    if target is not None:
        blames = {target, *scene.calls.backends.get(target, ())}
        facts["dependency"] = target.as_json()
        words += f" ({target})"
        if target.kind == "Pod":
            pod = scene.snapshot.find(target)
            blames |= {bare(scene.snapshot.workload_of(pod))} if pod is not None else set()
    siblings_fine = any(is_ready(p) for p in scene.pods.get(bare(workload), ()) if p is not container.pod) and crashing
    strength = base * (0.7 if siblings_fine else 1.0) * (0.85 if not host else 1.0)
    return Hypothesis("DependencyUnavailable", about, strength, f"{words}.", proof, facts, affected, blames)


def _wrong_address(
    scene: Scene, workload: ObjectRef, match: Match, host: str, port: str, target: ObjectRef | None
) -> tuple[float, str, dict[str, Any]] | None:
    """(strength, words, facts) if the address itself is wrong."""
    if not host:
        return None
    if target is None:
        if (
            match.kind != "UnknownHost"
            or not is_cluster_name(host)
            or not scene.snapshot.knows_all("Service", workload.namespace)
        ):
            return None
        names = [
            r.text(service, "metadata", "name") for service in scene.snapshot.of_kind("Service", workload.namespace)
        ]
        similar = r.closest(host.split(".", maxsplit=1)[0], names, 0.6)
        suggestion = {"suggested_host": similar} if similar else {}
        more = f" No Service is called {host.split('.', maxsplit=1)[0]}." + (f" There is {similar}." if similar else "")
        return (0.92 if similar else 0.8), more, suggestion
    if target.kind == "Service" and port:
        service = scene.snapshot.find(target) or {}
        ports = [r.number(p, "port") for p in r.dicts(service, "spec", "ports")]
        headless = r.text(service, "spec", "clusterIP") == "None"
        if ports and not headless and int(port) not in ports:
            more = f" Service {target.name} has {'port' if len(ports) == 1 else 'ports'} {', '.join(map(str, ports))}."
            return 0.92, more, {"suggested_port": ports[0]} if len(ports) == 1 else {}
    return None


def _target(scene: Scene, workload: ObjectRef, host: str) -> ObjectRef | None:
    if not host:
        return None
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return resolve(scene.snapshot, host, workload.namespace)
    return scene.calls.by_ip(host)


def _configured_as(scene: Scene, workload: ObjectRef, host: str, port: str) -> Address | None:
    found = [a for a in scene.calls.addresses.get(bare(workload), ()) if a.host == host.lower()]
    return next((a for a in found if not port or a.port == port), found[0] if found else None)


def _shown(host: str, port: str) -> str:
    return f"{host}:{port}" if host and port else host or "something it needs"


#: Failures of running programs: (strength, number of lines that make it more than an accident)
_RUNNING = {
    "ConnectionPoolExhausted": (0.8, 2),
    "ReadOnlyDependency": (0.82, 2),
    "CertificateExpired": (0.82, 2),
    "WrongCredentials": (0.72, 3),
    "DiskFull": (0.84, 1),
}


def _from_running(scene: Scene, workload: ObjectRef, containers: list[Container]) -> Iterator[Hypothesis]:
    """What programs complain about that keep running."""
    seen = set()
    for container in containers:
        if scene.is_crashing(container):
            continue
        for match in scene.matches(container):
            strength, least = _RUNNING.get(match.kind, (0.0, 0))
            if not strength or match.kind in seen or match.count < least:
                continue
            seen.add(match.kind)
            facts = {"container": container.name, "error": match.record.message[:300], **match.details}
            words = f"{workload.kind} {workload.name} says: {match.record.message.splitlines()[0][:200]}"
            proof: list[Evidence] = scene.log_evidence(container, match)
            yield Hypothesis(
                match.kind,
                workload_ref(scene, workload),
                strength,
                words,
                proof,
                facts,
                affected=scene.around(workload),
            )


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
