"""Whether this cluster's network enforces NetworkPolicies: the API server accepts them either way.

It is read from what runs: every network plugin has agents on the nodes, as a DaemonSet. What is not known is said to be
unknown; nothing is tried out in a cluster that bleeds.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from healing.ports.cluster import Cluster, Object
from healing.ports.errors import SourceError

#: A cluster's network plugin is hardly ever changed while it runs.
_KEEP_SECONDS = 300.0
#: An answer we could not get is asked for again soon.
_KEEP_UNKNOWN_SECONDS = 30.0


class Enforcement(StrEnum):
    """What becomes of a NetworkPolicy."""

    YES = "enforced"
    NO = "notEnforced"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Network:
    """``why`` is a sentence for people: what was found, and what it means."""

    enforcement: Enforcement
    why: str


#: DaemonSets (by name) of plugins that enforce NetworkPolicies, with the plugin's name.
_ENFORCE: Mapping[str, str] = {
    "calico-node": "Calico",
    "canal": "Canal",
    "rke2-canal": "Canal",
    "cilium": "Cilium",
    "anetd": "GKE Dataplane V2 (Cilium)",
    "antrea-agent": "Antrea",
    "weave-net": "Weave Net",
    "kube-router": "kube-router",
    "ovnkube-node": "OVN-Kubernetes",
    "kube-ovn-cni": "Kube-OVN",
    "sdn": "OpenShift SDN",
    "azure-npm": "Azure Network Policy Manager",
    "romana-agent": "Romana",
    "kube-network-policies": "kube-network-policies",
    "contiv-netplugin": "Contiv",
    "nsx-node-agent": "NSX",
    "terway-eniip": "Terway",
}
#: Those that only connect pods.
_ONLY_CONNECT: Mapping[str, str] = {
    "kube-flannel-ds": "Flannel",
    "kube-flannel": "Flannel",
    "rke2-flannel": "Flannel",
}
#: kindnet carries an enforcer since this build (kind 0.24); its image's tag begins with the date.
_KINDNET_ENFORCES_SINCE = "20240813"
_KINDNET_TAG = re.compile(r"kindnetd:v(\d{8})")
_K3S = re.compile(r"\+k3s\d*")

_lock = threading.Lock()
_known: dict[str, tuple[float, Network]] = {}


def network_of(cluster: Cluster, cluster_name: str, *, timeout_seconds: float) -> Network:
    """What is known of the cluster's network, kept for some minutes. Never raises."""
    with _lock:
        kept = _known.get(cluster_name)
    if kept is not None and kept[0] > time.monotonic():
        return kept[1]
    try:
        agents = cluster.list("DaemonSet", timeout_seconds=timeout_seconds).items
        nodes = [] if _judge(agents) else cluster.list("Node", timeout_seconds=timeout_seconds).items
        found = judge(agents, nodes)
    except SourceError as error:
        found = Network(
            Enforcement.UNKNOWN,
            f"Whether this cluster's network enforces NetworkPolicies is not known: its DaemonSets cannot be read "
            f"({error}).",
        )
    seconds = _KEEP_UNKNOWN_SECONDS if found.enforcement is Enforcement.UNKNOWN else _KEEP_SECONDS
    with _lock:
        _known[cluster_name] = time.monotonic() + seconds, found
    return found


def forget() -> None:
    """Look again next time."""
    with _lock:
        _known.clear()


def judge(daemon_sets: Iterable[Object], nodes: Iterable[Object]) -> Network:
    """Pure. One plugin that enforces is enough: others beside it only connect (Flannel under Canal)."""
    agents = list(daemon_sets)
    found = _judge(agents)
    if found is not None:
        return found
    versions = {str(((n.get("status") or {}).get("nodeInfo") or {}).get("kubeletVersion", "")) for n in nodes}
    if any(_K3S.search(version) for version in versions):
        return Network(
            Enforcement.YES, "K3s enforces NetworkPolicies itself, unless it was started with --disable-network-policy."
        )
    connecting = _first(agents, _ONLY_CONNECT)
    if connecting:
        return Network(
            Enforcement.NO,
            f"This cluster's network ({connecting}) does not enforce NetworkPolicies: they exist and have no effect.",
        )
    return Network(
        Enforcement.UNKNOWN,
        "Whether this cluster's network enforces NetworkPolicies is not known: none of its DaemonSets is a network "
        "plugin that we know.",
    )


def _judge(agents: list[Object]) -> Network | None:
    """What one agent alone decides."""
    enforcing = _first(agents, _ENFORCE)
    if enforcing:
        return Network(Enforcement.YES, f"This cluster's network ({enforcing}) enforces NetworkPolicies.")
    for agent in agents:
        name = _name(agent)
        if name == "aws-node":
            return _amazon(agent)
        if name == "kindnet":
            return _kindnet(agent)
    return None


def _first(agents: Iterable[Object], known: Mapping[str, str]) -> str:
    names = {_name(agent) for agent in agents}
    return next((plugin for name, plugin in known.items() if name in names), "")


def _name(agent: Object) -> str:
    return str(agent["metadata"]["name"])


def _containers(agent: Object) -> list[dict[str, Any]]:
    return list(agent["spec"]["template"]["spec"].get("containers") or ())


def _amazon(agent: Object) -> Network:
    """The VPC plugin has an enforcer in a container beside it, switched on by an argument."""
    for container in _containers(agent):
        if "--enable-network-policy=true" in (container.get("args") or ()):
            return Network(
                Enforcement.YES, "This cluster's network (Amazon VPC CNI, network policy agent on) enforces "
                "NetworkPolicies.",
            )  # fmt: skip
    return Network(
        Enforcement.NO,
        "This cluster's network (Amazon VPC CNI, network policy agent off) does not enforce NetworkPolicies: they "
        "exist and have no effect. The add-on's setting enableNetworkPolicy switches it on.",
    )


def _kindnet(agent: Object) -> Network:
    for container in _containers(agent):
        tag = _KINDNET_TAG.search(str(container.get("image", "")))
        if tag is None:
            continue
        if tag[1] >= _KINDNET_ENFORCES_SINCE:
            return Network(Enforcement.YES, "This cluster's network (kindnet) enforces NetworkPolicies.")
        return Network(
            Enforcement.NO,
            "This cluster's network (kindnet, before kind 0.24) does not enforce NetworkPolicies: they exist and have "
            "no effect.",
        )
    return Network(
        Enforcement.UNKNOWN,
        "Whether this cluster's network (kindnet) enforces NetworkPolicies is not known: it does since kind 0.24.",
    )
