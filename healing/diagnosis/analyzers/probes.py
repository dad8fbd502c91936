"""Probes: ask the wrong thing, or ask rightly and are told that something is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from healing.diagnosis import reading as r
from healing.diagnosis.analyzers.common import (
    change_evidence,
    is_killed_by_probe,
    rollout_blame,
    status_evidence,
    workload_ref,
)
from healing.diagnosis.analyzers.service_ports import LISTENING
from healing.diagnosis.hypothesis import Hypothesis, of_event
from healing.diagnosis.objects import Event
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import RECENT, Container, Scene, is_ready
from healing.ports.cluster import ObjectRef

_FAILED = re.compile(
    r"^(?P<probe>Liveness|Readiness|Startup) probe (?:failed|errored)(?: and resulted in .*?)?:? ?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_PORT = re.compile(r"(?:dial tcp \S*?|https?://[^\s/\"]+?|timeout: failed to connect service \"\S*?):(?P<port>\d+)")
_PATH = re.compile(r"https?://[^/\s\"]+(?P<path>/[^\s\"]*)")
_REFUSED = re.compile(
    r"connection refused|connect: no route|failed to connect service|connection reset by peer", re.IGNORECASE
)
_STATUS = re.compile(r"statuscode: (?P<code>\d{3})", re.IGNORECASE)
_SCHEME = re.compile(
    r"server gave HTTP response to HTTPS client|malformed HTTP (?:response|status)|first record does not look like a"
    r" TLS",
    re.IGNORECASE,
)
_TIMEOUT = re.compile(
    r"context deadline exceeded|Client\.Timeout|i/o timeout|command timed out|timeout:", re.IGNORECASE
)

#: A garbage collection or a full queue takes longer.
_SHORT_SECONDS = 2


@dataclass(frozen=True, slots=True)
class _Failure:
    kind: str  # Liveness, Readiness, Startup
    container: Container
    event: Event
    rest: str


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """LivenessProbeMisconfigured, ReadinessProbeMisconfigured, StartupProbeMisconfigured, ApplicationNotReady."""
    for workload, pods in scene.pods.items():
        failures = [f for pod in pods for f in _failures(scene, pod, scene.containers[workload])]
        for kind, name in dict.fromkeys((f.kind, f.container.name) for f in failures):
            mine = [f for f in failures if (f.kind, f.container.name) == (kind, name)]
            yield _judge(scene, workload, max(mine, key=lambda f: (f.event.count, f.event.last or scene.now)), mine)


def _failures(scene: Scene, pod: Object, containers: list[Container]) -> Iterator[_Failure]:
    """The latest failure of each probe that still matters: the pod is not ready, or was restarted for it."""
    ready = is_ready(pod)
    latest: dict[str, tuple[Event, str]] = {}
    for event in scene.snapshot.events(pod, "Unhealthy", "ProbeError"):
        match = _FAILED.match(event.message)
        if match:
            latest[match["probe"].capitalize()] = (event, match["rest"])
    killed = [
        e for e in scene.snapshot.events(pod, "Killing") if re.search("failed (liveness|startup) probe", e.message)
    ]
    for kind, (event, rest) in latest.items():
        if event.last is not None and scene.now - event.last > RECENT:
            continue
        container = _probed(pod, kind, containers, event)
        if container is None or _explained(scene, container):
            continue
        if kind == "Readiness" and (ready or container.restarts > 2 or not container.is_running):
            continue  # a container that crashes is not ready: that is no news
        if kind != "Readiness" and not killed and (ready or event.count < 2):
            continue
        if kind == "Readiness" and event.count < 2 and event.last and _young(scene, pod):
            continue
        yield _Failure(kind, container, event, rest)


def _young(scene: Scene, pod: Object) -> bool:
    started = r.moment(pod, "status", "startTime") or r.moment(pod, "metadata", "creationTimestamp")
    return started is not None and (scene.now - started).total_seconds() < 15


def _explained(scene: Scene, container: Container) -> bool:
    """Whether it ends by itself; then its probes only follow."""
    by_itself = container.exit_code not in (None, 0, 137, 143) and not is_killed_by_probe(scene, container)
    return container.was_oom_killed or (by_itself and scene.is_crashing(container))


def _probed(pod: Object, kind: str, containers: list[Container], event: Event) -> Container | None:
    key = f"{kind.lower()}Probe"
    mine = [c for c in containers if c.pod is pod and not c.is_init and r.mapping(c.spec, key)]
    port = _PORT.search(event.message)
    if port and len(mine) > 1:
        exact = [c for c in mine if probe_port(c, key) == int(port["port"])]
        mine = exact or mine
    return next((c for c in mine if not c.is_ready), mine[0] if mine else None)


def probe_port(container: Container, key: str) -> int | None:
    """The port number a probe asks, names resolved."""
    probe = r.mapping(container.spec, key)
    raw = next((r.at(probe, how, "port") for how in ("httpGet", "tcpSocket", "grpc") if r.mapping(probe, how)), None)
    if isinstance(raw, str):
        named = {r.text(p, "name"): r.number(p, "containerPort") for p in r.dicts(container.spec, "ports")}
        return named.get(raw) or (int(raw) if raw.isdigit() else None)
    return raw if isinstance(raw, int) else None


def _judge(scene: Scene, workload: ObjectRef, failure: _Failure, all_failures: list[_Failure]) -> Hypothesis:
    container, rest = failure.container, failure.rest
    key = f"{failure.kind.lower()}Probe"
    field, strength, words, suggested = _what_is_wrong(scene, container, key, rest)
    past, blame = rollout_blame(scene, workload, [f.container for f in all_failures])
    facts: dict[str, Any] = {"probe": key, "field": field, "container": container.name}
    facts |= {"port": probe_port(container, key), "path": r.text(container.spec, key, "httpGet", "path")}
    if suggested:
        facts["suggested_port"] = suggested
    proof = [of_event(failure.event), status_evidence(container), *scene.log_evidence(container)]
    misconfigured = bool(field)
    changed = past.changed(f"[{container.name}].{key}") if past is not None else []
    if past is not None and past.good is not None and blame >= 0.5:
        facts |= past.facts()
        if changed:
            misconfigured, strength = True, 0.95
            field = field or changed[0].path.rpartition(".")[2]
            facts["field"] = field
            proof += change_evidence(past, changed)
            words += f" Revision {past.current.number} changed the probe."
        elif past.changed(".image"):
            # the same question to a new program: the program changed, not the probe
            misconfigured = misconfigured and field == "port" and bool(suggested)
            strength = min(strength, 0.6)
    cause = f"{failure.kind}ProbeMisconfigured" if misconfigured else "ApplicationNotReady"
    if not misconfigured:
        strength = min(strength, 0.66)
    effect = "The container is restarted for it" if failure.kind != "Readiness" else "The pod gets no traffic"
    return Hypothesis(
        cause,
        workload_ref(scene, workload),
        strength,
        f"The {failure.kind.lower()} probe of container {container.name} fails: {words} {effect}.",
        proof,
        facts,
        affected=scene.around(workload),
        since=failure.event.first,
    )


def _what_is_wrong(scene: Scene, container: Container, key: str, rest: str) -> tuple[str, float, str, int | None]:
    """(field of the probe that is wrong or empty, strength, words, port to ask instead)"""
    declared = [r.number(p, "containerPort") for p in r.dicts(container.spec, "ports")]
    port = probe_port(container, key)
    if port is None and isinstance(r.at(container.spec, key, "httpGet", "port"), str):
        return (
            "port",
            0.95,
            f"it asks a port name that the container does not have ({rest[:120]}).",
            next(iter(declared), None),
        )
    if _SCHEME.search(rest):
        return "scheme", 0.95, f"it speaks the wrong scheme ({rest[:120]}).", None
    if _REFUSED.search(rest):
        listening = [int(m["port"]) for m in LISTENING.finditer(scene.log_of(container))]
        other = next((p for p in (*listening[::-1], *declared) if p and p != port), None)
        if listening and port not in listening:
            return (
                "port",
                0.95,
                f"nothing listens on port {port}; the program says it listens on {listening[-1]}.",
                listening[-1],
            )
        if declared and port not in declared:
            return "port", 0.92, f"nothing listens on port {port}, which the container does not declare.", other
        if key != "readinessProbe" and port in declared and _too_early(container, key):
            return "timing", 0.75, f"the program does not listen yet when it is asked ({rest[:120]}).", None
        return "port" if not declared else "", 0.7 if not declared else 0.6, f"nothing listens on port {port}.", other
    status = _STATUS.search(rest)
    if status:
        code = int(status["code"])
        path = r.text(container.spec, key, "httpGet", "path") or "/"
        if code == 404:
            return "path", 0.92, f"the program answers 404 for {path}.", None
        if code in (301, 302, 307, 308, 400, 401, 403, 405, 426):
            return "path", 0.8, f"the program answers {code} for {path}.", None
        return "", 0.66, f"the program answers {code} for {path}: it says itself that it is not well.", None
    if _TIMEOUT.search(rest):
        return _no_answer(container, key)
    if r.mapping(container.spec, key, "exec"):
        if re.search(r"executable file not found|no such file or directory: unknown|OCI runtime exec failed", rest):
            return "command", 0.93, f"its command does not exist ({rest[:160]}).", None
        return "", 0.62, f"its command says: {rest.strip()[:160]}.", None
    return "", 0.5, f"{rest.strip()[:160]}.", None


def _no_answer(container: Container, key: str) -> tuple[str, float, str, int | None]:
    """As `_what_is_wrong`, of a probe that waited in vain."""
    seconds = r.number(container.spec, key, "timeoutSeconds", default=1)
    if key != "readinessProbe" and _too_early(container, key):
        return "timing", 0.72, f"no answer within {seconds} s while the program still starts.", None
    if key == "livenessProbe" and _is_hasty(container):
        words = f"no answer within {seconds} s, once, and it is killed. Whoever is busy for a moment answers later."
        return "timing", 0.78, words, None
    return "", 0.6, f"no answer within {seconds} s: the program hangs or is overloaded.", None


def _is_hasty(container: Container) -> bool:
    """One slow answer kills a program that has served before: what is meant to find programs that hang finds busy
    ones, and leaves the others with more to do."""
    probe = r.mapping(container.spec, "livenessProbe")
    is_first_enough = r.number(probe, "failureThreshold", default=3) == 1
    is_short = r.number(probe, "timeoutSeconds", default=1) <= _SHORT_SECONDS
    lived = container.lifetime_seconds
    return is_first_enough and is_short and lived is not None and lived > r.number(probe, "initialDelaySeconds")


def _too_early(container: Container, key: str) -> bool:
    """Killed each time about when the probe gives up for the first time, so it never had time to start."""
    probe = r.mapping(container.spec, key)
    patience = r.number(probe, "initialDelaySeconds") + r.number(probe, "periodSeconds", default=10) * r.number(
        probe, "failureThreshold", default=3
    )
    lived = container.lifetime_seconds
    grace = r.number(container.pod, "spec", "terminationGracePeriodSeconds", default=30)
    return lived is not None and container.exit_code in (137, 143) and lived <= patience + grace + 10
