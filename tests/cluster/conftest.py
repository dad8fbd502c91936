from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.cluster.loki import Loki
from healing.cluster.prometheus import Prometheus
from tests.cluster.fixtures import live, namespace, sandbox
from tests.cluster.server import Server, running

__all__ = ["cluster", "live", "loki", "namespace", "prometheus", "sandbox", "server"]


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> Iterator[KubernetesCluster]:
    made = KubernetesCluster(ClusterConfig(server.kubeconfig(tmp_path)), default_timeout_seconds=3.0)
    yield made
    made.close()


@pytest.fixture
def prometheus(server: Server) -> Iterator[Prometheus]:
    made = Prometheus(server.url)
    yield made
    made.close()


@pytest.fixture
def loki(server: Server) -> Iterator[Loki]:
    made = Loki(server.url)
    yield made
    made.close()
