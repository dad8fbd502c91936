"""Containers that are killed for their memory: a limit too low, a leak, or the node."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from healing.diagnosis import reading as r, series as s
from healing.diagnosis.analyzers.common import change_evidence, rollout_blame, status_evidence, workload_ref
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.links import prometheus_graph
from healing.diagnosis.revisions import History
from healing.diagnosis.scene import RECENT, Container, Scene, node_of
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_METRICS = ("container_memory_working_set_bytes", "container_memory_rss", "container_memory_usage_bytes")
#: Killed this soon after its start, a program never had what it needs.
_AT_START_SECONDS = 30.0
#: A life that took at least this long shows whether memory grows.
_LIFE_SECONDS = 60.0
#: So long below its limit, a program had what it needed.
_STEADY_SECONDS = 120.0
#: Not killed yet, but so near to its limit while growing that it will be.
_NEAR_LIMIT = 0.8
_HEADROOM = 1.5
#: With fewer samples a growth is only a jump.
_FEWEST_POINTS = 4


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """MemoryLimitTooLow and MemoryLeak; NodeMemoryPressure where the limit was not reached."""
    for workload, containers in scene.containers.items():
        for name in dict.fromkeys(c.name for c in containers):
            mine = [c for c in containers if c.name == name]
            killed = [c for c in mine if _killed(scene, c)]
            points = {r.text(c.pod, "metadata", "name"): memory_of(scene, c) for c in mine}
            if killed:
                yield _judge(scene, workload, killed, points)
            else:
                yield from _growing(scene, workload, mine, points)


def memory_of(scene: Scene, container: Container) -> s.Points:
    """The container's working set over time, from the first metric that has it."""
    ref = ObjectRef.of(container.pod)
    series = scene.series_by_pod.get((ref.namespace, ref.name), ())
    for metric in _METRICS:
        found = s.matching(series, (metric,), container=container.name)
        if found:
            return s.total(s.finite(one.points) for one in found)
    return ()


def _killed(scene: Scene, container: Container) -> bool:
    if not container.was_oom_killed:
        return False
    since = scene.now - container.finished_at if container.finished_at else RECENT
    return container.waiting == "CrashLoopBackOff" or since <= RECENT


def _judge(scene: Scene, workload: ObjectRef, killed: list[Container], points: dict[str, s.Points]) -> Hypothesis:
    container = max(killed, key=lambda c: (c.restarts, c.finished_at or scene.now))
    limit = r.quantity(r.at(container.spec, "resources", "limits", "memory"))
    past, blame = rollout_blame(scene, workload, killed)
    proof = [status_evidence(container)]
    peak = max((v for p in points.values() for _, v in p), default=None)
    facts: dict[str, Any] = {"container": container.name, "memory_limit_bytes": limit, "peak_memory_bytes": peak}
    facts |= past.facts() if past is not None and past.good is not None and blame >= 0.5 else {}
    affected = scene.around(workload)
    if limit is None or (peak is not None and points_are_dense(points) and peak < 0.6 * limit):
        node = node_of(container.pod)
        about = ObjectRef("Node", "", node) if node else workload_ref(scene, workload)
        words = (
            "has no memory limit" if limit is None else f"was killed at {r.as_memory(peak or 0)}, below its own limit"
        )
        return Hypothesis(
            "NodeMemoryPressure",
            about,
            0.66 if limit is None else 0.6,
            f"Container {container.name} {words}: the node ran out of memory.",
            proof,
            {"node": node, "container": container.name},
            affected=affected,
        )
    lowered = _lowered(past, container.name)
    theirs = {r.text(c.pod, "metadata", "name") for c in killed}
    life = _life({name: one for name, one in points.items() if name in theirs}) or _life(points)
    growth = (_growth(life, limit) or s.trend(life)) if life else None
    lifetime = container.lifetime_seconds
    proof += _series_evidence(scene, container, points, limit)
    if lowered is not None and lowered[1] < lowered[0] and _since_change(scene, past, killed):
        assert past is not None
        proof += change_evidence(past, past.changed("resources.limits.memory"))
        facts |= past.facts() | _suggestion(max(lowered[0], (peak or 0) * 1.2))
        return Hypothesis(
            "MemoryLimitTooLow",
            workload_ref(scene, workload),
            0.95,
            f"Container {container.name} is OOM-killed since its memory limit was lowered from"
            f" {r.as_memory(lowered[0])} to {r.as_memory(lowered[1])} in revision {past.current.number}.",
            proof,
            facts,
            affected=affected,
            since=past.started,
        )
    leak = _leak_strength(growth, lifetime, limit)
    grows = _grows_from_well_below(points, life, growth, limit)
    if leak < 0.5 and (grows or _was_enough(points, limit) or _regressed(past, blame, container, points, limit)):
        leak = 0.82
    if leak >= 0.5:
        brought = past is not None and blame >= 0.7 and bool(past.changed(".image"))
        facts |= {"growth_bytes_per_second": round(growth.slope, 1) if growth else None}
        if past is not None and brought:
            proof += change_evidence(past)
        words = f" It began with revision {past.current.number}." if past is not None and brought else ""
        rate = f" by {r.as_memory(growth.slope * 60)} a minute" if growth and growth.slope > 0 else ""
        lived = f" after {lifetime:.0f} s" if lifetime else ""
        return Hypothesis(
            "MemoryLeak",
            workload_ref(scene, workload),
            leak,
            f"The memory of container {container.name} grows{rate} until it is OOM-killed{lived}"
            f" at its limit of {r.as_memory(limit)}.{words}",
            proof,
            facts | _suggestion(limit * 2),
            affected=affected,
        )
    strength = 0.9 if lifetime is not None and lifetime <= _AT_START_SECONDS else 0.7
    if not life:
        strength -= 0.05
    soon = f" {lifetime:.0f} s after its start" if lifetime is not None else ""
    return Hypothesis(
        "MemoryLimitTooLow",
        workload_ref(scene, workload),
        strength,
        f"Container {container.name} is OOM-killed{soon}: its limit of {r.as_memory(limit)} is less than it needs.",
        proof,
        facts | _suggestion(max(limit * 2, (peak or 0) * _HEADROOM)),
        affected=affected,
    )


def _growing(
    scene: Scene, workload: ObjectRef, containers: list[Container], points: dict[str, s.Points]
) -> Iterator[Hypothesis]:
    """Near the limit and steadily growing: killed soon, though not yet."""
    for container in containers:
        limit = r.quantity(r.at(container.spec, "resources", "limits", "memory"))
        mine = points.get(r.text(container.pod, "metadata", "name"), ())
        if not limit or not mine or not container.is_running:
            continue
        lives = s.split_at_resets(mine)
        if not lives or lives[-1][-1][1] < _NEAR_LIMIT * limit:
            continue
        now, growth = lives[-1][-1][1], _growth(lives[-1], limit)
        if growth is None:
            continue
        left = max(0.0, (limit - now) / growth.slope)
        if left > 3600:
            continue
        facts = {
            "container": container.name,
            "memory_limit_bytes": limit,
            "growth_bytes_per_second": round(growth.slope, 1),
            "seconds_to_limit": round(left),
        }
        yield Hypothesis(
            "MemoryLeak",
            workload_ref(scene, workload),
            0.78,
            f"The memory of container {container.name} has grown to {now / limit:.0%} of its limit"
            f" and reaches it in about {left / 60:.0f} min.",
            _series_evidence(scene, container, points, limit),
            facts | _suggestion(limit * 2),
            affected=scene.around(workload),
        )
        return


def points_are_dense(points: dict[str, s.Points]) -> bool:
    """Whether samples are close enough (15 s) that a peak would have been seen."""
    best = max(points.values(), key=len, default=())
    return len(best) >= 8 and (best[-1][0] - best[0][0]) / (len(best) - 1) <= 15


def _life(points: dict[str, s.Points]) -> s.Points:
    """The longest life of one process that was seen."""
    lives = [life for p in points.values() for life in s.split_at_resets(p)]
    return max(lives, key=lambda life: life[-1][0] - life[0][0], default=())


def _leak_strength(growth: s.Trend | None, lifetime: float | None, limit: float) -> float:
    """How surely memory grew over a whole life instead of jumping up at its start."""
    if growth is not None and growth.seconds >= _LIFE_SECONDS:
        rise = (growth.last - growth.first) / limit
        if growth.slope > 0 and growth.fit >= 0.75 and rise >= 0.25:
            return 0.9
        return 0.45 if (lifetime or 0) > 300 else 0.2
    if lifetime is None or lifetime <= _AT_START_SECONDS:
        return 0.0
    return 0.62 if lifetime > 300 else 0.56 if lifetime > 90 else 0.3


def _grows_from_well_below(points: dict[str, s.Points], life: s.Points, growth: s.Trend | None, limit: float) -> bool:
    """Steady growth of a process that had enough before, or whose siblings have: the limit is not what is wrong."""
    if growth is None or growth.fit < 0.75 or growth.last - growth.first < 0.25 * limit:
        return False
    before = [(t, v) for t, v in life if t < life[-1][0] - growth.seconds]
    own = (
        len(before) > 1
        and before[-1][0] - before[0][0] >= growth.seconds / 2
        and max(v for _, v in before) < 0.7 * limit
    )
    siblings = [
        one for one in points.values()
        if one and life and one[-1] not in life and one[-1][0] - one[0][0] >= 1.5 * growth.seconds
    ]  # fmt: skip
    return own or (bool(siblings) and all(max(v for _, v in one) < 0.6 * limit for one in siblings))


def _regressed(
    past: History | None, blame: float, container: Container, points: dict[str, s.Points], limit: float
) -> bool:
    """A new program under the old limit, which was enough for the old one, and which lives for a while, or climbs."""
    if past is None or past.good is None or blame < 0.7:
        return False
    if not past.changed(f"[{container.name}].image") or past.changed(f"[{container.name}].resources"):
        return False
    lives = (container.lifetime_seconds or 0) >= _AT_START_SECONDS
    return lives or any(_climbs(life, limit) for one in points.values() for life in s.split_at_resets(one))


def _climbs(life: s.Points, limit: float) -> bool:
    """Sample by sample, and not in one jump, even if there are but a few: what is killed soon is not seen often."""
    steps = [after - before for (_, before), (_, after) in pairwise(life)]
    if len(steps) < 2 or min(steps) < 0.02 * limit:
        return False
    return sum(steps) >= 0.25 * limit and max(steps) <= 0.7 * sum(steps)


def _was_enough(points: dict[str, s.Points], limit: float) -> bool:
    """An earlier life of the same pods stayed well below the limit for minutes: then the limit is not what changed."""
    for one in points.values():
        for life in s.split_at_resets(one):
            steady = [v for _, v in life[: max(4, len(life) // 2)]]
            if life[-1][0] - life[0][0] >= _STEADY_SECONDS and max(steady) < 0.7 * limit:
                return True
    return False


def _growth(life: s.Points, limit: float) -> s.Trend | None:
    """The steady growth that a process shows now: of its whole life, or since it began to grow (then the steepest)."""
    count, found = len(life), []
    while count >= _FEWEST_POINTS or count == len(life):
        window = life[-count:]
        growth = s.trend(window)
        if growth is not None and growth.slope > 0 and growth.fit >= 0.7 and _still_rising(window):
            rise = growth.last - growth.first
            # a slope of nearly nothing, from all the time in which nothing grew, is not the growth of now
            if rise >= 0.2 * limit and growth.slope * growth.seconds >= rise / 2 and not _is_jump(window, rise):
                found.append(growth)
        count = count * 2 // 3
    return max(found, key=lambda growth: growth.slope, default=None)


def _is_jump(window: s.Points, rise: float) -> bool:
    return max(after - before for (_, before), (_, after) in pairwise(window)) > 0.6 * rise


def _still_rising(life: s.Points) -> bool:
    """The last quarter is higher than the one before: a plateau is no leak."""
    quarter = max(2, len(life) // 4)
    last, before = s.latest(life, quarter), s.latest(life[:-quarter], quarter)
    return last is not None and before is not None and last > before * 1.02


def _lowered(past: History | None, container: str) -> tuple[float, float] | None:
    for change in past.changed(f"[{container}].resources.limits.memory", f"[{container}].resources") if past else ():
        before, after = _memory_in(change.before), _memory_in(change.after)
        if before is not None and after is not None:
            return before, after
    return None


def _memory_in(value: Any) -> float | None:
    if isinstance(value, dict):
        return r.quantity(r.at(value, "limits", "memory") or value.get("memory"))
    return r.quantity(value)


def _since_change(scene: Scene, past: History | None, killed: list[Container]) -> bool:
    """Only pods of the current revision are killed."""
    if past is None or not past.current.hash:
        return past is not None
    labels = [r.labels(c.pod, "metadata", "labels").values() for c in killed]
    return all(past.current.hash in values for values in labels)


def _suggestion(wanted: float) -> dict[str, Any]:
    """A limit in steps people use: whole 32 Mi, whole 256 Mi above 1 Gi."""
    step = 256 * 2**20 if wanted > 2**30 else 32 * 2**20
    rounded = int(-(-wanted // step) * step)
    return {"suggested_memory_limit": r.as_memory(rounded), "suggested_memory_limit_bytes": rounded}


def _series_evidence(
    scene: Scene, container: Container, points: dict[str, s.Points], limit: float | None
) -> list[Evidence]:
    pod = bare(ObjectRef.of(container.pod, "Pod"))
    mine = points.get(pod.name, ())
    if not mine:
        return []
    selector = f'namespace="{pod.namespace}",pod="{pod.name}",container="{container.name}"'
    query = f"container_memory_working_set_bytes{{{selector}}}"
    high = max(v for _, v in mine)
    text = f"{r.as_memory(mine[0][1])} → {r.as_memory(mine[-1][1])}, highest {r.as_memory(high)}"
    if limit:
        text += f" of a limit of {r.as_memory(limit)}"
    return [
        evidence(
            "metric",
            f"Memory of {pod.name}/{container.name}",
            text,
            obj=pod,
            source="prometheus",
            link=prometheus_graph(scene.snapshot.prometheus_url, query, scene.now),
            data={"unit": "bytes", "threshold": limit, "points": [[t, v] for t, v in mine[-120:]]},
        )
    ]
