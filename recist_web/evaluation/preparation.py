"""What a cluster has before anything goes wrong in it: our resource definitions, our namespace, its policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from healing.cluster import crds
from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.policies.spec import SYSTEM_NAMESPACES
from healing.ports.cluster import ObjectRef
from healing.sandbox.scenarios import Scenario

NAMESPACE = "recist-system"
_CALL_SECONDS = 20.0


def prepare(kubeconfig: Path, scenario: Scenario, consult: str) -> None:
    """As an operator would before the product is pointed at a cluster. Raises `healing.ports.errors.SourceError`."""
    cluster = KubernetesCluster(ClusterConfig(kubeconfig, None))
    try:
        crds.apply(cluster)
        bodies: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
        for body in [*bodies, *policies_of(scenario, consult)]:
            ref = ObjectRef.of(body)
            cluster.patch(
                ref.kind, ref.namespace, ref.name, body, patch_type="apply", force=True, timeout_seconds=_CALL_SECONDS
            )
    finally:
        cluster.close()


def policies_of(scenario: Scenario, consult: str) -> list[dict[str, Any]]:
    """The scenario's own, or the default: heal in all its namespaces, and ask a person above low risk. ``consult``:
    when a language model is asked, where one is configured."""
    if scenario.policies:
        return [{**policy, "metadata": {"namespace": NAMESPACE, **policy["metadata"]}} for policy in scenario.policies]
    namespaces = [name for name in scenario.namespaces if name not in SYSTEM_NAMESPACES] or ["default"]
    spec = {
        "targetNamespaces": namespaces,
        "autonomy": "heal",
        "approval": {"mode": "riskBased", "autoApproveMaxRisk": "low"},
        "llmConfig": {"consult": consult},
    }
    metadata = {"name": "evaluation", "namespace": NAMESPACE}
    return [{"apiVersion": "recist.io/v1alpha1", "kind": "SelfHealingPolicy", "metadata": metadata, "spec": spec}]
