"""Joins ports and adapters: the only place that knows which adapter stands behind which port.

Adapters are imported inside the functions: the web process joins only what it uses, and never loads litellm,
qdrant-client or an embedding model (tests/wiring/test_light_web.py).
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from django.conf import settings

from recist_web.clusters import ClusterTarget, some_of

if TYPE_CHECKING:
    from healing.ports import Ports

_lock = threading.Lock()
_built: dict[tuple[int, ClusterTarget], Ports] = {}


def build_ports(cluster_name: str) -> Ports:
    """The ports of the cluster called `cluster_name`, from the settings; the same object on every call in a process.

    Raises `LookupError` for a name that is not in `CLUSTERS`. Nothing is connected yet: a cluster that cannot be
    reached shows when it is called.
    """
    target: ClusterTarget | None = settings.CLUSTERS.get(cluster_name)
    if target is None:
        raise LookupError(f"There is no cluster {cluster_name!r} here; there is: {some_of(settings.CLUSTERS)}.")
    # The process id: connections must not be shared with a forked child. The target: tests change settings.
    key = (os.getpid(), target)
    with _lock:
        if key not in _built:
            _built[key] = _build(target)
        return _built[key]


def _build(target: ClusterTarget) -> Ports:
    from healing.cluster.config import ClusterConfig
    from healing.cluster.kubernetes import KubernetesCluster
    from healing.cluster.loki import Loki
    from healing.cluster.prometheus import Prometheus
    from healing.llm.client import LiteLlm
    from healing.ports import Ports

    return Ports(
        cluster_name=target.name,
        cluster=KubernetesCluster(ClusterConfig(target.kubeconfig, target.context)),
        metrics=Prometheus(target.prometheus_url, target.prometheus_access) if target.prometheus_url else None,
        logs=Loki(target.loki_url, target.loki_access) if target.loki_url else None,
        language_model=LiteLlm(),
        namespaces=target.watch_namespaces,
    )
