"""The whole product as processes, with two workers that share the work and two watchers, and a way to break each part.

Between the product and each of its servers stands a proxy; whoever breaks and judges speaks to the servers themselves.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import psycopg
import yaml
from psycopg.rows import dict_row

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.ports.cluster import Object
from healing.ports.errors import SourceError
from recist_web.supervisor.child import Child
from recist_web.supervisor.launch import SandboxRequest
from tests.chaos.proxy import Proxy
from tests.chaos.stores import MortalPostgres
from tests.parts.live_tree import LiveTree
from tests.parts.postgres import create_database

NAMESPACE = "chaos"
LEASE_NAMESPACE, LEASE = "recist-system", "recist-watcher"
POLICY: dict[str, Any] = {
    "autonomy": "heal",
    "approval": {"mode": "never"},
    "limits": {"stormFaults": 0, "cooldownSeconds": 0, "maxConcurrentHealings": 50},
    "thresholds": {"forSeconds": 5},
    "verification": {"timeoutSeconds": 120, "stableSeconds": 2},
}
_CALL_SECONDS = 20.0
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Wishes:
    """``environment``: more for the product's processes; ``old_code``: a checkout whose code the second worker runs."""

    scenario: str = "shop"
    environment: Mapping[str, str] | None = None
    old_code: Path | None = None
    second_watcher: bool = True


class Arena(LiveTree):
    """A running tree on a PostgreSQL of its own. Use as a context manager."""

    def __init__(self, directory: Path, wishes: Wishes | None = None) -> None:
        self.wishes = wishes or Wishes()
        self.parts = ExitStack()
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        self.postgres = MortalPostgres(directory / "pg")
        self.parts.callback(self.postgres.stop)
        try:
            self.database_url = create_database(self.postgres.port, "chaos")
            super().__init__(directory, self.database_url, scenario=self.wishes.scenario)
        except BaseException:
            self.parts.close()
            raise
        self._tree._environment.update(AUTONOMY_FIRST_DAY="off", **(self.wishes.environment or {}))

    def __enter__(self) -> Self:
        try:
            self._tree.__enter__()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            super().__exit__()
        finally:
            self.parts.close()

    def _start(self) -> None:
        wait_for_sandbox = self._tree.start_sandbox(SandboxRequest(self.wishes.scenario, self.kubeconfig, False))
        self._tree.start_valkey()
        self.manage("migrate", "--verbosity", "0")
        self.manage("shell", "--no-imports", "-c", "from recist_web.people import *; ensure_demo_people()")
        real = wait_for_sandbox()
        where = urlsplit(str(real.prometheus_url))
        at = str(where.hostname), int(where.port or 80)
        self.api, self.prometheus, self.loki = (self.parts.enter_context(Proxy(at)) for _ in range(3))
        self.control = self.parts.enter_context(
            httpx.Client(base_url=f"http://{at[0]}:{at[1]}/sandbox/v1", trust_env=False, timeout=20)
        )
        self.cluster = KubernetesCluster(ClusterConfig(self.kubeconfig, None))
        self.parts.callback(self.cluster.close)
        self.target = replace(
            real,
            kubeconfig=self._proxied_kubeconfig(),
            prometheus_url=f"http://127.0.0.1:{self.prometheus.port}{where.path}",
            loki_url=f"http://127.0.0.1:{self.loki.port}{urlsplit(str(real.loki_url)).path}",
        )
        self.cluster.create("Namespace", "", {"metadata": {"name": NAMESPACE}}, timeout_seconds=_CALL_SECONDS)
        body = {
            "apiVersion": "recist.io/v1alpha1",
            "kind": "SelfHealingPolicy",
            "metadata": {"name": "chaos", "namespace": LEASE_NAMESPACE},
            "spec": {"targetNamespaces": [NAMESPACE], **POLICY},
        }
        self.cluster.patch("SelfHealingPolicy", LEASE_NAMESPACE, "chaos", body, patch_type="apply", force=True)
        # From here on: the cluster's and the stores' clocks stay right.
        paths = [str(Path(__file__).with_name("child")), self._tree._environment.get("PYTHONPATH", "")]
        self._tree._environment.update(
            PYTHONPATH=os.pathsep.join(path for path in paths if path), CLOCK_FILE=str(self._clock("most"))
        )
        self._tree.start_product(self.target)
        self._start_the_second_ones()
        self.wait_for(self.leader, "a watcher leads", 90)
        self.wait_for(self._policy_is_read, "the policy is read", 60)

    def _proxied_kubeconfig(self) -> Path:
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{self.api.port}"
        path = self.kubeconfig.with_name("kubeconfig-by-proxy")
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path

    def _start_the_second_ones(self) -> None:
        """A worker that shares every queue, and a watcher that stands by."""
        supervisor = self._tree.supervisor
        first = supervisor.child("worker").spec
        command = [word.replace("worker@%h", "second@%h") for word in first.command]
        queues = supervisor.child("worker-fast").spec.command
        command[command.index("-Q") + 1] += "," + queues[queues.index("-Q") + 1]
        environment = {**first.environment, "CLOCK_FILE": str(self._clock("worker-2"))}
        second = replace(first, name="worker-2", command=command, environment=environment)
        if self.wishes.old_code is not None:
            second = replace(second, working_directory=self.wishes.old_code)
        supervisor.start(second)
        if self.wishes.second_watcher:
            supervisor.start(replace(supervisor.child("watcher").spec, name="watcher-2"))

    # --- processes -----------------------------------------------------------------------------------------

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """One signal; what has died is started again by `wait_for`, as by a Deployment."""
        os.kill(self.process(name).pid, number)

    def set_clocks(self, most_seconds: float, second_worker_seconds: float) -> None:
        """By how much the product's clocks are wrong: those of all processes but the second worker, and its own."""
        for name, seconds in (("most", most_seconds), ("worker-2", second_worker_seconds)):
            fresh = self._clock(name).with_suffix(".new")
            fresh.write_text(f"{seconds}\n", encoding="utf-8")
            fresh.replace(self._clock(name))

    def _clock(self, name: str) -> Path:
        return self.directory / f"clock-of-{name}"

    def leader(self) -> str | None:
        """The name of the watcher's process that holds the Lease."""
        try:
            lease = self.cluster.get("Lease", LEASE_NAMESPACE, LEASE, timeout_seconds=_CALL_SECONDS)
        except SourceError:
            return None
        holder = str((lease.get("spec") or {}).get("holderIdentity") or "")
        pids = {str(child.pid): child.spec.name for child in self._tree.supervisor.children}
        return pids.get(holder.split("_")[1]) if holder.count("_") >= 2 else None

    def child(self, name: str) -> Child:
        return self._tree.supervisor.child(name)

    def restarts(self) -> int:
        return sum(self._tree.supervisor.restarts.values())

    # --- the database, read beside the product --------------------------------------------------------------

    @contextmanager
    def database(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        with psycopg.connect(self.database_url, autocommit=True, row_factory=dict_row, connect_timeout=5) as found:
            yield found

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self.database() as database:
            return database.execute(query, values).fetchall()

    def rows_if_there(self, query: str, *values: object) -> list[dict[str, Any]] | None:
        """None: the database does not answer."""
        try:
            return self.rows(query, *values)
        except psycopg.OperationalError:
            return None

    # --- the cluster, past the proxy ------------------------------------------------------------------------

    def _policy_is_read(self) -> bool:
        policy = self.cluster.get("SelfHealingPolicy", LEASE_NAMESPACE, "chaos", timeout_seconds=_CALL_SECONDS)
        return bool(policy.get("status"))

    def deployments(self) -> dict[str, Object]:
        found = self.cluster.list("Deployment", NAMESPACE, timeout_seconds=_CALL_SECONDS).items
        return {obj["metadata"]["name"]: obj for obj in found}

    def until(self, look: Callable[[], _Found | None], seconds: float) -> _Found | None:
        """As `wait_for`, for who can live without: None when the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            self.look_after()
            if (found := look()) or time.monotonic() > deadline:
                return found or None
            time.sleep(0.2)
