"""Every bundled fault in a small shop of real programs, and what a recorded cluster showed of that kind of trouble."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from healing.sandbox.compose import Sandbox, build
from healing.sandbox.faults import FAULTS
from healing.sandbox.ports import Object, User
from healing.sandbox.scenarios import load_scenario
from tests.sandbox_world.recorded import Recording
from tests.sandbox_world.test_recordings import CHANCE

EPOCH = 1_790_000_000.0
PERSON = User("someone@example.com", ("system:masters",), "kubectl")
_UP_SECONDS, _SETTLE_SECONDS, _DEADLINE_SECONDS = 60.0, 60.0, 150.0


@dataclass(frozen=True)
class Exhibit:
    """A pod with its events, as they were at one moment."""

    pod: Object
    events: tuple[Object, ...]

    def first_seen(self) -> list[str]:
        """The events' reasons in the order they came up (an event's name ends with that time)."""
        ordered = sorted(self.events, key=lambda event: int(event["metadata"]["name"].rpartition(".")[2], 16))
        return list(dict.fromkeys(event["reason"] for event in ordered))

    def look(self) -> tuple[str, ...]:
        """What tells one state of such a pod from another."""
        status = self.pod["status"]
        conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
        shown = [status.get("phase", ""), status.get("reason", ""), f"Ready {conditions.get('Ready')}"]
        for container in status.get("containerStatuses") or ():
            for when in ("state", "lastState"):
                ((kind, state),) = (container.get(when) or {"": {}}).items()
                shown += [kind, state.get("reason", "")]
            shown.append("restarted" if container["restartCount"] else "")
        return tuple(shown)


@dataclass(frozen=True)
class Recorded:
    """The newest pod of a recorded scenario whose name begins with ``prefix``, as it was after ``seconds``."""

    scenario: str
    prefix: str = ""
    seconds: float = float("inf")

    def exhibit(self) -> Exhibit:
        pods: dict[str, Object] = {}
        events: dict[str, Object] = {}
        for seen in Recording(self.scenario).changes:
            if seen.t > self.seconds or seen.resource not in ("pods", "events"):
                continue
            found = pods if seen.resource == "pods" else events
            found[seen.object["metadata"]["name"]] = seen.object
        chosen = [pod for name, pod in pods.items() if name.startswith(self.prefix)][-1]
        said = (event for event in events.values() if not any(noise in event["message"] for noise in CHANCE))
        return Exhibit(chosen, _about(chosen, said))


def _about(pod: Object, events: Any) -> tuple[Object, ...]:
    return tuple(event for event in events if event["involvedObject"].get("uid") == pod["metadata"]["uid"])


@dataclass(frozen=True)
class Evicted:
    """A pod that its kubelet ended. None was recorded: the form is the kubelet's (eviction manager and its helpers)."""

    message: str

    def exhibit(self) -> Exhibit:
        """As it was before."""
        return HEALTHY.exhibit()

    @staticmethod
    def is_done(found: Exhibit) -> bool:
        states = [container["state"] for container in found.pod["status"].get("containerStatuses") or ()]
        return found.pod["status"].get("reason") == "Evicted" and all("terminated" in state for state in states)


HEALTHY = Recorded("deployment-ready")
NOT_READY = Recorded("readiness-lost-while-running")
CRASHING = Recorded("rollout-crashing-image", "web-697646dcd5")
NO_IMAGE = Recorded("rollout-bad-image", "web-845bf47d65", 35)
OUT_OF_MEMORY = Recorded("oomkilled")


@dataclass(frozen=True)
class Row:
    """A fault in a namespace and on a node of its own, both called ``name``."""

    name: str
    fault: str
    recorded: Recorded | Evicted
    params: Mapping[str, Any] = field(default_factory=dict)
    #: words of the recording that say something else here
    instead: Mapping[str, str] = field(default_factory=dict)
    #: fields of the web container
    container: Mapping[str, Any] = field(default_factory=dict)
    #: events that may come besides the recorded ones
    also: tuple[str, ...] = ()
    #: whose pod is looked at
    app: str = "web"
    #: the pod that was there when the fault came, not the newest one
    first: bool = False
    #: a later release, to see what a new pod meets
    release: str = ""
    #: the fault concerns the whole cluster: it has a world of its own
    alone: bool = False

    def arguments(self) -> dict[str, Any]:
        known = {parameter.name for parameter in FAULTS[self.fault].parameters}
        given = {name: value for name, value in {"namespace": self.name, "workload": self.app}.items() if name in known}
        return {**given, **self.params}


def manifests(row: Row) -> list[Object]:
    """A web service (the shop's orders) with its database, bound to the row's node."""
    web = {
        "name": "web",
        "image": "registry.example.com/shop/orders:1.4.2",
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [
            {"name": "DATABASE_URL", "value": "postgres://shop@db:5432/shop"},
            {"name": "DATABASE_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}},
            {"name": "PAYMENTS_URL", "value": "http://payments:8080"},
            {"name": "INVENTORY_URL", "value": "http://inventory:8080"},
            {"name": "ORDER_TTL_MINUTES", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "ttl"}}},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "http"},
            "initialDelaySeconds": 8,
            "periodSeconds": 2,
        },
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "384Mi"}},
        **row.container,
    }
    database = {
        "name": "db",
        "image": "postgres:16",
        "ports": [{"containerPort": 5432}],
        "env": [
            {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}},
            {"name": "POSTGRES_USER", "value": "shop"},
            {"name": "POSTGRES_DB", "value": "shop"},
        ],
        "readinessProbe": {"tcpSocket": {"port": 5432}, "initialDelaySeconds": 4, "periodSeconds": 2},
    }
    return [
        _object(row, "ConfigMap", "settings", {"data": {"ttl": "30"}}),
        _object(row, "Secret", "database", {"stringData": {"password": "correct-horse"}}),
        _deployment(row, "web", web),
        _deployment(row, "db", database),
        _service(row, "web", 8080),
        _service(row, "db", 5432),
    ]


def _object(row: Row, kind: str, name: str, rest: Mapping[str, Any], version: str = "v1") -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": row.name}, **rest}


def _deployment(row: Row, name: str, container: Object) -> Object:
    pod = {
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"kubernetes.io/hostname": row.name},
        "tolerations": [{"key": "row", "operator": "Exists"}],
        "containers": [container],
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
    }
    return _object(row, "Deployment", name, {"spec": spec}, "apps/v1")


def _service(row: Row, name: str, port: int) -> Object:
    return _object(row, "Service", name, {"spec": {"selector": {"app": name}, "ports": [{"port": port}]}})


class Shop:
    """The world of some rows: `exhibits` are their faults' pods, each once it looks as recorded, or at last."""

    def __init__(self, rows: Sequence[Row], directory: Path) -> None:
        self.rows = rows
        self.exhibits: dict[str, Exhibit] = {}
        document = {
            "apiVersion": "sandbox.recist.io/v1",
            "kind": "Scenario",
            "metadata": {"name": "faults"},
            "nodes": [
                {"name": "system"},
                *(
                    {"name": row.name, "taints": [{"key": "row", "value": row.name, "effect": "NoSchedule"}]}
                    for row in rows
                ),
            ],
            "manifests": [item for row in rows for item in manifests(row)],
            "traffic": [
                {"namespace": row.name, "service": "web", "port": 8080, "requestsPerSecond": 2} for row in rows
            ],
        }
        path = directory / "faults.yaml"
        path.write_text(yaml.safe_dump(document))
        self._scenario = load_scenario(path)
        self._sandbox: Sandbox

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self._sandbox = build(self._scenario, clock=lambda: EPOCH + loop.time())
        task = asyncio.create_task(self._sandbox.run())
        runner = self._sandbox.runner
        assert runner is not None
        while runner.started_at is None:
            assert loop.time() < _UP_SECONDS, "the shop does not come up"
            await asyncio.sleep(0.5)
        assert not runner.problems
        await asyncio.sleep(15)
        begin = loop.time()
        for row in self.rows:
            self._sandbox.injector.inject(row.fault, row.arguments(), row.name)
            if row.release:
                self._release(row)
        wanted = {row.name: row.recorded.exhibit() for row in self.rows}
        while (passed := loop.time() - begin) < _DEADLINE_SECONDS and len(self.exhibits) < len(self.rows):
            await asyncio.sleep(0.5)
            for row in self.rows:
                if row.name in self.exhibits:
                    continue
                found = self._exhibit(row)
                if found is not None and self._is_like(found, wanted[row.name], row, passed):
                    self.exhibits[row.name] = copy.deepcopy(found)
        for row in self.rows:
            last = self._exhibit(row)
            assert last is not None, f"{row.name} has no pod"
            self.exhibits.setdefault(row.name, last)
        assert not task.done(), "a part of the world died"
        task.cancel()

    @staticmethod
    def _is_like(found: Exhibit, wanted: Exhibit, row: Row, passed_seconds: float) -> bool:
        if isinstance(row.recorded, Evicted):
            return row.recorded.is_done(found)
        if row.recorded == HEALTHY and passed_seconds < _SETTLE_SECONDS:
            return False  # trouble may still come
        look = tuple(row.instead.get(word, word) for word in wanted.look())
        return found.look() == look and set(wanted.first_seen()) <= set(found.first_seen())

    def _exhibit(self, row: Row) -> Exhibit | None:
        namespace = "kube-system" if row.app == "coredns" else row.name
        labels = {"k8s-app": "kube-dns"} if row.app == "coredns" else {"app": row.app}
        cluster = self._sandbox.cluster
        pods = cluster.list("pods", namespace, labels)
        choose = min if row.first else max
        chosen = choose(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], default=None)
        return Exhibit(chosen, _about(chosen, cluster.list("events", namespace))) if chosen else None

    def _release(self, row: Row) -> None:
        def change(body: Object) -> None:
            body["spec"]["template"]["spec"]["containers"][0]["image"] = row.release

        self._sandbox.cluster.mutate("deployments.apps", row.name, "web", change, user=PERSON)
