"""CPU: a limit too low, a program that runs hot, or more traffic than before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from healing.diagnosis import reading as r, series as s
from healing.diagnosis.analyzers.common import change_evidence, rollout_blame, status_evidence, workload_ref
from healing.diagnosis.hypothesis import Hypothesis, bare, evidence
from healing.diagnosis.links import prometheus_graph
from healing.diagnosis.requests import request_rate
from healing.diagnosis.revisions import History
from healing.diagnosis.scene import Container, Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

_USAGE = ("container_cpu_usage_seconds_total",)
_THROTTLED, _PERIODS = ("container_cpu_cfs_throttled_periods_total",), ("container_cpu_cfs_periods_total",)
#: Share of the limit from which on a container has no CPU to spare, and of periods from which throttling hurts.
_HOT, _THROTTLING = 0.85, 0.3
#: A change of level smaller than this is noise.
_JUMP = 2.0
_MEANINGFUL_CORES = 0.02


def analyze(scene: Scene) -> Iterator[Hypothesis]:
    """CPULimitTooLow, CPUHog, TrafficSpike."""
    yield from _starved(scene)
    if not scene.snapshot.series:
        return
    usage = _by_container(scene, _USAGE)
    throttled, periods = _by_container(scene, _THROTTLED), _by_container(scene, _PERIODS)
    for workload, containers in scene.containers.items():
        hot = []
        for container in containers:
            key = _key(container)
            cores = s.rate(usage.get(key, ()))
            if len(cores) < 3 or not container.is_running:
                continue
            share = s.latest(s.divide(s.rate(throttled.get(key, ())), s.rate(periods.get(key, ())))) or 0.0
            limit = r.quantity(r.at(container.spec, "resources", "limits", "cpu"))
            now = s.latest(cores) or 0.0
            if (limit and now >= _HOT * limit) or share >= _THROTTLING or (not limit and now >= 0.9):
                hot.append((container, cores, share, limit))
        if hot:
            yield from _judge(scene, workload, hot, len(containers))


def _starved(scene: Scene) -> Iterator[Hypothesis]:
    """Since its CPU limit was lowered a program does not even get ready: its probes find nobody."""
    for workload, containers in scene.containers.items():
        failing = [c for c in containers if not c.is_ready and not c.is_init and c.exit_code in (None, 0, 137, 143)]
        failing = [c for c in failing if not c.was_oom_killed and (c.is_running or c.waiting == "CrashLoopBackOff")]
        past, blame = rollout_blame(scene, workload, failing) if failing else (None, 0.0)
        lowered = _lowered(past, failing[0].name) if failing else None
        if past is None or lowered is None or blame < 0.5 or lowered[1] > lowered[0] / 2:
            continue
        yield Hypothesis(
            "CPULimitTooLow",
            workload_ref(scene, workload),
            0.9,
            f"Container {failing[0].name} does not get ready since its CPU limit was lowered from {lowered[0]:g} to"
            f" {lowered[1]:g} cores in revision {past.current.number}.",
            [status_evidence(failing[0]), *change_evidence(past, past.changed("resources.limits"))],
            {
                "container": failing[0].name,
                "cpu_limit_cores": lowered[1],
                "suggested_cpu_limit": r.as_cpu(lowered[0]),
                **past.facts(),
            },
            affected=scene.around(workload),
            since=past.started,
        )


def _judge(
    scene: Scene, workload: ObjectRef, hot: list[tuple[Container, s.Points, float, float | None]], containers: int
) -> Iterator[Hypothesis]:
    container, cores, share, limit = max(hot, key=lambda h: s.latest(h[1]) or 0.0)
    now = s.latest(cores) or 0.0
    jump = s.shift(cores)
    past = scene.history(workload)
    lowered = _lowered(past, container.name)
    proof = _series_evidence(scene, container, cores, share, limit)
    facts: dict[str, Any] = {
        "container": container.name,
        "pods": sorted({r.text(c.pod, "metadata", "name") for c, *_ in hot}),
        "cpu_cores": round(now, 3),
        "cpu_limit_cores": limit,
        "peak_cpu_cores": round(max(v for _, v in cores), 3),
        "throttled_fraction": round(share, 3),
        "baseline_cpu_cores": round(jump.before, 3) if jump else None,
    }
    target, affected = workload_ref(scene, workload), scene.around(workload)
    throttle = f" and is throttled in {share:.0%} of the periods" if share >= 0.05 else ""
    use = f"Container {container.name} uses {now:.2f} cores" + (f" of {limit:g}" if limit else "") + throttle
    if lowered is not None and past is not None:
        proof += change_evidence(past, past.changed("resources.limits"))
        facts |= past.facts() | {"suggested_cpu_limit": r.as_cpu(lowered[0])}
        yield Hypothesis(
            "CPULimitTooLow",
            target,
            0.93,
            f"{use}; its CPU limit was lowered from {lowered[0]:g} to {lowered[1]:g} cores"
            f" in revision {past.current.number}.",
            proof,
            facts,
            affected=affected,
            since=past.started,
        )
        return
    requests = request_rate(scene, workload)
    more = s.shift(requests) if requests else None
    jumped = jump is not None and jump.ratio >= _JUMP and jump.after - jump.before >= _MEANINGFUL_CORES
    if jumped and more is not None and more.ratio >= 1.6 and more.after > 1.0:
        replicas = max(1, len(scene.pods.get(bare(workload), ())))
        facts |= {
            "request_rate": round(more.after, 2),
            "baseline_request_rate": round(more.before, 2),
            "suggested_replicas": min(replicas * 4, round(replicas * max(1.5, more.ratio))),
        }
        yield Hypothesis(
            "TrafficSpike",
            target,
            0.85,
            f"{use}: it gets {more.after:.1f} requests a second instead of {more.before:.1f}.",
            proof,
            facts,
            affected=affected,
        )
    elif jumped and jump is not None:
        brought = past is not None and past.good is not None and len(hot) == containers and _near(past, jump.at)
        if brought and past is not None:
            proof += change_evidence(past)
            facts |= past.facts()
        steady = " at the same load" if more is not None else ""
        yield Hypothesis(
            "CPUHog",
            target,
            0.88 if more is not None else 0.78,
            f"{use} instead of {jump.before:.2f} before{steady}"
            + (f", since revision {past.current.number} was rolled out." if brought and past is not None else "."),
            proof,
            facts,
            affected=affected,
        )
    elif limit is not None and share >= _THROTTLING:
        facts["suggested_cpu_limit"] = r.as_cpu(max(limit * 2, now * 1.5))
        yield Hypothesis(
            "CPULimitTooLow",
            target,
            0.74,
            f"{use}: the limit is less than its ordinary work needs.",
            proof,
            facts,
            affected=affected,
        )
    elif limit is None and now >= 0.9:
        return  # busy, with nothing to compare it to: no fault by itself
    else:
        yield Hypothesis(
            "CPUHog",
            target,
            0.5 if len(hot) == containers else 0.6,
            f"{use}; nothing is known of the time before.",
            proof,
            facts,
            affected=affected,
        )


def _by_container(scene: Scene, names: tuple[str, ...]) -> dict[tuple[str, str, str], s.Points]:
    """Counters by (namespace, pod, container); of several series the one with the most points."""
    found: dict[tuple[str, str, str], s.Points] = {}
    for one in scene.snapshot.series:
        if s.name(one) in names:
            key = (one.labels.get("namespace", ""), one.labels.get("pod", ""), one.labels.get("container", ""))
            if len(one.points) > len(found.get(key, ())):
                found[key] = one.points
    return found


def _key(container: Container) -> tuple[str, str, str]:
    meta = r.mapping(container.pod, "metadata")
    return r.text(meta, "namespace"), r.text(meta, "name"), container.name


def _lowered(past: History | None, container: str) -> tuple[float, float] | None:
    if past is None or past.good is None:
        return None
    for change in past.changed(f"[{container}].resources"):
        if change.path.endswith("resources.limits.cpu"):
            before, after = r.quantity(change.before), r.quantity(change.after)
            if before is not None and after is not None and after < before:
                return before, after
    return None


def _near(past: History, at: float) -> bool:
    return past.started is not None and -30 <= at - past.started.timestamp() <= 90


def _series_evidence(
    scene: Scene, container: Container, cores: s.Points, share: float, limit: float | None
) -> list[Evidence]:
    pod = bare(ObjectRef.of(container.pod, "Pod"))
    selector = f'namespace="{pod.namespace}",pod="{pod.name}",container="{container.name}"'
    query = f"rate(container_cpu_usage_seconds_total{{{selector}}}[1m])"
    text = f"now {s.latest(cores) or 0:.2f} cores" + (f" of a limit of {limit:g}" if limit else "")
    if share:
        text += f"; throttled in {share:.0%} of the periods"
    return [
        evidence(
            "metric",
            f"CPU of {pod.name}/{container.name}",
            text,
            obj=pod,
            source="prometheus",
            link=prometheus_graph(scene.snapshot.prometheus_url, query, scene.now),
            data={"unit": "cores", "threshold": limit, "points": [[t, round(v, 4)] for t, v in cores[-120:]]},
        )
    ]
