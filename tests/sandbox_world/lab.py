"""A cluster with a world in virtual time, and a recorder of everything that happens in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from healing.sandbox.api.cluster import ApiServer
from healing.sandbox.api.versions import KubernetesVersion
from healing.sandbox.ports import EventType, Object, User
from healing.sandbox.world import NodeSpec, Settings, World
from tests.sandbox_world.programs import ScriptedRuntime

EPOCH = 1_790_000_000.0
PERSON = User("kubernetes-admin", ("system:masters",), "kubectl")
NAMESPACE = "shop"


@dataclass(frozen=True)
class Change:
    t: float
    resource: str
    type: EventType
    object: Object


class Lab:
    """``cluster`` is the real API server; ``history`` holds each change with seconds since the start."""

    def __init__(
        self,
        nodes: Sequence[NodeSpec] | int,
        settings: Settings,
        *,
        control_plane: bool = False,
        kubernetes: KubernetesVersion | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.clock = lambda: EPOCH + loop.time()
        self.cluster = ApiServer(clock=self.clock, kubernetes=kubernetes)
        self.runtime = ScriptedRuntime()
        self.world = World(
            self.cluster, self.runtime, nodes=nodes, clock=self.clock, settings=settings, control_plane=control_plane
        )
        self.history: list[Change] = []
        for resource in (
            "pods", "replicasets.apps", "deployments.apps", "endpoints", "endpointslices.discovery.k8s.io", "events",
            "nodes", "services", "jobs.batch", "persistentvolumeclaims", "resourcequotas",
            "poddisruptionbudgets.policy",
        ):  # fmt: skip
            self.cluster.subscribe(resource, self._recorder(resource))

    def _recorder(self, resource: str) -> Callable[[EventType, Object, Object | None], None]:
        def record(type_: EventType, item: Object, _old: Object | None) -> None:
            self.history.append(Change(self.now(), resource, type_, item))

        return record

    def now(self) -> float:
        return self.clock() - EPOCH

    # --- acting

    def create(self, resource: str, body: Object) -> Object:
        return self.cluster.create(resource, NAMESPACE, body, user=PERSON)

    def mutate(self, resource: str, name: str, change: Callable[[Object], None]) -> Object:
        namespace = None if resource == "nodes" else NAMESPACE
        return self.cluster.mutate(resource, namespace, name, change, user=PERSON)

    def delete(self, resource: str, name: str, grace_seconds: int | None = None) -> None:
        self.cluster.delete(resource, NAMESPACE, name, user=PERSON, grace_seconds=grace_seconds)

    def deployment(self, name: str = "web", image: str = "registry.local/web:1.0", **changes: object) -> Object:
        """Create a Deployment; ``container=``, ``pod=``, ``spec=`` add to the container, pod spec and spec."""
        container = {"name": "web", "image": image} | dict(changes.pop("container", {}))  # type: ignore[call-overload]
        pod = {"containers": [container], "terminationGracePeriodSeconds": 1} | dict(changes.pop("pod", {}))  # type: ignore[call-overload]
        spec = {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        } | dict(changes.pop("spec", {}))  # type: ignore[call-overload]
        assert not changes
        body = {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
            "spec": spec,
        }  # fmt: skip
        return self.create("deployments.apps", body)

    def service(self, name: str = "web", port: Object | None = None, selector: Object | None = None) -> Object:
        body = {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": selector or {"app": "web"}, "ports": [port or {"name": "http", "port": 80}]},
        }  # fmt: skip
        return self.create("services", body)

    # --- looking

    def get(self, resource: str, name: str) -> Object:
        found = self.cluster.get(resource, None if resource == "nodes" else NAMESPACE, name)
        assert found is not None, f"no {resource} {name}"
        return found

    def pods(self, app: str = "web") -> list[Object]:
        return list(self.cluster.list("pods", NAMESPACE, {"app": app}))

    def events(self, reason: str = "", kind: str = "") -> list[Object]:
        return [
            e
            for e in self.cluster.list("events", NAMESPACE)
            if reason in ("", e["reason"]) and kind in ("", e["involvedObject"]["kind"])
        ]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], object], timeout_seconds: float = 120.0) -> None:
        deadline = self.now() + timeout_seconds
        while not condition():
            assert self.now() < deadline, f"not within {timeout_seconds} s of the world's time"
            await asyncio.sleep(0.02)

    def is_rolled_out(self, name: str = "web") -> bool:
        """Updated, available, and no other pods counted (what `kubectl rollout status` waits for)."""
        deployment = self.get("deployments.apps", name)
        status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
        return (
            status.get("observedGeneration") == deployment["metadata"]["generation"]
            and status.get("updatedReplicas", 0) == wanted
            and status.get("replicas", 0) == wanted
            and status.get("availableReplicas", 0) == wanted
        )

    def progressing(self, name: str = "web") -> tuple[str, str]:
        conditions = self.get("deployments.apps", name)["status"]["conditions"]
        entry = next(c for c in conditions if c["type"] == "Progressing")
        return entry["status"], entry["reason"]


@contextlib.asynccontextmanager
async def lab(
    nodes: Sequence[NodeSpec] | int = 1,
    settings: Settings | None = None,
    *,
    control_plane: bool = False,
    kubernetes: KubernetesVersion | None = None,
) -> AsyncIterator[Lab]:
    """A running world with the namespace `NAMESPACE`, its nodes ready."""
    made = Lab(nodes, settings or Settings(), control_plane=control_plane, kubernetes=kubernetes)
    task = asyncio.create_task(made.world.run())
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    made.cluster.create("namespaces", None, body, user=PERSON)
    try:
        await made.until(lambda: task.done() or (
            made.cluster.get("serviceaccounts", NAMESPACE, "default") is not None
            and len(made.cluster.list("nodes")) == len(made.world.node_names)
        ))  # fmt: skip
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
