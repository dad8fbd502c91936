"""Starts the whole tree with embedded stores, in the order that puts the address on the screen soonest."""

from __future__ import annotations

import json
import os
import queue
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import yaml

from recist_web.environment import SECRETS, variables
from recist_web.supervisor import lock, tree
from recist_web.supervisor.child import Child
from recist_web.supervisor.cluster import PreparedCluster
from recist_web.supervisor.errors import CannotStartError, StoppedError
from recist_web.supervisor.ports import free_port, is_free
from recist_web.supervisor.supervisor import Supervisor
from recist_web.supervisor.valkey import valkey_spec, wait_for_valkey

# Only this machine may come in: the demo's passwords are known to everybody.
HOST = "127.0.0.1"
SANDBOX_START_SECONDS = 60.0
WEB_START_SECONDS = 60.0
POLL_SECONDS = 0.05

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster the tree looks after. A URL of None: there is no such server."""

    cluster_name: str
    kubeconfig: Path
    context: str | None = None
    prometheus_url: str | None = None
    loki_url: str | None = None
    #: only these are looked into; empty: all
    namespaces: tuple[str, ...] = ()
    #: where the watchers' Lease lies; empty: where POD_NAMESPACE says
    lease_namespace: str = ""


@dataclass(frozen=True, slots=True)
class SandboxRequest:
    """The embedded cluster to start: what happens in it, and where its kubeconfig is written."""

    scenario: str
    kubeconfig: Path
    faults: bool


class Tree:
    """The embedded tree of one VAR_DIR. Use as a context manager: whatever happens, nothing is left running."""

    def __init__(
        self,
        var_directory: Path,
        port: int,
        say: Callable[[str], None],
        *,
        environment: Mapping[str, str] | None = None,
        echo: bool = False,
    ) -> None:
        """`environment` is what the processes start from (by default ours and `.env`); the tree adds its part.

        CannotStartError when the place cannot be written, another tree holds it, or the port is taken.
        """
        self.var = var_directory
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self._say = say
        lock.prepare(self.var)
        self._lock = lock.take(self.var, f"process {os.getpid()}, {self.url}")
        if not is_free(port, HOST):
            self._lock.close()
            raise CannotStartError(
                f"Port {port} is taken by another program. Choose another one, such as PORT={_suggestion(port)}"
            )
        self.supervisor = Supervisor(self.var / "log", say, echo=echo)
        # Kept: to make one takes longer than to ask, and it asks often while others want the processor.
        self._client = httpx.Client(base_url=self.url, timeout=2.0, trust_env=False)
        self._environment = dict(variables() if environment is None else environment)
        self._complete_environment()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()
        self._client.close()
        self._lock.close()

    @property
    def environment(self) -> Mapping[str, str]:
        """What the product's processes get; complete after `start_product`."""
        return dict(self._environment)

    def start_valkey(self) -> None:
        port = free_port()
        url = f"redis://{HOST}:{port}"
        child = self.supervisor.start(valkey_spec(self.var / "valkey", port, self._environment))
        wait_for_valkey(url, child)
        self._set(REDIS_URL=url)

    def start_sandbox(self, wanted: SandboxRequest) -> Callable[[], Target]:
        """Start the embedded cluster; the returned function waits until it serves and says where."""
        wanted.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        announced: queue.Queue[dict[str, Any]] = queue.Queue()

        def listen(line: str) -> None:
            if line.startswith("{"):
                try:
                    announced.put(json.loads(line))
                except ValueError:
                    return

        spec = tree.sandbox(
            self._environment,
            port=free_port(),
            kubeconfig=wanted.kubeconfig,
            scenario=wanted.scenario,
            faults=wanted.faults,
        )
        child = self.supervisor.start(replace(spec, on_line=listen))

        def wait() -> Target:
            urls = self._wait(child, SANDBOX_START_SECONDS, lambda: _announcement(announced))
            cluster = PreparedCluster(wanted.kubeconfig)
            cluster.prepare_demo()
            cluster.close()
            # Nobody has to get to know an embedded cluster first.
            self._environment.setdefault("AUTONOMY_FIRST_DAY", "off")
            # The dashboard's panel that breaks something; an empty one of the caller's stays empty.
            self._environment.setdefault("DEMO_CONTROL_URL", f"{urls['api']}/sandbox/v1")
            return Target("sandbox", wanted.kubeconfig, None, urls["prometheus"], urls["loki"])

        return wait

    def start_product(
        self, targets: Target | Sequence[Target], *, threads: Mapping[str, int] | None = None, watchers: int = 1
    ) -> None:
        """Start web and, when it is ready, workers, beat and watchers on one cluster or several.

        `threads`: how many a worker process gets (`worker`, `worker-fast`), where not its usual number. `watchers`: how
        many processes the clusters are dealt out among. Of several clusters the first is the default one.
        """
        several = [targets] if isinstance(targets, Target) else list(targets)
        if len(several) == 1:
            self._set(CLUSTERS_FILE="", **_single(several[0]))
        else:
            path = self.var / "clusters.yaml"
            path.write_text(yaml.safe_dump([_entry(target) for target in several], sort_keys=False), encoding="utf-8")
            self._set(CLUSTERS_FILE=str(path), **dict.fromkeys(_single(several[0]), ""))
        watched: list[list[str]] = [[]]
        if watchers > 1:
            watched = [[target.cluster_name for target in several[i::watchers]] for i in range(watchers)]
        web, *others = tree.product(
            self._environment, host=HOST, port=self.port, threads=threads, watched=[w for w in watched if w] or [[]]
        )
        # One after the other: a person waits for the page, and all at once they would share the processors.
        self._wait(self.supervisor.start(web), WEB_START_SECONDS, self.is_ready)
        for spec in others:
            self.supervisor.start(spec)

    def is_ready(self) -> bool:
        """Whether the web process and what it needs are there."""
        try:
            return self._client.get("/readyz").status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _wait(self, child: Child, seconds: float, look: Callable[[], _Found | None]) -> _Found:
        """Poll `look` until it finds something; CannotStartError with the child's last words when it does not."""
        deadline = time.monotonic() + seconds
        while not self.supervisor.stopping:
            if found := look():
                return found
            ended = child.exit_code is not None
            if ended or time.monotonic() > deadline:
                what = f"ended with exit code {child.exit_code}" if ended else f"was not ready after {seconds:g} s"
                child.wait_or_kill(time.monotonic())
                last_words = "\n".join(f"    {line}" for line in child.last_lines)
                raise CannotStartError(f"{child.spec.name} {what}. Its last words ({child.log_path}):\n{last_words}")
            time.sleep(POLL_SECONDS)
        raise StoppedError

    def _set(self, **values: str) -> None:
        for name, value in values.items():
            self._environment[name] = value
            if name in SECRETS:
                self._environment.pop(f"{name}_FILE", None)

    def _complete_environment(self) -> None:
        """Ours comes first where the tree decides; the rest (such as LLM_API_KEY) is the caller's."""
        self._set(
            # Already read: a line there must not come back where the tree has decided otherwise.
            ENV_FILE=os.devnull,
            DJANGO_SETTINGS_MODULE="recist_web.settings",
            PYTHONUNBUFFERED="1",
            VAR_DIR=str(self.var),
            PORT=str(self.port),
            HTTPS_ONLY="off",
            QDRANT_PATH=str(self.var / "qdrant"),
        )
        self._environment.setdefault("LOG_FORMAT", "console")
        if not (self._environment.get("SECRET_KEY") or self._environment.get("SECRET_KEY_FILE")):
            self._set(SECRET_KEY=_kept_secret(self.var / "secret-key"))


def _single(target: Target) -> dict[str, str]:
    lease = {"POD_NAMESPACE": target.lease_namespace} if target.lease_namespace else {}
    return {
        **lease,
        "WATCH_NAMESPACES": ",".join(target.namespaces),
        "CLUSTER_NAME": target.cluster_name,
        "KUBECONFIG": str(target.kubeconfig),
        "KUBE_CONTEXT": target.context or "",
        "PROMETHEUS_URL": target.prometheus_url or "off",
        "LOKI_URL": target.loki_url or "off",
    }


def _entry(target: Target) -> dict[str, str]:
    """As CLUSTERS_FILE lists it (recist_web/clusters.py)."""
    entry = {
        "name": target.cluster_name,
        "kubeconfig": str(target.kubeconfig.absolute()),
        "context": target.context,
        "prometheus": target.prometheus_url,
        "loki": target.loki_url,
    }
    return {key: value for key, value in entry.items() if value}


def _announcement(announced: queue.Queue[dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return announced.get_nowait()
    except queue.Empty:
        return None


def _kept_secret(path: Path) -> str:
    """The same key after a restart, so that nobody is signed out; readable by its owner alone."""
    if path.exists() and (kept := path.read_text(encoding="utf-8").strip()):
        return kept
    fresh = secrets.token_urlsafe(48)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(fresh)
    return fresh


def _suggestion(port: int) -> int:
    return next((other for other in range(port + 1, port + 100) if is_free(other, HOST)), 0) or free_port()
