"""The product beside a large cluster: what the watcher costs, how soon a fault is seen, many faults in one minute, how
several workers share them, and how all of it grows.

Memory and CPU are those of the watcher's process, as the kernel counts them. The embedded cluster shares the machine.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Celery
from django.conf import settings

from healing.models import HealingEvent
from healing.ports.cluster import Object
from recist_web.bench.product import CRASH, NO_IMAGE, Product, deployment, is_rolled_out, running
from recist_web.bench.section import Bench, CannotMeasureError, Number, Result, p50_p95
from recist_web.supervisor.tree import WORKERS

TITLE = "Growth with the cluster"
_POLICY = {
    "autonomy": "heal",
    "approval": {"mode": "never"},
    "limits": {"stormFaults": 0, "cooldownSeconds": 0, "maxConcurrentHealings": 50},
    "verification": {"timeoutSeconds": 120, "stableSeconds": 2},
}
_SIZES = (500, 2000, 5000)
_PODS_OF_A_WORKLOAD, _PODS_OF_A_NODE, _PODS_OF_A_NAMESPACE = 10, 10, 25
_IDLE_SECONDS = 20.0
_MINUTE_SECONDS = 60.0
_RUN = "healing.tasks.run_phase"


def run(bench: Bench) -> Result:
    """SCALE_PODS (numbers, separated by commas), SCALE_FAULTS and SCALE_WORKERS choose other sizes."""
    sizes = bench.pick(full=_chosen(), smoke=(40,))
    faults = bench.pick(full=_number("SCALE_FAULTS", 500), smoke=2)
    workers = bench.pick(full=_number("SCALE_WORKERS", 2), smoke=2)
    result = Result(
        parameters={
            "pods": ", ".join(map(str, sizes)),
            "nodes": ", ".join(str(_nodes(pods)) for pods in sizes),
            "namespaces": ", ".join(str(_namespaces(pods)) for pods in sizes),
            "faults_in_a_minute": faults,
            "workers_of_each_kind": workers,
        }
    )
    # What a bad release leaves to see is measured with the fault count of the largest cluster only.
    costs = [_measure(bench, pods, faults if pods == sizes[-1] else 1, workers, result) for pods in sizes]
    result.numbers += _growth(sizes, costs)
    return result


def _number(name: str, default: int) -> int:
    try:
        return max(1, int(os.environ.get(name, str(default))))
    except ValueError as error:
        raise CannotMeasureError(f"{name} is a number: {error}") from error


def _nodes(pods: int) -> int:
    return max(4, pods // _PODS_OF_A_NODE)


def _namespaces(pods: int) -> int:
    return max(1, pods // _PODS_OF_A_NAMESPACE)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one size: what may grow with it."""

    memory_mib: float | None
    idle_cpu_percent: float
    first_detected_seconds: float


def _growth(sizes: Sequence[int], costs: Sequence[Cost]) -> list[Number]:
    """By which power of the number of pods each cost grows, from the smallest to the largest: 1 is linear."""
    if len(sizes) < 2:
        return []
    least, most = costs[0], costs[-1]
    pairs = {
        "memory": (least.memory_mib, most.memory_mib),
        "CPU while nothing happens": (least.idle_cpu_percent, most.idle_cpu_percent),
        "time to the first detection": (least.first_detected_seconds, most.first_detected_seconds),
    }
    found = []
    for name, (small, large) in pairs.items():
        power = math.log(large / small) / math.log(sizes[-1] / sizes[0]) if small and large else None
        found.append(Number(f"growth from {sizes[0]} to {sizes[-1]} pods: watcher's {name}", power, "as power", 1.1))
    return found


def _chosen() -> tuple[int, ...]:
    text = os.environ.get("SCALE_PODS", "")
    try:
        return tuple(sorted(int(word) for word in text.split(","))) if text else _SIZES
    except ValueError as error:
        raise CannotMeasureError(f"SCALE_PODS is a list of numbers such as 500,2000: {error}") from error


def _measure(bench: Bench, pods: int, faults: int, workers: int, result: Result) -> Cost:
    directory = bench.directory / str(pods)
    directory.mkdir()
    nodes = _nodes(pods)
    spaces = [f"team-{number:02d}" for number in range(-(-faults // _PODS_OF_A_NAMESPACE))]
    policy = _POLICY | {"targetNamespaces": spaces}
    with running(Bench(bench.size, directory, bench.say), nodes=nodes, **policy) as product:
        _add_workers(product, workers - 1)
        started = time.monotonic()
        patience_seconds = bench.pick(full=1800.0, smoke=150.0)
        _fill(product, pods - faults, patience_seconds)
        names = _breakable(product, spaces, faults, patience_seconds)
        bench.say(f"{pods} pods on {nodes} nodes run after {time.monotonic() - started:.0f} s")
        watcher = product.tree.supervisor.child("watcher").pid
        cpu, at = _cpu_seconds(watcher), time.monotonic()
        product.wait_for(lambda: time.monotonic() - at > bench.pick(full=_IDLE_SECONDS, smoke=2.0), "time passes", 60)
        share = (_cpu_seconds(watcher) - cpu) / (time.monotonic() - at)
        found = [
            Number(f"{pods} pods: watcher's memory", _memory_mib(watcher), "MiB"),
            Number(f"{pods} pods: watcher's CPU while nothing happens", 100 * share, "% of a core"),
        ]
        cpu, began = _cpu_seconds(watcher), datetime.now(UTC)
        _break(product, names, bench.pick(full=_MINUTE_SECONDS, smoke=1.0))
        product.wait_for(lambda: _targets() >= faults, "every fault has its event", patience_seconds)
        detected = [(e.detected_at - began).total_seconds() for e in HealingEvent.objects.order_by("detected_at")]
        found.append(Number(f"{pods} pods: first fault detected after", detected[0], "s"))
        product.wait_for(_all_ended, "every event has ended", patience_seconds)
        if faults > 1:
            events = list(HealingEvent.objects.all())
            took = [(e.finished_at - e.detected_at).total_seconds() for e in events if e.finished_at]
            contained = [(e.contained_at - e.detected_at).total_seconds() for e in events if e.contained_at]
            label = f"{pods} pods, {faults} faults in a minute"
            found += [
                Number(f"{label}: last one detected after", detected[-1], "s"),
                *p50_p95(f"{label}: detected -> contained", contained),
                *p50_p95(f"{label}: detected -> ended", took),
                Number(f"{label}: watcher's CPU", _cpu_seconds(watcher) - cpu, "s"),
                Number(f"{label}: watcher's memory afterwards", _memory_mib(watcher), "MiB"),
            ]
        wrong = [e for e in HealingEvent.objects.all() if e.outcome not in ("healed", "recovered")]
        found.append(Number(f"{pods} pods: not healed", float(len(wrong)), f"of {faults}", 0))
        result.failures += [f"{pods} pods: {e.target_name} {e.outcome}: {e.outcome_reason}" for e in wrong[:10]]
        found += _shares(product, f"{pods} pods", workers)
        result.numbers += found
        for number in found:
            bench.say(f"  {number.name}: {number.value} {number.unit}")
        return Cost(found[0].value, 100 * share, detected[0])


def _add_workers(product: Product, more: int) -> None:
    """More of each kind, as a Deployment with more replicas has."""
    supervisor = product.tree.supervisor
    for spec in [supervisor.child(worker.name).spec for worker in WORKERS]:
        for number in range(2, more + 2):
            name = f"{spec.name}-{number}"
            command = [word.replace(f"{spec.name}@%h", f"{name}@%h") for word in spec.command]
            supervisor.start(replace(spec, name=name, command=command))


def _shares(product: Product, label: str, workers: int) -> list[Number]:
    """How much of the phases' runs each of several workers of one kind did; with equal shares the busiest has 1/n."""
    with Celery(broker=product.tree.environment["REDIS_URL"], set_as_current=False) as app:
        prefix = settings.CELERY_BROKER_TRANSPORT_OPTIONS["global_keyprefix"]
        app.conf.broker_transport_options = {"global_keyprefix": prefix}
        told: dict[str, Any] = app.control.inspect(timeout=5.0).stats() or {}
    done = {name.partition("@")[0]: int(stats.get("total", {}).get(_RUN, 0)) for name, stats in told.items()}
    found = []
    for kind in (worker.name for worker in WORKERS):
        names = {kind, *(f"{kind}-{number}" for number in range(2, workers + 1))}
        of_kind: list[int] = [count for name, count in done.items() if name in names]
        total = sum(of_kind)
        if workers > 1 and total:
            share = 100 * max(of_kind) / total
            found.append(Number(f"{label}: runs of {kind} that the busiest of {len(of_kind)} did", share, "%"))
    return found


def _fill(product: Product, pods: int, patience_seconds: float) -> None:
    """Healthy workloads in many namespaces, beside those that are going to break."""
    spaces = [f"scale-{number:03d}" for number in range(_namespaces(pods))]
    for name in spaces:
        product.cluster.create("Namespace", "", {"metadata": {"name": name}}, timeout_seconds=30.0)
    count = max(1, pods // _PODS_OF_A_WORKLOAD)

    def create(number: int) -> None:
        body = _body(f"app-{number:04d}", spaces[number % len(spaces)])
        product.cluster.create("Deployment", body["metadata"]["namespace"], body, timeout_seconds=60.0)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(create, range(count)))

    def all_ready() -> bool:
        found = product.cluster.list("Deployment", "", timeout_seconds=60.0).items
        ours = [d for d in found if d["metadata"]["namespace"].startswith("scale-")]
        return len(ours) == count and all(is_rolled_out(d) for d in ours)

    product.wait_for(all_ready, f"{count} workloads are ready", patience_seconds)


def _breakable(product: Product, spaces: Sequence[str], count: int, patience_seconds: float) -> list[tuple[str, str]]:
    """(namespace, name) of workloads of one pod each, as many in a namespace as the healthy ones have."""
    found: list[tuple[str, str]] = []
    for space in spaces:
        product.cluster.create("Namespace", "", {"metadata": {"name": space}}, timeout_seconds=30.0)
        some = min(_PODS_OF_A_NAMESPACE, count - len(found))
        names = product.add_workloads(some, replicas=1, namespace=space, first=len(found), seconds=patience_seconds)
        found += [(space, name) for name in names]
    return found


def _body(name: str, namespace: str) -> Object:
    body = deployment(name, _PODS_OF_A_WORKLOAD, namespace)
    # A probe every second of thousands of pods would measure the embedded cluster, not us.
    body["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["periodSeconds"] = 30
    return body


def _break(product: Product, names: list[tuple[str, str]], seconds: float) -> None:
    """Bad releases, spread evenly over the time and, one after the other, over the namespaces."""
    started = time.monotonic()
    for number, (space, name) in enumerate(sorted(names, key=lambda one: one[1][-2:])):
        product.release(name, NO_IMAGE if number % 2 else CRASH, space)
        product.tree.supervisor.look_after()
        time.sleep(max(0.0, started + seconds * number / len(names) - time.monotonic()))


def _targets() -> int:
    found = HealingEvent.objects.filter(target_namespace__startswith="team-", target_kind="Deployment")
    return found.values("target_name").distinct().count()


def _all_ended() -> bool:
    return not HealingEvent.objects.filter(finished_at=None).exists()


def _memory_mib(pid: int) -> float | None:
    """What of it is in memory; None where the kernel does not tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), None)


def _cpu_seconds(pid: int) -> float:
    """Used by it so far, in user and kernel mode."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError as error:
        raise CannotMeasureError("CPU time of a process is read from /proc, which this system has not.") from error
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
