"""A cluster as files, as `kubectl get -o json` writes them: services of ten pods, one with a release that crashes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Object = dict[str, Any]

NAMESPACE = "shop"
_NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
_PODS_OF_ONE = 10
_LOG_LINES = 100


def write(directory: Path, pods: int) -> tuple[Path, str]:
    """The directory, and the name of the Deployment whose newest revision crashes."""
    directory.mkdir(parents=True, exist_ok=True)
    cluster = _Cluster(directory)
    workloads = max(2, pods // _PODS_OF_ONE)
    ill = f"svc-{workloads // 2}"
    for number in range(workloads):
        callee = f"http://svc-{(number * 7 + 1) % workloads}:80"
        cluster.add_service(f"svc-{number}", callee, is_ill=f"svc-{number}" == ill)
    for number in range(max(2, pods // 30)):
        cluster.add("Node", f"node-{number}", "", spec={}, status=_node_status())
    cluster.write()
    return directory, ill


def _ago(seconds: float) -> str:
    return (_NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _node_status() -> Object:
    return {
        "conditions": [{"type": "Ready", "status": "True"}],
        "allocatable": {"cpu": "16", "memory": "64Gi", "pods": "110"},
    }


class _Cluster:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._objects: dict[str, list[Object]] = {}
        self._series: list[Object] = []
        self._number = 0

    def add(
        self, kind: str, name: str, namespace: str = NAMESPACE, *, owner: Object | None = None, **rest: Any
    ) -> Object:
        self._number += 1
        meta: Object = {"name": name, "uid": f"uid-{self._number}", "creationTimestamp": _ago(86_400)}
        if namespace:
            meta["namespace"] = namespace
        if owner is not None:
            about = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
            meta["ownerReferences"] = [{**about, "apiVersion": "apps/v1", "controller": True}]
        meta |= rest.pop("metadata", {})
        obj = {"kind": kind, "metadata": meta, **rest}
        self._objects.setdefault(kind, []).append(obj)
        return obj

    def add_service(self, name: str, callee: str, *, is_ill: bool) -> None:
        labels = {"app": name}
        spec: Object = {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
        self.add("Service", name, spec={**spec, "clusterIP": f"10.96.{self._number // 250}.{self._number % 250 + 1}"})
        serving = _PODS_OF_ONE - int(is_ill)
        newest = _template(name, callee, 2 if is_ill else 1)
        deployment = self.add(
            "Deployment",
            name,
            metadata={"labels": labels, "generation": 2},
            spec={"replicas": serving, "selector": {"matchLabels": labels}, "template": newest},
            status={
                "replicas": _PODS_OF_ONE,
                "readyReplicas": serving,
                "availableReplicas": serving,
                "updatedReplicas": _PODS_OF_ONE - serving if is_ill else serving,
                "observedGeneration": 2,
            },
        )
        self._revision(deployment, 1, _template(name, callee, 1), serving, age_seconds=7200)
        if is_ill:
            self._revision(deployment, 2, newest, 1, age_seconds=120, crashes=True)

    def _revision(
        self, deployment: Object, number: int, template: Object, pods: int, *, age_seconds: float, crashes: bool = False
    ) -> None:
        name = deployment["metadata"]["name"]
        kept = self.add(
            "ReplicaSet",
            f"{name}-{number}",
            owner=deployment,
            metadata={
                "labels": template["metadata"]["labels"],
                "creationTimestamp": _ago(age_seconds),
                "annotations": {"deployment.kubernetes.io/revision": str(number)},
            },
            spec={"replicas": pods, "template": template, "selector": {"matchLabels": {"app": name}}},
            status={
                "replicas": pods,
                "readyReplicas": 0 if crashes else pods,
                "availableReplicas": 0 if crashes else pods,
            },
        )
        for index in range(pods):
            self._pod(kept, f"{name}-{number}-{index}", template, age_seconds, crashes=crashes)

    def _pod(self, owner: Object, name: str, template: Object, age_seconds: float, *, crashes: bool) -> None:
        ready = "False" if crashes else "True"
        status: Object = {"name": "app", "image": template["spec"]["containers"][0]["image"], "ready": not crashes}
        if crashes:
            ended = {"exitCode": 2, "reason": "Error", "startedAt": _ago(24), "finishedAt": _ago(20)}
            waits = {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}
            status |= {"restartCount": 4, "state": {"waiting": waits}, "lastState": {"terminated": ended}}
        else:
            status |= {"restartCount": 0, "state": {"running": {"startedAt": _ago(age_seconds)}}}
        pod = self.add(
            "Pod",
            name,
            owner=owner,
            metadata={"labels": template["metadata"]["labels"], "creationTimestamp": _ago(age_seconds)},
            spec={**template["spec"], "nodeName": "node-0"},
            status={
                "phase": "Running",
                "podIP": f"10.1.{self._number // 250}.{self._number % 250 + 1}",
                "conditions": [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")],
                "containerStatuses": [status],
            },
        )
        self._event(pod)
        lines = [f"{_ago(300 - n)} INFO GET /items/{n} 200 {n % 17} ms" for n in range(_LOG_LINES)]
        self._log(name, "app.log", "\n".join(lines))
        if crashes:
            text = "panic: runtime error: invalid memory address\n\ngoroutine 1 [running]:\nmain.main()"
            self._log(name, "app.previous.log", text)
        metric = {
            "__name__": "container_memory_working_set_bytes",
            "namespace": NAMESPACE,
            "pod": name,
            "container": "app",
        }
        start = _NOW.timestamp() - 900
        self._series.append({"metric": metric, "values": [[start + 15 * n, str(1e8 + n * 1000.0)] for n in range(60)]})

    def _event(self, pod: Object) -> None:
        meta = pod["metadata"]
        about = {"kind": "Pod", "namespace": NAMESPACE, "name": meta["name"], "uid": meta["uid"]}
        times: Object = {"firstTimestamp": _ago(7000), "lastTimestamp": _ago(7000), "count": 1}
        self.add(
            "Event", f"{meta['name']}.started", involvedObject=about, reason="Started", type="Normal",
            message="Started container app", **times,
        )  # fmt: skip

    def _log(self, pod: str, name: str, text: str) -> None:
        path = self._directory / "logs" / NAMESPACE / pod / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def write(self) -> None:
        for kind, items in self._objects.items():
            text = json.dumps({"kind": "List", "items": items})
            (self._directory / f"{kind.lower()}s.json").write_text(text, encoding="utf-8")
        (self._directory / "metrics.json").write_text(json.dumps(self._series), encoding="utf-8")


def _template(name: str, callee: str, release: int) -> Object:
    resources = {"limits": {"memory": "256Mi", "cpu": "500m"}, "requests": {"memory": "128Mi", "cpu": "100m"}}
    container = {
        "name": "app",
        "image": f"registry.example/{name}:{release}",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "UPSTREAM_URL", "value": callee}],
        "resources": resources,
    }
    labels = {"app": name, "pod-template-hash": str(release)}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
