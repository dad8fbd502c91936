"""Builds small clusters, object by object, in the words Kubernetes uses."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from healing.diagnosis.snapshot import LogKey, Snapshot
from healing.ports.metrics import Series

NOW = datetime(2026, 5, 4, 10, 0, 0, tzinfo=UTC)
Obj = dict[str, Any]


def ago(seconds: float) -> str:
    """RFC 3339, that long before `NOW`."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def container(name: str = "app", image: str = "registry.example/app:1", **spec: Any) -> Obj:
    """A container with a port and limits; ``spec`` replaces fields."""
    base: Obj = {"name": name, "image": image, "ports": [{"name": "http", "containerPort": 8080}]}
    base["resources"] = {"limits": {"memory": "256Mi", "cpu": "500m"}, "requests": {"memory": "128Mi", "cpu": "100m"}}
    return {**base, **spec}


def waiting(reason: str, message: str = "", **more: Any) -> Obj:
    """Container status fields of a container that waits."""
    return {"state": {"waiting": {"reason": reason, "message": message}}, "ready": False, "restartCount": 0, **more}


def crashed(code: int = 1, reason: str = "Error", *, lived: float = 3, ended: float = 20, restarts: int = 4) -> Obj:
    """Container status fields of a container in CrashLoopBackOff."""
    terminated = {"exitCode": code, "reason": reason, "startedAt": ago(ended + lived), "finishedAt": ago(ended)}
    status = waiting("CrashLoopBackOff", "back-off 40s restarting failed container", restartCount=restarts)
    return {**status, "lastState": {"terminated": terminated}}


class World:
    """A cluster in the making. Every workload gets a ReplicaSet a revision and pods with unique names and IPs."""

    def __init__(self, namespace: str = "shop") -> None:
        self.namespace = namespace
        self.snapshot = Snapshot(live_now=NOW)
        self._number = 0
        self._events: list[Obj] = []

    def add(self, kind: str, name: str, namespace: str | None = None, **fields: Any) -> Obj:
        """An object; ``fields`` are its top-level fields, ``metadata`` is merged."""
        self._number += 1
        meta = {
            "name": name,
            "namespace": self.namespace if namespace is None else namespace,
            "uid": f"uid-{self._number}",
        }
        meta = {**meta, "creationTimestamp": ago(86_400), **fields.pop("metadata", {})}
        obj = {"kind": kind, "metadata": meta, **fields}
        assert self.snapshot.add(obj)
        if kind == "Event":
            self._events.append(obj)
        return obj

    def complete(self, *kinds: str) -> None:
        """Say that the lists of these kinds were read whole."""
        self.snapshot.complete |= {(kind, "") for kind in kinds}

    def node(self, name: str, **fields: Any) -> Obj:
        """A healthy node, unless ``fields`` say otherwise."""
        status = {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "4", "memory": "16Gi"},
            **fields.pop("status", {}),
        }
        return self.add("Node", name, "", status=status, **fields)

    def deployment(
        self,
        name: str,
        containers: list[Obj] | None = None,
        *,
        before: list[Obj] | None = None,
        replicas: int = 2,
        failing: Obj | None = None,
        failing_pods: int | None = None,
        rolled_out: float = 120,
        labels: dict[str, str] | None = None,
        spec: Obj | None = None,
        node: str = "node-a",
        metadata: Obj | None = None,
    ) -> Obj:
        """A Deployment with pods.

        With ``before`` there is an older revision whose pods still serve, and one new pod. ``failing`` are the status
        fields of the new revision's first container; without it the pods are ready.
        """
        containers = containers or [container()]
        labels = labels or {"app": name}
        fields: Obj = {"template": self._template(containers, labels, spec), "replicas": replicas}
        fields["selector"] = {"matchLabels": labels}
        new_pods = failing_pods if failing_pods is not None else (1 if before is not None and failing else replicas)
        ready = 0 if failing else new_pods
        serving = replicas if before is not None and failing else 0
        status = {"replicas": new_pods + serving, "readyReplicas": ready + serving, "updatedReplicas": new_pods}
        status["observedGeneration"] = 2
        meta = {"labels": labels, "generation": 2, **(metadata or {})}
        deployment = self.add("Deployment", name, metadata=meta, spec=fields, status=status)
        if before is not None:
            old = self._template(before, labels, spec)
            self._revision(deployment, 1, old, serving, serving, 7200, None, node)
        number = 2 if before is not None else 1
        age = rolled_out if before is not None else 7200
        self._revision(deployment, number, fields["template"], new_pods, ready, age, failing, node)
        return deployment

    def service(
        self, name: str, selector: dict[str, str] | None = None, port: int = 80, target: int | str = 8080, **meta: Any
    ) -> Obj:
        """A Service; the selector is ``app=NAME`` unless given."""
        self._number += 1
        spec = {
            "selector": {"app": name} if selector is None else selector,
            "clusterIP": f"10.96.{self._number // 250}.{self._number % 250 + 1}",
            "ports": [{"name": "http", "port": port, "targetPort": target, "protocol": "TCP"}],
        }
        return self.add("Service", name, spec=spec, metadata=meta)

    def event(
        self, obj: Obj, reason: str, message: str, *, kind: str = "Warning", count: int = 5, since: float = 60
    ) -> None:
        """An event about the object, last seen five seconds ago."""
        meta = obj["metadata"]
        about = {"kind": obj["kind"], "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
        self.add(
            "Event",
            f"event-{self._number}",
            involvedObject=about,
            type=kind,
            reason=reason,
            message=message,
            count=count,
            firstTimestamp=ago(since),
            lastTimestamp=ago(5),
        )

    def pods(self, workload: str, revision: int | None = None) -> list[Obj]:
        """Pods of a Deployment, of one revision if given."""
        wanted = f"{workload}-r{revision}" if revision else f"{workload}-r"
        return [p for p in self.snapshot.of_kind("Pod") if p["metadata"]["name"].startswith(wanted)]

    def log(self, pod: Obj, text: str, *, name: str = "app", previous: bool = False) -> None:
        """The log of a pod's container."""
        meta = pod["metadata"]
        self.snapshot.logs[LogKey(meta["namespace"], meta["name"], name, previous)] = text

    def log_lines(self, workload: str, line: str, seconds: Iterable[int] = range(30, 58, 3)) -> None:
        """A line that the workload's first pod says again and again; its one hole is for the second."""
        self.log(self.pods(workload)[0], "\n".join(line.format(second) for second in seconds))

    def series(self, metric: str, values: list[float], *, step: float = 15, **labels: str) -> None:
        """A series whose last point is at `NOW`."""
        end = NOW.timestamp()
        points = tuple((end - step * (len(values) - 1 - i), v) for i, v in enumerate(values))
        self.snapshot.series.append(Series({"__name__": metric, "namespace": self.namespace, **labels}, points))

    def files(self) -> dict[str, bytes]:
        """The cluster as files of a snapshot."""
        found: dict[str, bytes] = {}
        kinds = [kind for kind, _ in sorted(self.snapshot.complete)]
        kinds = sorted({*self.snapshot._objects, *kinds, "Event"})
        for kind in kinds:
            items = self._events if kind == "Event" else self.snapshot.of_kind(kind)
            body = {"kind": f"{kind}List" if not items else "List", "apiVersion": "v1", "items": items}
            found[f"{kind.lower()}.json"] = json.dumps(body, separators=(",", ":")).encode()
        for key, text in self.snapshot.logs.items():
            suffix = ".previous.log" if key.previous else ".log"
            found[f"logs/{key.namespace}/{key.pod}/{key.container}{suffix}"] = text.encode()
        if self.snapshot.series:
            series = [
                {"metric": dict(s.labels), "values": [[t, f"{v:.12g}"] for t, v in s.points]}
                for s in self.snapshot.series
            ]
            found["metrics.json"] = json.dumps(series, separators=(",", ":")).encode()
        if self.snapshot.alerts:
            found["alerts.json"] = json.dumps(self.snapshot.alerts).encode()
        # the moment of the snapshot: what is younger than anything else in it
        clock = {"kind": "Namespace", "metadata": {"name": "zz-now", "creationTimestamp": ago(0)}}
        found["now.json"] = json.dumps(clock).encode()
        return found

    # --- parts ---

    def _template(self, containers: list[Obj], labels: dict[str, str], spec: Obj | None) -> Obj:
        return {
            "metadata": {"labels": dict(labels)},
            "spec": {"containers": copy.deepcopy(containers), **copy.deepcopy(spec or {})},
        }

    def _revision(
        self,
        deployment: Obj,
        number: int,
        template: Obj,
        pods: int,
        ready: int,
        age: float,
        failing: Obj | None,
        node: str,
    ) -> None:
        name, uid = deployment["metadata"]["name"], deployment["metadata"]["uid"]
        digest = f"r{number}x{self._number}"
        own = {"kind": "Deployment", "name": name, "uid": uid, "controller": True}
        labels = {**template["metadata"]["labels"], "pod-template-hash": digest}
        meta: Obj = {"ownerReferences": [own], "creationTimestamp": ago(age), "labels": labels}
        meta["annotations"] = {"deployment.kubernetes.io/revision": str(number)}
        status = {"replicas": pods, "readyReplicas": ready}
        rs = self.add(
            "ReplicaSet",
            f"{name}-{digest}",
            metadata=meta,
            spec={"replicas": pods, "template": template},
            status=status,
        )
        for index in range(pods):
            self._pod(rs, f"{name}-r{number}-{index}", template, labels, age, failing if index >= ready else None, node)

    def _pod(
        self, rs: Obj, name: str, template: Obj, labels: dict[str, str], age: float, failing: Obj | None, node: str
    ) -> None:
        own = {"kind": "ReplicaSet", "name": rs["metadata"]["name"], "uid": rs["metadata"]["uid"], "controller": True}
        running: Obj = {"state": {"running": {"startedAt": ago(age - 2)}}, "ready": True, "restartCount": 0}
        statuses = [{"name": c["name"], **copy.deepcopy(running)} for c in template["spec"]["containers"]]
        if failing is not None:
            statuses[0] = {"name": statuses[0]["name"], **copy.deepcopy(failing)}
        ready = "False" if failing is not None else "True"
        status = {
            "phase": "Running",
            "podIP": f"10.244.1.{self._number % 250 + 1}",
            "startTime": ago(age),
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": ago(age - 3)}],
            "containerStatuses": statuses,
        }
        spec = {**copy.deepcopy(template["spec"]), "nodeName": node}
        meta = {"ownerReferences": [own], "labels": labels, "creationTimestamp": ago(age)}
        meta["generateName"] = f"{rs['metadata']['name']}-"
        self.add("Pod", name, metadata=meta, spec=spec, status=status)
