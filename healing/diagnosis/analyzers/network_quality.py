"""Slow and lossy networks: of one workload, or of all that runs on a node."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from healing.diagnosis import reading as r, series as s
from healing.diagnosis.analyzers.clocks import node_named
from healing.diagnosis.analyzers.common import workload_ref
from healing.diagnosis.analyzers.responsible import backend_of, target_of
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.latencies import is_slow, outgoing
from healing.diagnosis.requests import is_heard_of, served, served_by_pod
from healing.diagnosis.scene import Scene, is_ready, node_of
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Series

_LOSS = re.compile(
    r"packets?_dropped|_drop_total|_errs_total|retrans|packet_?loss|loss_(?:ratio|percent)|lost_packets", re.IGNORECASE
)
_ROUND_TRIP = re.compile(r"(?:^|_)(?:rtt|ping|icmp|round_?trip|network_latency|net_latency)", re.IGNORECASE)
_TIMED_OUT = re.compile(
    r"timed? ?out|i/o timeout|deadline exceeded|reset by peer|EHOSTUNREACH|no route to host", re.IGNORECASE
)
#: Counters: packets a second that are no accident. Shares: of 1.
_LEAST_RATE, _LEAST_SHARE = 1.0, 0.01
_LEAST_ROUND_TRIP_SECONDS = 0.02
#: On a machine with a bad network a caller waits so many times as long as its siblings, which feel it as well. Where
#: most of its calls fail, packets come later than callers wait: mere losses TCP makes good before that, mostly.
_WORSE, _SUFFERING_SECONDS, _MOST = 1.4, 0.1, 0.5
#: So many lines are no accident.
_FEW = 3


@dataclass(frozen=True, slots=True)
class _Measured:
    about: ObjectRef
    is_loss: bool
    before: float
    after: float
    proof: Evidence


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """NetworkDelay, PacketLoss."""
    measured = [m for one in scene.snapshot.series if (m := _measured(scene, one)) is not None]
    yield from _from_measurements(scene, measured)
    yield from _between(scene)
    yield from _from_logs(scene)


# --- what counts packets or round trips ---


def _measured(scene: Scene, one: Series) -> _Measured | None:
    name = s.name(one)
    is_loss = _LOSS.search(name) is not None
    if not is_loss and not _ROUND_TRIP.search(name):
        return None
    about = _about(scene, one)
    if about is None:
        return None
    is_counter = name.endswith("_total") or "Retrans" in name or "retrans" in name
    points = s.rate(one.points) if is_counter else one.points
    jump = s.shift(points)
    now = s.latest(points)
    if jump is None or now is None or jump.ratio < 3 or now < 0.5 * jump.after:
        return None
    scale = 0.001 if not is_loss and ("_ms" in name or "milli" in name) else 0.01 if "percent" in name else 1.0
    least = _LEAST_RATE if is_counter else _LEAST_SHARE if is_loss else _LEAST_ROUND_TRIP_SECONDS
    if jump.after * scale < least:
        return None
    unit = "1/s" if is_counter else "fraction" if is_loss else "seconds"
    data = {"unit": unit, "threshold": least, "points": [[t, round(v * scale, 5)] for t, v in points[-120:]]}
    text = f"{jump.before * scale:.3g} → {jump.after * scale:.3g} {unit}"
    title = f"{name} of {about.kind} {about.name}"
    proof = evidence("metric", title, text, obj=about, source="prometheus", data=data)
    return _Measured(about, is_loss, jump.before * scale, jump.after * scale, proof)


def _about(scene: Scene, one: Series) -> ObjectRef | None:
    namespace = one.labels.get("namespace", "")
    pod = scene.snapshot.get("Pod", namespace, one.labels.get("pod", ""))
    if pod is not None:
        return bare(scene.snapshot.workload_of(pod))
    for label in ("deployment", "workload", "service", "app"):
        for kind in ("Deployment", "StatefulSet", "DaemonSet"):
            ref = ObjectRef(kind, namespace, one.labels.get(label, ""))
            if ref.name and scene.snapshot.find(ref) is not None:
                return ref
    node = node_named(scene, one)
    return ObjectRef("Node", "", node) if node else None


def _from_measurements(scene: Scene, measured: list[_Measured]) -> Iterator[Hypothesis]:
    for is_loss in (False, True):
        mine: dict[ObjectRef, list[_Measured]] = defaultdict(list)
        for one in measured:
            if one.is_loss is is_loss:
                mine[one.about].append(one)
        if not mine:
            continue
        node = _common_node(scene, {ref for ref in mine if ref.kind != "Node"})
        nodes = [ref for ref in mine if ref.kind == "Node"]
        guilty = [ObjectRef("Node", "", node)] if node and len(mine) > 2 else nodes or list(mine)
        for about in guilty:
            values = mine.get(about) or [m for many in mine.values() for m in many]
            worst = max(values, key=lambda m: m.after)
            what = "loses packets" if is_loss else "is slow"
            proof = [m.proof for m in values[:4]]
            facts = {"node": about.name if about.kind == "Node" else "", "before": worst.before, "after": worst.after}
            yield Hypothesis(
                "PacketLoss" if is_loss else "NetworkDelay",
                about if about.kind == "Node" else workload_ref(scene, about),
                0.88,
                f"The network of {about.kind} {about.name} {what}: {worst.proof.title} {worst.proof.text}.",
                proof,
                facts,
                affected=affected_by(scene, about) | set(mine),
            )


def affected_by(scene: Scene, about: ObjectRef) -> set[ObjectRef]:
    if about.kind != "Node":
        return {about, *scene.around(about)}
    pods = [p for p in scene.snapshot.of_kind("Pod") if node_of(p) == about.name]
    return {bare(ObjectRef.of(p, "Pod")) for p in pods} | {bare(scene.snapshot.workload_of(p)) for p in pods}


def _common_node(scene: Scene, workloads: set[ObjectRef]) -> str:
    """The node all pods of several workloads share while others run elsewhere, or empty."""
    nodes = [{node_of(p) for p in scene.pods.get(w, ())} - {""} for w in workloads]
    if len(nodes) < 2 or not all(nodes):
        return ""
    shared = set.intersection(*nodes)
    known = {node_of(p) for pods in scene.pods.values() for p in pods} - {""}
    return next(iter(shared)) if len(shared) == 1 and len(known) > 1 else ""


# --- what callers see against what the callee sees ---


def _between(scene: Scene) -> Iterator[Hypothesis]:
    """Calls that take longer than the callee takes to answer them."""
    late: dict[ObjectRef, dict[ObjectRef, s.Shift]] = defaultdict(dict)
    proof: dict[ObjectRef, list[Evidence]] = defaultdict(list)
    known = served(scene)
    for (caller, callee), points in outgoing(scene).items():
        seen = is_slow(points)
        if seen is None:
            continue
        own = known.get(callee)
        now = s.latest(own.latency) if own is not None else None
        if own is not None and (is_slow(own.latency) is not None or (now or 0.0) > 0.5 * seen.after):
            continue  # it is the callee itself that takes so long
        if own is None and not known:
            continue
        late[callee][caller] = seen
        data = {"unit": "seconds", "threshold": round(seen.before * 2.5, 4), "points": [list(p) for p in points[-120:]]}
        text = f"{seen.before * 1000:.0f} → {seen.after * 1000:.0f} ms, while {callee.name} itself is as fast as before"
        title = f"Calls of {caller.name} to {callee.name}"
        proof[callee].append(evidence("metric", title, text, obj=caller, source="prometheus", data=data))
    slow_callers = {caller for callers in late.values() for caller in callers}
    node = _common_node(scene, set(late)) if len(late) > 1 else ""
    if len(slow_callers) == 1 and len(late) > 1 and not node:
        about: ObjectRef | None = next(iter(slow_callers))  # its calls to everybody are slow: it is its own network
    else:
        about = ObjectRef("Node", "", node) if node else None
    groups = {about: list(late)} if about is not None else {callee: [callee] for callee in late}
    for ref, callees in groups.items():
        shifts = [shift for callee in callees for shift in late[callee].values()]
        worst = max(shifts, key=lambda shift: shift.after)
        callers = sorted({caller for callee in callees for caller in late[callee]})
        yield Hypothesis(
            "NetworkDelay",
            ref if ref.kind == "Node" else workload_ref(scene, ref),
            0.9,
            f"Calls over the network of {ref.kind} {ref.name} take {worst.after * 1000:.0f} ms instead of"
            f" {worst.before * 1000:.0f} ms, though the called programs answer as fast as before.",
            [e for callee in callees for e in proof[callee]][:4],
            {
                "latency_seconds": round(worst.after, 4),
                "baseline_latency_seconds": round(worst.before, 4),
                "callers": [c.as_json() for c in callers],
                "node": ref.name if ref.kind == "Node" else "",
            },
            affected={*affected_by(scene, ref), *callers},
        )


# --- what logs say ---


def _from_logs(scene: Scene) -> Iterator[Hypothesis]:
    """Calls that time out now and then between programs that are all ready, with one side or one node in common."""
    lost: dict[ObjectRef, set[ObjectRef]] = defaultdict(set)
    slow: dict[ObjectRef, set[ObjectRef]] = defaultdict(set)
    proof: dict[ObjectRef, list[Evidence]] = defaultdict(list)
    for caller, containers in scene.containers.items():
        for container in containers:
            if not container.is_ready or scene.is_crashing(container):
                continue
            for match in scene.matches(container):
                host = match.details.get("host", "")
                if match.kind != "Unreachable" or not host or not _TIMED_OUT.search(match.record.message):
                    continue
                target = target_of(scene, caller, host)
                callee = backend_of(scene, target) if target is not None else None
                if callee is None or scene.has_stopped(match) or not _is_up(scene, callee):
                    continue
                (lost if _is_well(scene, callee) else slow)[caller].add(callee)
                proof[caller] += scene.log_evidence(container, match)
    # who is slow only because its own calls to those that answer at once are lost, is on both ends of the loss
    for caller, callees in slow.items():
        lost[caller] |= {c for c in callees if c in lost and c not in slow and mostly_in_vain(scene, caller, c)}
    lost = {caller: callees for caller, callees in lost.items() if callees}
    if not lost:
        return
    found = _in_common(scene, lost)
    if found is None:
        return
    about, strength, cause = found
    callees = set().union(*lost.values())
    all_proof = [e for many in proof.values() for e in many][:4]
    yield Hypothesis(
        cause,
        about if about.kind == "Node" else workload_ref(scene, about),
        strength,
        f"Calls of {', '.join(sorted(c.name for c in lost))} to {', '.join(sorted(c.name for c in callees))} time out"
        f" now and then, though all of them are ready: what they have in common is {about.kind} {about.name}.",
        all_proof,
        {"node": about.name if about.kind == "Node" else "", "callers": [c.as_json() for c in sorted(lost)]},
        affected={*affected_by(scene, about), *lost, *callees},
    )


def _in_common(scene: Scene, lost: dict[ObjectRef, set[ObjectRef]]) -> tuple[ObjectRef, float, str] | None:
    """(what all lost calls (caller -> callees) have in common, how surely, PacketLoss or NetworkDelay)"""
    callees = set().union(*lost.values())
    # who is called and calls in vain is on both ends of the loss: no machine below the others explains that
    between = [w for w in callees & lost.keys() if all(w == caller or w in many for caller, many in lost.items())]
    if len(between) == 1:
        return between[0], 0.78, "PacketLoss"
    others = {c for callee in callees for c in scene.calls.callers_of(callee)} - lost.keys()
    well = {c for c in others if any(x.is_ready for x in scene.containers.get(c, ()))}
    node = _common_node(scene, callees) if len(callees) > 1 and not well else ""
    node = node or (_common_node(scene, set(lost)) if len(lost) > 1 and len(callees) > 1 else "")
    if node:
        return ObjectRef("Node", "", node), 0.78, "PacketLoss"
    if len(lost) == 1 and len(callees) > 1:
        caller = next(iter(lost))
        if worst := _worst_place(scene, caller, callees):
            return ObjectRef("Node", "", worst[0]), 0.78, "NetworkDelay" if worst[1] else "PacketLoss"
        return caller, 0.72, "PacketLoss"
    if len(callees) == 1 and len(lost) > 1 and callees <= served(scene).keys():  # else: analyzers.waits
        return next(iter(callees)), 0.68, "PacketLoss"
    return None


def _worst_place(scene: Scene, caller: ObjectRef, callees: set[ObjectRef]) -> tuple[str, bool] | None:
    """(node, whether most calls from there fail) on which the caller suffers far more than elsewhere.

    Where one machine's network is bad, a caller on it misses all it calls, and its siblings only what stands there.
    """
    known = served_by_pod(scene)
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for pod in scene.pods.get(caller, ()):
        own = known.get(bare(ObjectRef.of(pod, "Pod")))
        waits = s.latest(own.latency) if own is not None else None
        if own is not None and waits is not None:
            values[node_of(pod)].append((waits, s.latest(own.error_fraction) or 0.0))
    if len(values) < 2:
        return None
    latency = {node: max(v for v, _ in many) for node, many in values.items()}
    node = max(latency, key=lambda name: latency[name])
    others = max(v for name, v in latency.items() if name != node)
    there = any(node_of(pod) == node for callee in callees for pod in scene.pods.get(callee, ()))
    if not node or not there or latency[node] < _WORSE * others or others < _SUFFERING_SECONDS:
        return None
    return node, min(errors for _, errors in values[node]) >= _MOST


def mostly_in_vain(scene: Scene, caller: ObjectRef, callee: ObjectRef) -> bool:
    """Whether more of its failed calls there got no answer at all than a bad one: a program that waits for another
    itself answers in the end, if with an error."""
    counts = {True: 0, False: 0}
    for container in scene.containers.get(caller, ()):
        for match in scene.matches(container):
            host = match.details.get("host", "")
            target = target_of(scene, caller, host) if match.kind == "Unreachable" and host else None
            if target is not None and backend_of(scene, target) == callee and not scene.has_stopped(match):
                counts[bool(_TIMED_OUT.search(match.record.message))] += match.count
    return counts[True] >= _FEW and counts[True] > counts[False]


def _is_well(scene: Scene, workload: ObjectRef) -> bool:
    own = served(scene).get(workload)
    return _is_up(scene, workload) and (own is None or is_slow(own.latency) is None)


def _is_up(scene: Scene, workload: ObjectRef) -> bool:
    """Its pods are ready and run on, and somebody is served and heard of."""
    pods = scene.pods.get(workload, [])
    own = served(scene).get(workload)
    silent = own is not None and own.rate and ((s.latest(own.rate) or 0.0) <= 0 or not is_heard_of(scene, own))
    quiet = not any(
        r.number(c.status, "restartCount") and scene.is_crashing(c) for c in scene.containers.get(workload, ())
    )
    return bool(pods) and all(is_ready(p) for p in pods) and quiet and not silent
