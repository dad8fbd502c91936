"""Joins ports and adapters: the only place that knows which adapter stands behind which port.

Adapters are imported inside the functions: the web process joins only what it uses, and never loads litellm,
qdrant-client or an embedding model (tests/wiring/test_light_web.py).
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from healing.ports import Ports

_lock = threading.Lock()
_built: dict[tuple[str, ...], Ports] = {}


def build_ports(cluster_name: str) -> Ports:
    """The ports of the cluster called `cluster_name`, from the settings; the same object on every call in a process.

    Raises `LookupError` for a name that is not `CLUSTER_NAME`. Nothing is connected yet: a cluster that cannot be
    reached shows when it is called.
    """
    if cluster_name != settings.CLUSTER_NAME:
        raise LookupError(f"There is no cluster {cluster_name!r} here; CLUSTER_NAME is {settings.CLUSTER_NAME!r}.")
    # The process id: connections must not be shared with a forked child. The rest: tests change settings.
    key = (
        str(os.getpid()),
        cluster_name,
        str(settings.KUBECONFIG or ""),
        settings.KUBE_CONTEXT or "",
        settings.PROMETHEUS_URL or "",
        settings.LOKI_URL or "",
    )
    with _lock:
        if key not in _built:
            _built[key] = _build(cluster_name)
        return _built[key]


def _build(cluster_name: str) -> Ports:
    from healing.cluster.config import ClusterConfig
    from healing.cluster.kubernetes import KubernetesCluster
    from healing.cluster.loki import Loki
    from healing.cluster.prometheus import Prometheus
    from healing.ports import Ports

    kubeconfig = Path(settings.KUBECONFIG) if settings.KUBECONFIG else None
    return Ports(
        cluster_name=cluster_name,
        cluster=KubernetesCluster(ClusterConfig(kubeconfig, settings.KUBE_CONTEXT or None)),
        metrics=Prometheus(settings.PROMETHEUS_URL) if settings.PROMETHEUS_URL else None,
        logs=Loki(settings.LOKI_URL) if settings.LOKI_URL else None,
    )
