"""Scenarios' worlds with nobody who heals: what plain Kubernetes makes of them, and what they look like when ill."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.diagnosis.collect.live import CLUSTER_WIDE, NAMESPACED
from healing.ports.cluster import Cluster, Object
from healing.ports.errors import SourceError
from recist_web.bench.section import CannotMeasureError
from recist_web.environment import PROJECT_DIR
from recist_web.evaluation.hosts import Hosts
from recist_web.evaluation.selection import Chosen
from recist_web.evaluation.world import Changes, first_unwell, targets_of, well_since
from recist_web.supervisor.child import Child, Spec
from recist_web.supervisor.tree import python

_START_SECONDS = 180.0
_POLL_SECONDS = 0.5
_CALL_SECONDS = 20.0
#: as much as `k8s-sre-agent` reads of a container that is not well
LOG_LINES = 40
_OF_THE_CLUSTER = ("kube-", "recist-", "default")


class Worlds:
    """Worlds of one process, all up at once. ``began``: when each one's timeline began (seconds since the epoch)."""

    def __init__(self, chosen: Sequence[Chosen], hosts: Hosts, directory: Path) -> None:
        self.chosen = list(chosen)
        self._hosts = hosts
        self._directory = directory

    def kubeconfig(self, name: str) -> Path:
        """Of that world's administrator."""
        return self._directory / f"{name}.kubeconfig"

    def rise(self) -> list[str]:
        """Bring them up; returns the names of those that are well (others are left out)."""
        for one in self.chosen:
            self._hosts.act(0, one.name, "start")
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            states = {name: status["state"] for name, status in self._hosts.statuses().items()}
            if all(states.get(one.name) in ("up", "failed") for one in self.chosen):
                break
            time.sleep(_POLL_SECONDS)
        up = [one.name for one in self.chosen if states.get(one.name) == "up"]
        self.chosen = [one for one in self.chosen if one.name in up]
        return up

    def play(self, then_seconds: float, at_seconds: float, look: Callable[[str], None]) -> None:
        """Let all timelines play; ``look`` at each world so long after its last step; stop after ``then_seconds``."""
        for one in self.chosen:
            self._hosts.act(0, one.name, "go")
        length = {one.name: max((s.at_seconds for s in one.scenario.timeline), default=0.0) for one in self.chosen}
        began, waiting = time.monotonic(), set(length)
        while waiting or time.monotonic() - began < max(length.values(), default=0.0) + then_seconds:
            for name in sorted(waiting):
                if time.monotonic() - began > length[name] + at_seconds:
                    look(name)
                    waiting.discard(name)
            time.sleep(_POLL_SECONDS)

    def record(self, one: Chosen) -> dict[str, Any]:
        """As of `recist_web.evaluation`: ``expectations`` and ``world``, in seconds since the timeline began."""
        history = self._hosts.history(0, one.name)
        started = float(history["startedAt"] or 0.0)
        steps = {played["id"]: played["at"] - started for played in history["played"]}
        expectations = [
            {
                "stepAt": steps.get(e.after),
                "fixes": list(e.fixes),
                "mustNotAct": e.must_not_act,
                "wellServices": list(e.well_services),
                "wellWorkloads": list(e.well_workloads),
            }
            for e in one.scenario.expectations
            if not e.healthy
        ]
        changes = [{**change, "at": change["at"] - started} for change in history["changes"]]
        return {
            "name": one.name,
            "expectations": expectations,
            "world": changes,
            "observedSeconds": time.time() - started,
        }


@contextlib.contextmanager
def running(chosen: Sequence[Chosen], directory: Path) -> Iterator[Worlds]:
    """A process with these worlds. Raises `CannotMeasureError`."""
    directory.mkdir(parents=True, exist_ok=True)
    worlds = {
        one.name: {
            "scenario": str(one.scenario.path.absolute()),
            "kubeconfig": str(directory / f"{one.name}.kubeconfig"),
        }
        for one in chosen
    }
    plan = directory / "worlds.json"
    plan.write_text(json.dumps({"worlds": worlds}), encoding="utf-8")
    answers: queue.Queue[dict[str, Any]] = queue.Queue()

    def listen(line: str) -> None:
        if line.startswith('{"control"'):
            answers.put(json.loads(line))

    command = python("-m", "healing.sandbox.hosting", str(plan))
    child = Child(Spec("worlds", command, dict(os.environ), PROJECT_DIR, on_line=listen), directory)
    try:
        try:
            hosts = Hosts([str(answers.get(timeout=90.0)["control"])])
        except queue.Empty:
            raise CannotMeasureError("The worlds' process did not start: " + " ".join(child.last_lines)) from None
        yield Worlds(chosen, hosts, directory)
    except httpx.HTTPError as error:
        raise CannotMeasureError(f"The worlds' process does not answer: {error}") from error
    finally:
        child.stop()


def recoveries(record: Mapping[str, Any]) -> list[float | None]:
    """Of every fault that can be healed and did hurt: seconds from its step until all was well for good; None: it was
    not well when looking ended."""
    found: list[float | None] = []
    changes: Changes = record["world"]
    end = float(record["observedSeconds"])
    for expected in record["expectations"]:
        at = expected["stepAt"]
        if at is None or expected["mustNotAct"] or not expected["fixes"]:
            continue
        targets = targets_of(expected, changes)
        if not targets or first_unwell(targets, changes, at, end) is None:
            continue
        since = well_since(targets, changes, at, end)
        found.append(None if since is None else max(0.0, since - at))
    return found


def workload_namespaces(kubeconfig: Path) -> list[str]:
    """Where people's workloads are."""
    with _cluster(kubeconfig) as cluster:
        found = cluster.list("Namespace", "", timeout_seconds=_CALL_SECONDS).items
    names = sorted(obj["metadata"]["name"] for obj in found)
    return [name for name in names if not name.startswith(_OF_THE_CLUSTER)]


def write_snapshot(kubeconfig: Path, directory: Path, namespaces: Sequence[str]) -> Path:
    """What `manage.py diagnose` reads: the objects, and the logs of containers that are not well."""
    directory.mkdir(parents=True, exist_ok=True)
    with _cluster(kubeconfig) as cluster:
        wanted = [(kind, name) for kind in NAMESPACED for name in namespaces] + [(kind, "") for kind in CLUSTER_WIDE]
        for kind, namespace in wanted:
            try:
                items = cluster.list(kind, namespace, timeout_seconds=_CALL_SECONDS).items
            except SourceError:
                continue
            text = json.dumps({"kind": "List", "items": [{**obj, "kind": kind} for obj in items]})
            (directory / f"{kind.lower()}-{namespace or 'all'}.json").write_text(text, encoding="utf-8")
            for pod in items if kind == "Pod" else ():
                _write_logs(cluster, pod, directory)
    return directory


def _write_logs(cluster: Cluster, pod: Object, directory: Path) -> None:
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status.get("ready") and not status.get("restartCount"):
            continue
        for previous in (False, True) if status.get("restartCount") else (False,):
            try:
                text = cluster.pod_logs(
                    namespace, name, status["name"], previous=previous, tail_lines=LOG_LINES,
                    timeout_seconds=_CALL_SECONDS,
                )  # fmt: skip
            except SourceError:
                continue
            path = directory / "logs" / namespace / name / f"{status['name']}{'.previous' if previous else ''}.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _cluster(kubeconfig: Path) -> Iterator[KubernetesCluster]:
    cluster = KubernetesCluster(ClusterConfig(kubeconfig, None))
    try:
        yield cluster
    finally:
        cluster.close()
