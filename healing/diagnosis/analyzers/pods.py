"""One pod of several fails its requests or answers late: its siblings run the same program and are well."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from healing.diagnosis import reading as r, series as s
from healing.diagnosis.analyzers.common import workload_ref
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.reading import Object
from healing.diagnosis.requests import Requests, served_by_pod
from healing.diagnosis.revisions import made_from
from healing.diagnosis.scene import Scene, node_of
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: A bad pod is over the first and so many times as bad as its siblings, which are under the first.
_FAILING, _SLOW_SECONDS, _RATIO = 0.05, 0.2, 3.0
#: Fewer requests a second say nothing of a pod.
_LEAST_RATE = 10 / 60
#: So many of the last points, or seconds, tell how a pod is now; of an isolated pod those of its last requests.
_POINTS, _LAST_SECONDS = 2, 25.0
#: Numbers that ended longer ago are of another fault.
_STALE_SECONDS = 300.0


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """FaultyPod; of several workloads on one node NetworkDelay or FaultyNode."""
    if not scene.snapshot.series:
        return
    on_node: dict[str, list[tuple[Hypothesis, bool]]] = defaultdict(list)
    by_pod = served_by_pod(scene)
    for workload, pods in scene.pods.items():
        known = _known(scene, pods, by_pod)
        if len(known) < 2:
            continue
        for is_slow, value_of, least in ((False, _error_rate, _FAILING), (True, _latency, _SLOW_SECONDS)):
            values = {name: value for name, (_, found) in known.items() if (value := value_of(found)) is not None}
            bad = _outliers(values, least)
            if bad and not _is_a_revision({name: pod for name, (pod, _) in known.items()}, bad):
                hypothesis = _hypothesis(scene, workload, known, values, bad, is_slow=is_slow)
                nodes = {node_of(known[name][0]) for name in bad}
                if len(nodes) == 1 and not nodes & {
                    node_of(pod) for name, (pod, _) in known.items() if name not in bad
                }:
                    on_node[nodes.pop()].append((hypothesis, is_slow))
                yield hypothesis
                break
    for node, many in on_node.items():
        if node and len(many) > 1:
            yield _of_node(scene, node, many)


def well_siblings(scene: Scene, workload: ObjectRef, *, is_slow: bool) -> list[Object]:
    """Pods that do well beside a bad minority that runs the same revision; empty where there is no such minority."""
    known = _known(scene, scene.pods.get(bare(workload), ()), served_by_pod(scene))
    value_of = _latency if is_slow else _error_rate
    values = {name: value for name, (_, found) in known.items() if (value := value_of(found)) is not None}
    bad = _outliers(values, _SLOW_SECONDS if is_slow else _FAILING)
    revisions = {made_from(known[name][0]) for name in bad}
    return [known[name][0] for name in values if name not in bad and made_from(known[name][0]) in revisions]


def _known(
    scene: Scene, pods: Sequence[Object], by_pod: dict[ObjectRef, Requests]
) -> dict[str, tuple[Object, Requests]]:
    """The pods, by name, whose requests say how they are."""
    return {
        r.text(pod, "metadata", "name"): (pod, found)
        for pod in pods
        if (found := by_pod.get(bare(ObjectRef.of(pod, "Pod")))) is not None and _says_something(scene, found)
    }


def _of_node(scene: Scene, node: str, many: list[tuple[Hypothesis, bool]]) -> Hypothesis:
    """Pods of several workloads are bad on one node only. Whoever calls nobody is not slow for the network."""
    workloads = sorted(bare(found.object) for found, _ in many)
    is_network = all(is_slow and scene.calls.services.get(bare(found.object)) for found, is_slow in many)
    ref = ObjectRef("Node", "", node)
    names = ", ".join(w.name for w in workloads)
    what = "wait long for what they call" if is_network else "are slow or fail"
    pods = sorted({name for found, _ in many for name in found.facts["pods"]})
    on_it = {bare(ObjectRef.of(p, "Pod")) for p in scene.pods_by_node.get(node, ())}
    return Hypothesis(
        "NetworkDelay" if is_network else "FaultyNode",
        ref,
        0.9,
        f"Pods of {names} on node {node} {what}; their siblings on other nodes do well.",
        [e for found, _ in many for e in found.evidence[:2]][:6],
        {"node": node, "pods": pods, "callers": [w.as_json() for w in workloads] if is_network else []},
        affected={*on_it, *workloads, *(near for w in workloads for near in scene.around(w))},
    )


def _says_something(scene: Scene, found: Requests) -> bool:
    busy = _last([point for point in found.rate if point[1] > 0])
    if not busy or scene.now.timestamp() - busy[-1][0] > _STALE_SECONDS:
        return False
    return max(value for _, value in busy) >= _LEAST_RATE


def _error_rate(found: Requests) -> float | None:
    """Of its last requests."""
    failed = dict(found.errors)
    last = _last([point for point in found.rate if point[1] > 0])
    total = sum(value for _, value in last)
    return sum(failed.get(time, 0.0) for time, _ in last) / total if total > 0 else None


def _latency(found: Requests) -> float | None:
    return s.latest(found.latency, len(_last(found.latency)))


def _last(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """The last points, however close they lie: so many seconds, and at least `_POINTS`."""
    count = sum(points[-1][0] - time < _LAST_SECONDS for time, _ in points) if points else 0
    return points[-max(count, _POINTS) :]


def _outliers(values: dict[str, float], least: float) -> list[str]:
    """The minority that is bad while all others are well, worst first."""
    bad = [name for name, value in values.items() if value >= least]
    well = [value for name, value in values.items() if name not in bad]
    if not bad or not (2 * len(bad) < len(values) or (len(bad), len(values)) == (1, 2)):
        return []
    bad = [name for name in bad if values[name] >= _RATIO * max(well)]
    return sorted(bad, key=lambda name: (-values[name], name))


def _is_a_revision(pods: dict[str, Object], bad: list[str]) -> bool:
    """Whether exactly the bad ones are of another revision than the rest: then it is that revision's fault."""

    rest = {made_from(pod) for name, pod in pods.items() if name not in bad}
    return not {made_from(pods[name]) for name in bad} & rest


def _hypothesis(
    scene: Scene,
    workload: ObjectRef,
    known: dict[str, tuple[Object, Requests]],
    values: dict[str, float],
    bad: list[str],
    *,
    is_slow: bool,
) -> Hypothesis:
    shown: Callable[[float], str] = (lambda v: f"{v * 1000:.0f} ms") if is_slow else (lambda v: f"{v:.0%}")
    worst, others = bad[0], sorted(name for name in values if name not in bad)
    peers = max(values[name] for name in others)
    pod, _ = known[worst]
    does = f"answers in {shown(values[worst])}" if is_slow else f"fails {shown(values[worst])} of its requests"
    more = f" ({len(bad)} pods do)" if len(bad) > 1 else ""
    compared = f"{len(others)} other pod{'s' if len(others) > 1 else ''} of {workload.name}"
    facts: dict[str, Any] = {
        "pods": bad,
        "node": node_of(pod),
        "latency_seconds" if is_slow else "error_rate": round(values[worst], 4),
        "others": round(peers, 4),
    }
    return Hypothesis(
        "FaultyPod",
        workload_ref(scene, workload),
        0.86 if len(others) > 1 or values[worst] >= 2 * _RATIO * peers else 0.75,
        f"Pod {worst} {does}{more}; the {compared} with the same program: at most {shown(peers)}.",
        [_evidence(name, *known[name], is_slow=is_slow) for name in (worst, *others[:2])],
        facts,
        affected=scene.around(workload),
    )


def _evidence(name: str, pod: Object, found: Requests, *, is_slow: bool) -> Evidence:
    points = found.latency if is_slow else found.error_fraction or tuple((t, 0.0) for t, _ in found.rate)
    unit = "seconds" if is_slow else "fraction"
    return evidence(
        "metric",
        f"{'Mean latency' if is_slow else 'Failed requests'} of pod {name}",
        f"now {points[-1][1]:.3g} {unit}" if points else "",
        obj=bare(ObjectRef.of(pod, "Pod")),
        source="prometheus",
        data={
            "unit": unit,
            "threshold": _SLOW_SECONDS if is_slow else _FAILING,
            "points": [[t, round(v, 5)] for t, v in points[-120:]],
            "metrics": sorted(found.metrics),
        },
    )
