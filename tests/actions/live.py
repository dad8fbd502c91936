"""A sandbox in a process of its own, and short words to make workloads in it and to look at them."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.cluster.loki import Loki
from healing.cluster.prometheus import Prometheus
from healing.deadline import Deadline
from healing.ports import ObjectRef, Ports
from healing.ports.cluster import Object
from recist_web.environment import PROJECT_DIR

IMAGE = "registry.local/web:1.0"
_START_SECONDS = 30.0
_names = itertools.count(1)
_T = TypeVar("_T")


class Live:
    """A running sandbox. Every test makes a namespace of its own in it."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self.url = addresses["api"]
        self.kubeconfig = Path(addresses["kubeconfig"])
        self.cluster = KubernetesCluster(ClusterConfig(self.kubeconfig), default_timeout_seconds=5.0)
        self.metrics = Prometheus(addresses["prometheus"])
        self.logs = Loki(addresses["loki"])
        self.ports = Ports("default", self.cluster, self.metrics, self.logs)

    def close(self) -> None:
        self.cluster.close()
        self.metrics.close()
        self.logs.close()

    def namespace(self, prefix: str = "t") -> Namespace:
        name = f"{prefix}-{next(_names)}"
        self.cluster.create("Namespace", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return Namespace(self, name)

    @contextlib.contextmanager
    def api_fault(self, kind: str, path: str, method: str = "", **more: Any) -> Iterator[None]:
        """The API answers badly: ``latency``, ``error``, ``throttle``, ``drop``."""
        where = f"{self.url}/sandbox/v1/api/faults"
        answer = httpx.post(where, json={"kind": kind, "path": path, "method": method, **more}, timeout=60)
        answer.raise_for_status()
        try:
            yield
        finally:
            httpx.delete(where).raise_for_status()


class Namespace:
    """Words for one namespace."""

    def __init__(self, live: Live, name: str) -> None:
        self.live, self.name, self.cluster = live, name, live.cluster

    def delete(self) -> None:
        """With everything in it; not waited for."""
        self.cluster.delete("Namespace", "", self.name)

    def deployment(
        self,
        name: str = "web",
        *,
        replicas: int = 2,
        image: str = IMAGE,
        spec: Object | None = None,
        pod: Object | None = None,
        **container: Any,
    ) -> ObjectRef:
        """Created, not waited for. ``spec`` adds to the Deployment's spec, ``pod`` to its pods', the rest to its
        container."""
        port = {"name": "http", "containerPort": 80}
        body = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "terminationGracePeriodSeconds": 1,
                        "containers": [{"name": "web", "image": image, "ports": [port], **container}],
                        **(pod or {}),
                    },
                },
                **(spec or {}),
            },
        }
        return ObjectRef.of(self.cluster.create("Deployment", self.name, body), "Deployment")

    def stateful_set(self, name: str = "web", *, replicas: int = 1, image: str = IMAGE, kind: str = "") -> ObjectRef:
        """A StatefulSet, or a DaemonSet of that name; not waited for."""
        kind = kind or "StatefulSet"
        spec = {"serviceName": name, "replicas": replicas} if kind == "StatefulSet" else {}
        containers = [{"name": "web", "image": image, "ports": [{"name": "http", "containerPort": 80}]}]
        body = {
            "apiVersion": "apps/v1",
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                **spec,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"terminationGracePeriodSeconds": 1, "containers": containers},
                },
            },
        }
        return self.create(kind, body)

    def create(self, kind: str, body: Object) -> ObjectRef:
        return ObjectRef.of(self.cluster.create(kind, self.name, {"kind": kind, **body}), kind)

    def service(self, name: str, selector: dict[str, str]) -> ObjectRef:
        spec = {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
        return self.create("Service", {"apiVersion": "v1", "metadata": {"name": name}, "spec": spec})

    def config_map(self, name: str, data: dict[str, str]) -> ObjectRef:
        return self.create("ConfigMap", {"apiVersion": "v1", "metadata": {"name": name}, "data": data})

    def get(self, kind: str, name: str) -> Object:
        return self.cluster.get(kind, self.name, name)

    def list(self, kind: str, **query: str) -> list[Object]:
        return self.cluster.list(kind, self.name, **query).items

    def pods(self, app: str = "web") -> list[Object]:
        found = self.list("Pod", label_selector=f"app={app}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def pods_of_all(self) -> list[Object]:
        """All pods that are not on their way out."""
        return [pod for pod in self.list("Pod") if "deletionTimestamp" not in pod["metadata"]]

    def patch_container(self, ref: ObjectRef, **changes: Any) -> None:
        """A person's change of the template's container ``web``."""
        body = {"spec": {"template": {"spec": {"containers": [{"name": "web", **changes}]}}}}
        self.cluster.patch(ref.kind, ref.namespace, ref.name, body, patch_type="strategic")

    def is_rolled_out(self, ref: ObjectRef) -> bool:
        found = self.get(ref.kind, ref.name)
        status, wanted = found.get("status") or {}, found["spec"]["replicas"]
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")}
        return counts == {wanted} and status.get("observedGeneration") == found["metadata"]["generation"]

    def rolled_out(self, ref: ObjectRef, timeout_seconds: float = 60.0) -> ObjectRef:
        until(lambda: self.is_rolled_out(ref), f"{ref} rolled out", timeout_seconds)
        return ref

    def runs(self, app: str = "web") -> bool:
        """Its pods are there and their containers run, ready or not."""
        statuses = [pod.get("status", {}).get("containerStatuses") or [{}] for pod in self.pods(app)]
        return bool(statuses) and all("running" in one.get("state", {}) for status in statuses for one in status)

    def waits_with(self, reason: str, app: str = "web") -> bool:
        return any(
            (status.get("state") or {}).get("waiting", {}).get("reason") == reason
            for pod in self.pods(app)
            for status in pod["status"].get("containerStatuses") or ()
        )


def until(condition: Callable[[], _T], what: str, timeout_seconds: float = 60.0) -> _T:
    deadline = Deadline.after(timeout_seconds)
    while True:
        found = condition()
        if found:
            return found
        if deadline.is_over:
            pytest.fail(f"not within {timeout_seconds:g} s: {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def running(directory: Path, *arguments: str) -> Iterator[Live]:
    command = [sys.executable, "-m", "healing.sandbox.server", "--json", "--data-dir", str(directory), *arguments]
    errors = (directory / "errors").open("w+")
    process = subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        line = next((text for text in process.stdout if text.startswith("{")), "")
        if not line:
            errors.seek(0)
            pytest.fail(f"the sandbox did not start: {errors.read()[-2000:]}")
        live = Live(json.loads(line))
        try:
            yield live
        finally:
            live.close()
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
        errors.close()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An empty cluster of three nodes."""
    with running(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def ns(live: Live) -> Namespace:
    return live.namespace()
