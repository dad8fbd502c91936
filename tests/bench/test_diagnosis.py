"""`manage.py diagnose` without an LLM: time per snapshot by its size, reading the files included."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from healing.diagnosis.collect.files import read_snapshot
from healing.diagnosis.reasoner import diagnose
from tests.diagnosis.world import World, ago, container, crashed

ROUNDS = {20: 20, 200: 10, 2000: 3}
#: p95 a snapshot of 200 pods may take on one core (issue: diagnosis).
LIMIT_SECONDS = 2.0
_TIMES: dict[int, float] = {}


def cluster(pods: int) -> World:
    """Services of ten pods that call each other, one of them with a release that crashes; logs, events, metrics."""
    world = World()
    for number in range(max(2, pods // 30)):
        world.node(f"node-{number}")
    workloads = max(2, pods // 10)
    for number in range(workloads):
        name = f"svc-{number}"
        callee = f"http://svc-{(number * 7 + 1) % workloads}:80"
        env = [{"name": "UPSTREAM_URL", "value": callee}]
        if number == workloads // 2:
            new, old = container(image=f"r/{name}:2", env=env), container(image=f"r/{name}:1", env=env)
            world.deployment(name, [new], before=[old], failing=crashed(2), replicas=9)
        else:
            world.deployment(name, [container(env=env)], replicas=10)
        world.service(name)
        for pod in world.pods(name):
            lines = [f"{ago(300 - n)} INFO GET /items/{n} 200 {n % 17} ms" for n in range(100)]
            world.log(pod, "\n".join([*lines, f"{ago(20)} WARN slow request to {callee}"]))
            world.event(pod, "Started", "Started container app", kind="Normal", count=1)
            world.series(
                "container_memory_working_set_bytes",
                [1e8 + n * 1000.0 for n in range(60)],
                pod=pod["metadata"]["name"],
                container="app",
            )
    ill = world.pods(f"svc-{workloads // 2}", 2)[0]
    world.log(ill, "panic: runtime error: invalid memory address\n\ngoroutine 1 [running]:", previous=True)
    return world


def written(world: World, directory: Path) -> Path:
    """As `kubectl get -o json` and the documented layout have it."""
    for kind in ("Node", "Deployment", "ReplicaSet", "Pod", "Service", "Event"):
        items = world.snapshot.of_kind(kind)
        (directory / f"{kind.lower()}s.json").write_text(json.dumps({"kind": "List", "items": items}))
    for key, text in world.snapshot.logs.items():
        path = (
            directory / "logs" / key.namespace / key.pod / f"{key.container}{'.previous' if key.previous else ''}.log"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    series = [{"metric": dict(s.labels), "values": [[t, str(v)] for t, v in s.points]} for s in world.snapshot.series]
    (directory / "metrics.json").write_text(json.dumps(series))
    return directory


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pods", ROUNDS)
def test_time_per_snapshot(pods: int, tmp_path: Path, says: Any) -> None:
    path = written(cluster(pods), tmp_path)
    took = []
    for _ in range(ROUNDS[pods]):
        started = time.process_time()
        diagnosis = diagnose(read_snapshot(path))
        took.append(time.process_time() - started)
        assert diagnosis.best is not None
        assert diagnosis.best.cause == "BadRollout"
    p50 = statistics.median(took)
    p95 = sorted(took)[max(0, round(0.95 * len(took)) - 1)]
    _TIMES[pods] = p50
    says(f"diagnose, {pods} pods: p50 {p50:.2f} s, p95 {p95:.2f} s of CPU ({len(took)} rounds)")
    if pods == 200:
        assert p95 < LIMIT_SECONDS


def test_growth_is_about_linear(says: Any) -> None:
    if len(_TIMES) < len(ROUNDS):
        pytest.fail("run the whole file: growth is computed from its measurements")
    per_pod = {pods: seconds / pods for pods, seconds in _TIMES.items()}
    says("per pod: " + ", ".join(f"{1000 * cost:.2f} ms at {pods}" for pods, cost in per_pod.items()))
    assert per_pod[2000] < 2.5 * per_pod[200], "time per pod must not grow with the cluster"
