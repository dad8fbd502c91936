"""Which processes make the product, with which environment. Data only; supervisor.py runs them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recist_web.environment import PROJECT_DIR
from recist_web.supervisor.child import Spec

MANAGE = str(PROJECT_DIR / "manage.py")
# Stopped in this order: first what makes new work, then what shows it, last what both need.
STAGE_WORK, STAGE_CLUSTER, STAGE_STORES = range(3)


@dataclass(frozen=True, slots=True)
class Worker:
    """A Celery process. Threads, not processes: its work waits for HTTP, and the embedded Qdrant has one owner."""

    name: str
    queues: tuple[str, ...]
    threads: int
    #: how far it steps back where processors are scarce (POSIX nice)
    nice: int = 0


# Containment has a process of its own, so that nothing slow can stand before it; and where many things break at once on
# few processors, weighing their causes steps back for it.
WORKERS = (
    Worker("worker-fast", ("containment", "default"), threads=4),
    Worker("worker", ("diagnosis", "healing", "knowledge", "notifications"), threads=12, nice=5),
)


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def product(
    environment: Mapping[str, str],
    *,
    host: str,
    port: int,
    threads: Mapping[str, int] | None = None,
    watched: Sequence[Sequence[str]] = ((),),
) -> list[Spec]:
    """The four kinds of processes (docs/architecture.md); web comes first.

    `threads`: by worker, where it is not to have its usual number. `watched`: the clusters of each watcher process;
    an empty sequence means all.
    """
    web = python("-m", "uvicorn", "recist_web.asgi:application", "--host", host, "--port", str(port))
    # Uvicorn waits for open connections; a dashboard's WebSocket never closes by itself.
    web += ["--timeout-graceful-shutdown", "2", "--no-access-log", "--lifespan", "off"]
    web += ["--ws", "recist_web.websockets:SharedProtocol"]
    specs = [_spec("web", web, environment, stop_seconds=4.0)]
    for worker in WORKERS:
        command = python("-m", "celery", "-A", "recist_web", "worker", "-n", f"{worker.name}@%h", "-P", "threads")
        command += ["-c", str((threads or {}).get(worker.name, worker.threads)), "-Q", ",".join(worker.queues)]
        # Gossip, mingle and heartbeat talk to other workers, for features nobody uses here.
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        if worker.nice and shutil.which("nice"):
            command = ["nice", "-n", str(worker.nice), *command]
        specs.append(_spec(worker.name, command, environment))
    specs.append(_spec("beat", python("-m", "celery", "-A", "recist_web", "beat", "--pidfile="), environment))
    for number, clusters in enumerate(watched, start=1):
        named = [part for cluster in clusters for part in ("--cluster", cluster)]
        name = "watcher" if number == 1 else f"watcher-{number}"
        specs.append(_spec(name, python(MANAGE, "watch", *named), environment))
    return specs


def sandbox(environment: Mapping[str, str], *, port: int, kubeconfig: Path, scenario: str, faults: bool) -> Spec:
    command = python(MANAGE, "sandbox", "--port", str(port), "--kubeconfig", str(kubeconfig), "--scenario", scenario)
    command += ["--json"] if faults else ["--json", "--no-faults"]
    return _spec("sandbox", command, environment, stage=STAGE_CLUSTER, stop_seconds=2.0)


def _spec(
    name: str, command: list[str], environment: Mapping[str, str], stage: int = STAGE_WORK, stop_seconds: float = 5.0
) -> Spec:
    return Spec(name, command, environment, PROJECT_DIR, stage=stage, stop_seconds=stop_seconds)
