"""The whole product as a user has it, on a sandbox of its own: Valkey, web, workers, beat, watcher; and many workloads
to break in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import yaml
from django.db import connections

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.models import HealingEvent
from healing.ports.cluster import Object
from healing.ports.errors import SourceError
from recist_web.bench.section import Bench, CannotMeasureError
from recist_web.people import ensure_demo_people
from recist_web.supervisor.database import keep_in, migrate
from recist_web.supervisor.errors import CannotStartError
from recist_web.supervisor.launch import SandboxRequest, Tree
from recist_web.supervisor.ports import free_port

NAMESPACE = "bench"
GOOD_IMAGE = "registry.local/web:1.0"
#: What a release may get wrong: a program that ends at once, and an image that nobody has pushed.
CRASH: Object = {"command": ["sh", "-c", "echo cannot start; exit 3"]}
NO_IMAGE: Object = {"image": "registry.local/web:9.9-nobody-pushed-it"}
_AT_ONCE = 8
_SMALL_NODES = 50
_CALL_SECONDS = 30.0
_POLL_SECONDS = 0.25
_T = TypeVar("_T")


@dataclass(slots=True)
class Seen:
    """What a second watcher, that is not the product's, saw first, and when (UTC)."""

    faulty: dict[str, datetime] = field(default_factory=dict)
    paused: dict[str, datetime] = field(default_factory=dict)


class Product:
    """A running tree with ``workloads`` healthy Deployments in `NAMESPACE`."""

    def __init__(self, tree: Tree, cluster: KubernetesCluster) -> None:
        self.tree = tree
        self.cluster = cluster

    def wait_for(self, look: Callable[[], _T | None], what: str, seconds: float) -> _T:
        """Poll, and keep the processes alive meanwhile. Raises `CannotMeasureError`."""
        deadline = time.monotonic() + seconds
        while True:
            self.tree.supervisor.look_after()
            if self.tree.supervisor.stopping:
                raise CannotMeasureError("It was stopped.")
            if found := look():
                return found
            if time.monotonic() > deadline:
                raise CannotMeasureError(f"Not within {seconds:g} s: {what}.")
            time.sleep(_POLL_SECONDS)

    def deployments(self, namespace: str = NAMESPACE) -> dict[str, Object]:
        """By name, as they are now."""
        found = self.cluster.list("Deployment", namespace, timeout_seconds=_CALL_SECONDS)
        return {obj["metadata"]["name"]: obj for obj in found.items}

    def add_workloads(
        self, count: int, *, replicas: int, namespace: str = NAMESPACE, first: int = 0, seconds: float = 180
    ) -> list[str]:
        """Names of the new, healthy Deployments; returns when all are ready."""
        names = [f"web-{number:03d}" for number in range(first, first + count)]
        self._each(
            names, lambda name: self.cluster.create("Deployment", namespace, deployment(name, replicas, namespace))
        )

        def all_ready() -> bool:
            return all(is_rolled_out(d) for d in self.deployments(namespace).values())

        self.wait_for(all_ready, "all are ready", seconds)
        return names

    def release(self, name: str, container: Object, namespace: str = NAMESPACE) -> None:
        """A person's bad release of that workload."""
        body = {"spec": {"template": {"spec": {"containers": [{"name": "web", **container}]}}}}
        self.cluster.patch("Deployment", namespace, name, body, patch_type="strategic", timeout_seconds=_CALL_SECONDS)

    def release_all(self, releases: Sequence[tuple[str, Object]]) -> None:
        """As many at once as one client sends."""
        self._each(releases, lambda release: self.release(*release))

    def _each(self, items: Sequence[_T], act: Callable[[_T], object]) -> None:
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            list(pool.map(act, items))

    @contextlib.contextmanager
    def second_watcher(self) -> Iterator[Seen]:
        """Watches pods and Deployments of `NAMESPACE` beside the product."""
        import threading  # noqa: PLC0415 - only here

        seen, stop = Seen(), threading.Event()

        def watch(kind: str, note: Callable[[Object], None]) -> None:
            while not stop.is_set():
                try:
                    version = self.cluster.list(kind, NAMESPACE, timeout_seconds=_CALL_SECONDS).resource_version
                    for event in self.cluster.watch(
                        kind, NAMESPACE, resource_version=version, timeout_seconds=300, stop=stop
                    ):
                        note(event.object)
                except SourceError:
                    stop.wait(0.2)

        def pod(obj: Object) -> None:
            app = (obj["metadata"].get("labels") or {}).get("app", "")
            if _shows_a_fault(obj):
                seen.faulty.setdefault(app, datetime.now(UTC))

        def paused(obj: Object) -> None:
            if (obj.get("spec") or {}).get("paused"):
                seen.paused.setdefault(obj["metadata"]["name"], datetime.now(UTC))

        threads = [
            threading.Thread(target=watch, args=arguments, daemon=True)
            for arguments in (("Pod", pod), ("Deployment", paused))
        ]
        for thread in threads:
            thread.start()
        try:
            yield seen
        finally:
            stop.set()
            for thread in threads:
                thread.join(5.0)


@contextlib.contextmanager
def running(bench: Bench, *, nodes: int, **policy: Any) -> Iterator[Product]:
    """The tree, watching an empty cluster. ``policy``: fields of the spec, camelCase. Raises `CannotMeasureError`."""
    scenario = bench.directory / "bench.yaml"
    body = {
        "apiVersion": "sandbox.recist.io/v1",
        "kind": "Scenario",
        "metadata": {"name": "bench"},
        "nodes": nodes,
        # As Prometheus is set for large clusters; else the embedded one would keep the machine busy with its scrapes.
        "scrapeSeconds": 2 if nodes <= _SMALL_NODES else 30,
        "manifests": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}],
    }
    scenario.write_text(yaml.safe_dump(body), encoding="utf-8")
    try:
        with Tree(bench.directory / "var", free_port(), bench.say) as tree:
            tree.supervisor.stop_on_signals()
            wait_for_sandbox = tree.start_sandbox(
                SandboxRequest(str(scenario), bench.directory / "kubeconfig", faults=False)
            )
            tree.start_valkey()
            connections.close_all()
            keep_in(tree.var)
            migrate()
            if HealingEvent.objects.exists():
                raise CannotMeasureError(
                    "The database has healing events already: let DATABASE_URL name an empty one, or unset it."
                )
            ensure_demo_people()
            target = wait_for_sandbox()
            cluster = KubernetesCluster(ClusterConfig(target.kubeconfig, None))
            try:
                _set_policy(cluster, policy)
                tree.start_product(target)
                product = Product(tree, cluster)
                product.wait_for(lambda: is_led(cluster) and _knows_policy(cluster), "a watcher leads", 60)
                yield product
            finally:
                cluster.close()
                connections.close_all()
    except CannotStartError as error:
        raise CannotMeasureError(str(error)) from error


def _set_policy(cluster: KubernetesCluster, spec: dict[str, Any]) -> None:
    body = {
        "apiVersion": "recist.io/v1alpha1",
        "kind": "SelfHealingPolicy",
        "metadata": {"name": "bench", "namespace": "recist-system"},
        "spec": {"targetNamespaces": [NAMESPACE], **spec},
    }
    cluster.patch("SelfHealingPolicy", "recist-system", "bench", body, patch_type="apply", force=True)


def is_led(cluster: KubernetesCluster) -> bool:
    """Whether a watcher holds the Lease."""
    try:
        leases = cluster.list("Lease", "recist-system", timeout_seconds=5.0).items
    except SourceError:
        return False
    return any((lease.get("spec") or {}).get("holderIdentity") for lease in leases)


def _knows_policy(cluster: KubernetesCluster) -> bool:
    """Whether our policy has been read: its status says so."""
    try:
        policy = cluster.get("SelfHealingPolicy", "recist-system", "bench", timeout_seconds=5.0)
    except SourceError:
        return False
    return bool(policy.get("status"))


def deployment(name: str, replicas: int, namespace: str) -> Object:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "web",
                    "image": GOOD_IMAGE,
                    "ports": [{"name": "http", "containerPort": 80}],
                    # Without one, a program counts as ready until it ends, and takes the well ones' place.
                    "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
                }
            ],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def is_rolled_out(obj: Object) -> bool:
    """Every pod of a Deployment is of the newest revision and available, and no other is left."""
    status, wanted = obj.get("status") or {}, obj["spec"]["replicas"]
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")}
    return counts == {wanted} and status.get("observedGeneration") == obj["metadata"]["generation"]


def _shows_a_fault(pod: Object) -> bool:
    """A container has crashed again, or waits for a reason that does not pass by itself."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        state = status.get("state") or {}
        if state.get("waiting", {}).get("reason", "") in ("CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff"):
            return True
        if status.get("restartCount", 0) and state.get("terminated", {}).get("exitCode", 0):
            return True
    return False
