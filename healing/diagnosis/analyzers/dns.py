"""Names that exist and are not resolved: the cluster's DNS, or the settings of one workload."""

from __future__ import annotations

from collections.abc import Iterator

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import change_evidence, workload_ref
from healing.diagnosis.analyzers.responsible import target_of
from healing.diagnosis.calls import means_a_service
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.log_rules import Match
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import Container, Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_SYSTEM = "kube-system"
_NAMES = ("kube-dns", "coredns", "dns-default", "rke2-coredns-rke2-coredns")
#: Names that do not exist are answered at once; these words say that nobody answered.
_NO_ANSWER = (
    "i/o timeout",
    "Temporary failure",
    "EAI_AGAIN",
    "server misbehaving",
    "timed out",
    "Try again",
    "SERVFAIL",
)


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """DNSFailure."""
    complaining: dict[ObjectRef, tuple[Container, Match]] = {}
    for workload, containers in scene.containers.items():
        found = next(
            (
                (c, m)
                for c in containers
                for m in scene.matches(c)
                if m.kind == "UnknownHost" and _is_dns(scene, workload, m) and not scene.has_moved_on(c, m)
            ),
            None,
        )
        if found is not None and not (found[0].is_ready and scene.has_stopped(found[1])):
            complaining[workload] = found
    if not complaining:
        return
    server = _server(scene)
    of_its_own = {w: why for w in complaining if (why := _settings(scene, w)) is not None}
    for workload, (words, proof) in of_its_own.items():
        container, match = complaining[workload]
        yield Hypothesis(
            "DNSFailure",
            workload_ref(scene, workload),
            0.9,
            f"{workload.kind} {workload.name} cannot resolve names: {words}.",
            [*scene.log_evidence(container, match), *proof],
            {"host": match.details.get("host", ""), "dns_policy": r.text(_spec(scene, workload), "dnsPolicy")},
            affected={*scene.around(workload), bare(workload)},
        )
    rest = {w: found for w, found in complaining.items() if w not in of_its_own}
    if not rest:
        return
    serving = server is not None and scene.ready_pods(server) > 0
    together = len(rest) > 1 or (server is not None and not serving)
    if server is not None and together:
        names = sorted(w.name for w in rest)
        proof = [e for container, match in list(rest.values())[:3] for e in scene.log_evidence(container, match)]
        state = "has no ready pod" if not serving else "does not answer them"
        yield Hypothesis(
            "DNSFailure",
            workload_ref(scene, server),
            0.9 if not serving else 0.8,
            f"{', '.join(names[:4])} cannot resolve names of the cluster: {server.name} {state}.",
            proof,
            {"host": next((m.details["host"] for _, m in rest.values() if "host" in m.details), ""), "callers": names},
            affected={*scene.around(server), *rest, *(near for w in rest for near in scene.around(w))},
        )
    for workload, (container, match) in rest.items():
        host = match.details.get("host", "")
        blames = {server, *scene.services_of(server)} if server is not None else set()
        yield Hypothesis(
            "DNSFailure",
            workload_ref(scene, workload),
            0.6 if together else 0.66,
            f"{workload.kind} {workload.name} cannot resolve {host or 'names'}, which exists.",
            scene.log_evidence(container, match),
            {"host": host, "container": container.name},
            affected={*scene.around(workload), bare(workload)},
            blames=blames,
        )


def server_names(scene: Scene) -> list[ObjectRef]:
    """The cluster's DNS: its Service, if the snapshot has it."""
    return [ref for name in _NAMES if scene.snapshot.find(ref := ObjectRef("Service", _SYSTEM, name)) is not None]


def _server(scene: Scene) -> ObjectRef | None:
    for service in server_names(scene):
        backends = sorted(scene.calls.backends.get(service, ()))
        if backends:
            return backends[0]
    for kind in ("Deployment", "DaemonSet"):
        for name in _NAMES:
            if scene.snapshot.get(kind, _SYSTEM, name) is not None:
                return ObjectRef(kind, _SYSTEM, name)
    return None


def _is_dns(scene: Scene, workload: ObjectRef, match: Match) -> bool:
    """Not the name is wrong: it exists, or nobody answered."""
    host = match.details.get("host", "")
    if host and target_of(scene, workload, host) is not None:
        return True
    unanswered = any(word in match.record.message for word in _NO_ANSWER)
    is_ours = bool(host) and means_a_service(scene.snapshot, host, workload.namespace)
    return unanswered or (not is_ours and match.count > 1)


def _spec(scene: Scene, workload: ObjectRef) -> Object:
    return r.pod_spec(scene.snapshot.find(workload) or {})


def _settings(scene: Scene, workload: ObjectRef) -> tuple[str, list[Evidence]] | None:
    """What in the pod's own DNS settings keeps names of the cluster from being resolved."""
    spec = _spec(scene, workload)
    policy, config = r.text(spec, "dnsPolicy"), r.mapping(spec, "dnsConfig")
    on_host = r.at(spec, "hostNetwork") is True
    wrong = ""
    if policy == "None":
        wrong = f"dnsPolicy None asks {', '.join(r.strings(config, 'nameservers')) or 'nobody'}"
    elif policy == "Default":
        wrong = "dnsPolicy Default asks the node's servers, which do not know the cluster's names"
    elif on_host and policy in ("", "ClusterFirst"):
        wrong = "on the host's network dnsPolicy has to be ClusterFirstWithHostNet"
    if not wrong:
        return None
    obj = bare(workload)
    proof = [
        evidence("spec", f"DNS settings of {workload.kind} {workload.name}", f"dnsPolicy: {policy}\n{config}", obj=obj)
    ]
    past = scene.history(workload)
    changed = past.changed("dnsPolicy", "dnsConfig", "hostNetwork") if past is not None else []
    if past is not None and changed:
        proof += change_evidence(past, changed)
    return wrong, proof
