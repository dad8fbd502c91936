"""Clocks that are wrong on one node: refused certificates and tokens, log times and metrics that lie off."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from healing.diagnosis import log_records, reading as r, series as s
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.log_rules import Match
from healing.diagnosis.reading import Object
from healing.diagnosis.scene import Container, Scene, node_of
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Series

_SKEWED = re.compile(
    r"not yet valid|used before issued|issued in the future|not valid at this time|clock ?skew|TooSkewed"
    r"|clocks? (?:is|are) (?:not synchroni|out of sync)|\b(?:nbf|iat)\b[^\n]{0,40}(?:future|before|invalid|check)"
    r"|NotBefore|clock moved backwards|time (?:is )?(?:drift|skew)",
    re.IGNORECASE,
)
_OWN_TIME = re.compile(r"current time (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ?) is (?P<side>before|after)")
#: A node whose clock is off by less does no harm; by so much a log may lie ahead of the moment it was read.
_HARMFUL_SECONDS, _AHEAD_SECONDS = 1.0, 20.0
#: A node's time is read some seconds after it was taken.
_TELLING_SECONDS = 5.0


@dataclass(slots=True)
class _Signs:
    skews: list[float] = field(default_factory=list)
    proof: list[Evidence] = field(default_factory=list)
    workloads: set[ObjectRef] = field(default_factory=set)
    is_measured: bool = False


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """ClockSkew."""
    signs: dict[str, _Signs] = defaultdict(_Signs)
    for node, seconds, proof in _by_metrics(scene):
        signs[node].skews.append(seconds)
        signs[node].proof.append(proof)
        signs[node].is_measured = True
    for workload, containers in scene.containers.items():
        complaining = [(c, m) for c in containers for m in scene.matches(c) if _tells_of_skew(scene, m)]
        for container, match in complaining:
            found = signs[node_of(container.pod)]
            found.workloads.add(workload)
            found.proof += scene.log_evidence(container, match)
            own = _own_skew(scene, match)
            if own is not None:
                found.skews.append(own)
    for node, seconds, proof in _ahead(scene):
        signs[node].skews.append(seconds)
        signs[node].proof.append(proof)
        signs[node].is_measured = True
    everywhere = len([n for n in signs if n]) > 1 and not any(x.is_measured for x in signs.values())
    for node, found in signs.items():
        if node and not everywhere:
            yield from _hypothesis(scene, node, found)


def _hypothesis(scene: Scene, node: str, found: _Signs) -> Iterator[Hypothesis]:
    skew = statistics.median(found.skews) if found.skews else None
    if skew is None and len(found.workloads) < 2:
        strength = 0.55
    else:
        strength = 0.93 if found.is_measured else 0.88 if skew is not None else 0.78
    ref = ObjectRef("Node", "", node)
    shown = f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}" if skew is not None else "off"
    on_it = {bare(ObjectRef.of(p, "Pod")) for p in scene.snapshot.of_kind("Pod") if node_of(p) == node}
    yield Hypothesis(
        "ClockSkew",
        ref,
        strength,
        f"The clock of node {node} is {shown}.",
        found.proof[:6],
        {"node": node, "skew_seconds": round(skew, 1) if skew is not None else None},
        affected={*found.workloads, *on_it, *(near for w in found.workloads for near in scene.around(w))},
    )


def _tells_of_skew(scene: Scene, match: Match) -> bool:
    message = match.record.message
    if match.kind == "CertificateExpired" and _OWN_TIME.search(message):
        own = _own_skew(scene, match)
        return own is not None and abs(own) > 60
    return _SKEWED.search(message) is not None and "expired or is not yet" not in message


def _own_skew(scene: Scene, match: Match) -> float | None:
    """How far the program's own time lies off, where it says what time it has."""
    said = _OWN_TIME.search(match.record.message)
    at = r.moment(said["at"]) if said else None
    return (at - scene.now).total_seconds() if at is not None else None


def _by_metrics(scene: Scene) -> Iterator[tuple[str, float, Evidence]]:
    """Nodes whose clock lies off; what all nodes show alike is the clock of whoever asked them."""
    times: dict[str, tuple[float, Series]] = {}
    for one in scene.snapshot.series:
        name = s.name(one)
        if name not in ("node_timex_offset_seconds", "node_ntp_offset_seconds", "node_time_seconds") or not one.points:
            continue
        node = node_named(scene, one)
        is_time = name == "node_time_seconds"
        seconds = s.latest(tuple((t, v - t) for t, v in one.points) if is_time else one.points)
        if not node or seconds is None:
            continue
        if is_time:
            times[node] = (seconds, one)
        elif abs(seconds) >= _HARMFUL_SECONDS:
            yield node, seconds, _metric(node, one, seconds, _HARMFUL_SECONDS)
    usual = statistics.median_low(v for v, _ in times.values()) if len(times) > 1 else 0.0
    for node, (seconds, one) in times.items():
        if abs(seconds - usual) >= _TELLING_SECONDS:
            yield node, seconds - usual, _metric(node, one, seconds - usual, _TELLING_SECONDS)


def _metric(node: str, one: Series, seconds: float, least: float) -> Evidence:
    data = {"unit": "seconds", "threshold": least, "points": [[t, v] for t, v in one.points[-60:]]}
    about = ObjectRef("Node", "", node)
    return evidence(
        "metric", f"{s.name(one)} of {node}", f"{seconds:+.1f} s", obj=about, source="prometheus", data=data
    )


def node_named(scene: Scene, one: Series) -> str:
    """The node a series is about, by its labels: its name, or an address of the node."""
    for label in ("node", "nodename", "kubernetes_node", "kubernetes_io_hostname", "instance", "host", "hostname"):
        value = one.labels.get(label, "")
        if not value:
            continue
        if scene.snapshot.get("Node", "", value) is not None:
            return value
        host = value.rpartition(":")[0] or value
        if scene.snapshot.get("Node", "", host) is not None:
            return host
        for node in scene.snapshot.of_kind("Node"):
            if any(r.text(a, "address") == host for a in r.dicts(node, "status", "addresses")):
                return r.text(node, "metadata", "name")
    return ""


def _ahead(scene: Scene) -> Iterator[tuple[str, float, Evidence]]:
    """Nodes whose programs write log lines of the future; only where the moment of reading is known."""
    if scene.snapshot.live_now is None:
        return
    found: dict[str, list[tuple[float, Object]]] = defaultdict(list)
    for containers in scene.containers.values():
        for container in containers:
            ahead = _seconds_ahead(scene, container)
            if ahead is not None:
                found[node_of(container.pod)].append((ahead, container.pod))
    for node, values in found.items():
        seconds = statistics.median(v for v, _ in values)
        if node and seconds >= _AHEAD_SECONDS:
            pod = bare(ObjectRef.of(values[0][1], "Pod"))
            text = f"its last line lies {seconds:.0f} s ahead of the moment it was read"
            yield node, seconds, evidence("log", f"Log times of {pod.name}", text, obj=pod, source="logs")


def _seconds_ahead(scene: Scene, container: Container) -> float | None:
    log = scene.snapshot.log(container.pod, container.name)
    if not log:
        return None
    for line in reversed(log[-4000:].splitlines()):
        at = log_records.dated(line)
        if at is not None:
            return (at - scene.now).total_seconds()
    return None
