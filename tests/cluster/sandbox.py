"""The embedded cluster as a process of its own, reached by its URLs like any cluster."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from healing.cluster import crds
from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster

START_SECONDS = 30.0
SCENARIO = {"apiVersion": "sandbox.recist.io/v1", "kind": "Scenario", "metadata": {"name": "empty"}, "nodes": 2}


@dataclass(frozen=True)
class RunningSandbox:
    kubeconfig: Path
    prometheus: str
    loki: str

    def connect(self) -> KubernetesCluster:
        return KubernetesCluster(ClusterConfig(self.kubeconfig))


@contextlib.contextmanager
def running_sandbox(
    directory: Path, *, scenario: str = "", with_crds: bool = True, kubernetes: str = ""
) -> Iterator[RunningSandbox]:
    """A cluster with two nodes, our resource types and nothing else; or what a scenario says.

    ``kubernetes``: its version, such as 1.26, if not the sandbox's own."""
    empty = directory / "empty.yaml"
    empty.write_text(yaml.safe_dump(SCENARIO))
    command = [sys.executable, "-m", "healing.sandbox.server", "--json", "--scenario", scenario or str(empty)]
    if kubernetes:
        command += ["--kubernetes-version", kubernetes]
    process = subprocess.Popen(
        [*command, "--data-dir", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("{"):
                break
        else:
            raise RuntimeError(f"the sandbox did not start: {''.join(said)}")
        where = json.loads(said[-1])
        started = RunningSandbox(Path(where["kubeconfig"]), where["prometheus"], where["loki"])
        cluster = started.connect()
        if with_crds:
            crds.apply(cluster)
        eventually(lambda: len(cluster.list("Node").items) >= 2)
        cluster.close()
        yield started
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def eventually(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Ask until it holds; an AssertionError after the deadline, which only ends a hang."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"did not become true within {seconds} s"
        time.sleep(0.02)
