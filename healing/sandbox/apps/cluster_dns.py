"""The cluster's DNS as an installer sets it up: CoreDNS behind the Service kube-dns."""

from __future__ import annotations

from pathlib import Path

import yaml

from healing.sandbox.ports import Cluster, User

INSTALLER = User("kubernetes-admin", ("system:masters", "system:authenticated"), field_manager="kubeadm")
_RESOURCES = {
    "ServiceAccount": "serviceaccounts",
    "ConfigMap": "configmaps",
    "Deployment": "deployments.apps",
    "Service": "services",
}


def install(cluster: Cluster) -> None:
    """Create what is not there yet; the pods come up with the world."""
    text = Path(__file__).with_name("coredns.yaml").read_text(encoding="utf-8")
    for manifest in yaml.safe_load_all(text):
        resource, meta = _RESOURCES[manifest["kind"]], manifest["metadata"]
        if cluster.get(resource, meta["namespace"], meta["name"]) is None:
            cluster.create(resource, meta["namespace"], manifest, user=INSTALLER)
