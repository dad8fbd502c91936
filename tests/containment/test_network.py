"""Whether NetworkPolicies have an effect: told from what runs, as the plugins' own manifests deploy it."""

from __future__ import annotations

from typing import Any

import pytest

from healing.containment import network
from healing.containment.network import Enforcement, judge
from healing.ports.errors import Forbidden


def agent(name: str, image: str = "x:1", args: tuple[str, ...] = ()) -> dict[str, Any]:
    containers = [{"name": "agent", "image": image, "args": list(args)}]
    return {"metadata": {"name": name}, "spec": {"template": {"spec": {"containers": containers}}}}


def node(version: str) -> dict[str, Any]:
    return {"metadata": {"name": "n"}, "status": {"nodeInfo": {"kubeletVersion": version}}}


KUBE_PROXY = agent("kube-proxy")


@pytest.mark.parametrize(
    ("agents", "version", "expected", "says"),
    [
        ([agent("calico-node")], "v1.31.0", Enforcement.YES, "Calico"),
        ([agent("kube-flannel-ds"), agent("calico-node")], "v1.31.0", Enforcement.YES, "Calico"),
        ([agent("canal")], "v1.31.0", Enforcement.YES, "Canal"),
        ([agent("cilium")], "v1.31.0", Enforcement.YES, "Cilium"),
        ([agent("anetd")], "v1.31.4-gke.1", Enforcement.YES, "Dataplane V2"),
        ([agent("antrea-agent")], "v1.31.0", Enforcement.YES, "Antrea"),
        ([agent("weave-net")], "v1.31.0", Enforcement.YES, "Weave"),
        ([agent("kube-router")], "v1.31.0", Enforcement.YES, "kube-router"),
        ([agent("ovnkube-node")], "v1.36.0", Enforcement.YES, "OVN"),
        ([agent("azure-npm")], "v1.31.0", Enforcement.YES, "Azure"),
        ([agent("aws-node", args=("--enable-network-policy=true",))], "v1.31.0-eks", Enforcement.YES, "Amazon"),
        ([agent("aws-node", args=("--enable-network-policy=false",))], "v1.31.0-eks", Enforcement.NO, "Amazon"),
        ([agent("aws-node")], "v1.31.0-eks", Enforcement.NO, "enableNetworkPolicy"),
        ([agent("aws-node"), agent("calico-node")], "v1.31.0-eks", Enforcement.YES, "Calico"),
        ([agent("kindnet", "docker.io/kindest/kindnetd:v20240813-c6f155d6")], "v1.31.0", Enforcement.YES, "kindnet"),
        ([agent("kindnet", "docker.io/kindest/kindnetd:v20240202-8f1494ea")], "v1.30.0", Enforcement.NO, "0.24"),
        ([agent("kindnet", "mirror.example/kindnet:stable")], "v1.30.0", Enforcement.UNKNOWN, "kindnet"),
        ([agent("kube-flannel-ds")], "v1.31.0", Enforcement.NO, "Flannel"),
        ([], "v1.31.4+k3s1", Enforcement.YES, "K3s"),
        ([KUBE_PROXY], "v1.31.0", Enforcement.UNKNOWN, "not known"),
        ([], "v1.31.0", Enforcement.UNKNOWN, "not known"),
    ],
)  # fmt: skip
def test_what_is_known_of_each_plugin(
    agents: list[dict[str, Any]], version: str, expected: Enforcement, says: str
) -> None:
    found = judge([KUBE_PROXY, *agents], [node(version)])
    assert found.enforcement is expected
    assert says in found.why


def test_who_may_not_look_does_not_know_and_asks_again_later() -> None:
    class Closed:
        asked = 0

        def list(self, kind: str, **_: Any) -> Any:
            self.asked += 1
            raise Forbidden("may not list daemonsets")

    network.forget()
    cluster: Any = Closed()
    for _ in range(2):
        assert network.network_of(cluster, "closed", timeout_seconds=1).enforcement is Enforcement.UNKNOWN
    assert cluster.asked == 1
    assert "may not list" in network.network_of(cluster, "closed", timeout_seconds=1).why
    network.forget()
