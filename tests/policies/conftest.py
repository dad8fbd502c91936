"""A sandbox with our resource types, reached by the app's own way to clusters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from healing.cluster.kubernetes import KubernetesCluster
from recist_web.clusters import ClusterTarget
from tests.cluster.fixtures import live, namespace, sandbox
from tests.cluster.sandbox import RunningSandbox
from tests.parts.kubectl import Kubectl

__all__ = ["live", "namespace", "sandbox"]


@pytest.fixture
def joined(sandbox: RunningSandbox, settings: Settings) -> str:
    """The sandbox is the app's cluster; its name."""
    name = str(settings.CLUSTER_NAME)
    settings.CLUSTERS = {name: ClusterTarget(name, kubeconfig=sandbox.kubeconfig)}
    return name


@pytest.fixture
def kubectl(sandbox: RunningSandbox) -> Kubectl:
    return Kubectl(sandbox.kubeconfig)


@pytest.fixture
def applied(kubectl: Kubectl, live: KubernetesCluster, namespace: str) -> Iterator[str]:
    """A policy that somebody applied with kubectl, in a namespace of the test's own; the namespace."""
    kubectl("apply", "-f", "-", stdin=manifest(namespace))
    yield namespace
    live.delete("SelfHealingPolicy", namespace, "shop")


def manifest(namespace: str, more: str = "", *, name: str = "shop") -> str:
    return f"""
apiVersion: recist.io/v1alpha1
kind: SelfHealingPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  targetNamespaces: [{namespace}]
  thresholds: {{cpu: 0.8}}
  diagnosisConfig: {{confidenceThreshold: 0.6}}
{more}"""
