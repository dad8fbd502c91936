"""The cluster, looked at and prepared before the tree starts: a wrong kubeconfig is told at once, not in a log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config as kube_config

from healing.cluster import crds
from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.ports.cluster import ObjectRef
from healing.ports.errors import SourceError
from recist_web.supervisor.errors import CannotStartError

DEMO_OBJECTS = Path(__file__).with_name("demo.yaml")
TIMEOUT_SECONDS = 10.0
_KIND = "CustomResourceDefinition"
# The official client has no types.
_list_contexts: Any = kube_config.list_kube_config_contexts


class PreparedCluster:
    """The cluster of `kubeconfig` and `context` (or its current one). All methods raise `CannotStartError`."""

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        self.context = _context(kubeconfig, context)
        self._where = f"context {self.context!r} in {kubeconfig}"
        try:
            self._cluster = KubernetesCluster(ClusterConfig(kubeconfig, self.context))
            self.version = self._cluster.version(timeout_seconds=TIMEOUT_SECONDS)
        except SourceError as error:
            raise CannotStartError(f"The cluster of {self._where} cannot be used: {error}") from error

    @property
    def name(self) -> str:
        """The context's name in the form CLUSTER_NAME takes."""
        return re.sub(r"[^a-z0-9.-]+", "-", self.context.lower()).strip("-.")[:63].strip("-.") or "default"

    def missing_crds(self) -> list[str]:
        """Names of our resource definitions that the cluster does not have."""
        try:
            found = self._cluster.list(_KIND, timeout_seconds=TIMEOUT_SECONDS).items
        except SourceError as error:
            raise CannotStartError(f"The resource definitions of {self._where} cannot be listed: {error}") from error
        have = {definition["metadata"]["name"] for definition in found}
        return sorted({definition["metadata"]["name"] for definition in crds.load()} - have)

    def apply_crds(self) -> list[str]:
        """Create or update our resource definitions and wait until they are served; returns their names."""
        try:
            return crds.apply(self._cluster)
        except SourceError as error:
            raise CannotStartError(f"ReCiSt's resource definitions cannot be applied: {error}") from error

    def prepare_demo(self) -> None:
        """Our resource definitions, namespace and the demo's policy, for the embedded cluster."""
        self.apply_crds()
        for body in yaml.safe_load_all(DEMO_OBJECTS.read_text(encoding="utf-8")):
            ref = ObjectRef.of(body)
            try:
                self._cluster.patch(ref.kind, ref.namespace, ref.name, body, patch_type="apply", force=True)
            except SourceError as error:
                raise CannotStartError(f"The demo's {ref} cannot be applied: {error}") from error

    def close(self) -> None:
        self._cluster.close()


def _context(kubeconfig: Path, wanted: str | None) -> str:
    if not kubeconfig.is_file():
        raise CannotStartError(f"There is no kubeconfig at {kubeconfig}. Name one with --kubeconfig PATH.")
    try:
        contexts, current = _list_contexts(str(kubeconfig))
        names = [str(entry["name"]) for entry in contexts]
        chosen = wanted or str(current["name"])
    except (kube_config.ConfigException, yaml.YAMLError, OSError, TypeError, KeyError) as error:
        raise CannotStartError(f"{kubeconfig} cannot be used as a kubeconfig: {error}") from error
    if chosen not in names:
        raise CannotStartError(f"{kubeconfig} has no context {chosen!r}; it has: {', '.join(names)}")
    return chosen
