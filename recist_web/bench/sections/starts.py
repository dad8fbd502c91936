"""From the command to the page: the demo's tree started on nothing, and started again on what it left.

The packages are installed already. Cold: an empty directory, so that the database is made and migrated. Warm: the same
directory, so that nothing has to be made.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from recist_web.bench.product import is_led
from recist_web.bench.section import Bench, CannotMeasureError, Number, Result, p50_p95
from recist_web.supervisor.ports import free_port
from recist_web.supervisor.tree import MANAGE, python

TITLE = "From the command to the page"
_PATIENCE_SECONDS = 180.0
_POLL_SECONDS = 0.05


def run(bench: Bench) -> Result:
    """Each tree is asked for its login page and for its watcher's Lease, and is then told to stop."""
    colds, warms = bench.pick(full=5, smoke=1), bench.pick(full=5, smoke=1)
    result = Result(parameters={"cold_starts": colds, "warm_starts": warms})
    cold, warm = [], []
    for number in range(colds):
        cold.append(_start(bench.directory / f"cold-{number}"))
        bench.say(f"  cold: {cold[-1]}")
    for _ in range(warms):
        warm.append(_start(bench.directory / "cold-0"))
        bench.say(f"  warm: {warm[-1]}")
    for name, starts in (("cold", cold), ("warm", warm)):
        result.numbers += p50_p95(f"{name} start: the login page", [start[0] for start in starts])
        result.numbers += p50_p95(f"{name} start: a watcher leads", [start[1] for start in starts])
    result.numbers.append(Number("told to stop -> ended, slowest", max(start[2] for start in [*cold, *warm]), "s"))
    return result


def _start(var: Path) -> tuple[float, float, float]:
    """Seconds until the page is there, until a watcher leads, and from SIGTERM to the end."""
    var.mkdir(exist_ok=True)
    port = free_port()
    kept_out = ("DATABASE_URL", "REDIS_URL", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in kept_out}
    environment |= {"VAR_DIR": str(var), "PORT": str(port), "DEMO_FAULTS": "off"}
    log = var / "demo.log"
    began = time.monotonic()
    with log.open("ab") as out:
        tree = subprocess.Popen(python(MANAGE, "demo"), env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5.0, trust_env=False) as client:
            page = _until(tree, log, lambda: _has_page(client)) - began
        leads = _until(tree, log, lambda: _is_led(var / "sandbox" / "kubeconfig")) - began
    finally:
        asked = time.monotonic()
        tree.send_signal(signal.SIGTERM)
        try:
            tree.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            tree.kill()
            tree.wait()
    return page, leads, time.monotonic() - asked


def _until(tree: subprocess.Popen[bytes], log: Path, look: Callable[[], bool]) -> float:
    """The moment (monotonic) at which ``look`` first was true. Raises `CannotMeasureError`."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not look():
        if tree.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise CannotMeasureError(f"The demo did not start. It said:\n{said}")
        time.sleep(_POLL_SECONDS)
    return time.monotonic()


def _has_page(client: httpx.Client) -> bool:
    try:
        return client.get("/login/").is_success
    except httpx.HTTPError:
        return False


def _is_led(kubeconfig: Path) -> bool:
    cluster = KubernetesCluster(ClusterConfig(kubeconfig, None))
    try:
        return is_led(cluster)
    finally:
        cluster.close()
