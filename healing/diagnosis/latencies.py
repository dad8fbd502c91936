"""Latency as callers measure it, and when it counts as slow."""

from __future__ import annotations

import re
from collections import defaultdict

from healing.diagnosis import series as s
from healing.diagnosis.calls import callee_of, workload_by_labels
from healing.diagnosis.hypothesis import bare
from healing.diagnosis.scene import Scene
from healing.ports.cluster import ObjectRef
from healing.ports.metrics import Series

#: Slower than this, and this many times slower than before, is a fault.
SLOW_SECONDS, SLOW_RATIO = 0.1, 2.5
#: Slow by itself, with nothing to compare it to.
VERY_SLOW_SECONDS = 1.0
_OUTGOING = re.compile(r"client|outgoing|outbound|upstream|dependency", re.IGNORECASE)
_DURATION = re.compile(r"duration|latency|time|seconds|milliseconds", re.IGNORECASE)


def is_slow(points: s.Points) -> s.Shift | None:
    """How the latency (seconds) has risen; None where it is as ever, or was always so."""
    now = s.latest(points)
    if now is None or now < SLOW_SECONDS:
        return None
    jump = s.shift(points)
    if jump is not None and jump.ratio >= SLOW_RATIO and now >= 0.6 * jump.after:
        return jump
    if now >= VERY_SLOW_SECONDS and (jump is None or jump.after >= VERY_SLOW_SECONDS):
        return s.Shift(jump.before if jump else now, now, points[0][0])
    return None


def outgoing(scene: Scene) -> dict[tuple[ObjectRef, ObjectRef], s.Points]:
    """(caller, callee) -> mean seconds of the calls as the caller sees them."""
    parts: dict[tuple[ObjectRef, ObjectRef], dict[str, list[Series]]] = defaultdict(lambda: defaultdict(list))
    for one in scene.snapshot.series:
        name = s.name(one)
        if not name.endswith(("_sum", "_count")) or not _DURATION.search(name):
            continue
        if not _OUTGOING.search(name) and one.labels.get("reporter") != "source":
            continue
        callee = callee_of(scene.snapshot, one.labels)
        caller = workload_by_labels(scene.snapshot, one.labels)
        backends = scene.calls.backends.get(callee, set()) if callee is not None else set()
        if caller is not None and len(backends) == 1:
            parts[bare(caller), next(iter(backends))][name.rpartition("_")[2]].append(one)
    found = {}
    for pair, kinds in parts.items():
        sums, counts = kinds.get("sum", []), kinds.get("count", [])
        if not sums or not counts:
            continue
        scale = 0.001 if "milliseconds" in s.name(sums[0]) or s.name(sums[0]).endswith("_ms_sum") else 1.0
        number = tuple((t, v) for t, v in s.total(s.rate(one.points) for one in counts) if v > 1e-6)
        points = s.divide(s.total(s.rate(one.points) for one in sums), number)
        found[pair] = tuple((t, v * scale) for t, v in points)
    return found
