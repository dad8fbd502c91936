"""A real cluster, looked at before the tree starts: a wrong kubeconfig is told at once, not in a worker's log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config, dynamic
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from recist_web.environment import PROJECT_DIR
from recist_web.supervisor.errors import CannotStartError

CRD_DIRECTORY = PROJECT_DIR / "helm" / "recist" / "crds"
TIMEOUT_SECONDS = 10
FIELD_MANAGER = "recist"


class RealCluster:
    """A connection to the cluster of `kubeconfig` (and `context`, or its current one)."""

    def __init__(self, kubeconfig: Path, context: str | None) -> None:
        """CannotStartError when the file cannot be used or the cluster does not answer."""
        if not kubeconfig.is_file():
            raise CannotStartError(f"There is no kubeconfig at {kubeconfig}. Name one with --kubeconfig PATH.")
        try:
            contexts, current = config.list_kube_config_contexts(str(kubeconfig))
            names = [entry["name"] for entry in contexts]
            if context and context not in names:
                raise CannotStartError(f"{kubeconfig} has no context {context!r}; it has: {', '.join(names)}")
            self.context: str = context or current["name"]
            self._api = config.new_client_from_config(str(kubeconfig), context=self.context)
        except (ConfigException, yaml.YAMLError, OSError, TypeError, KeyError) as error:
            raise CannotStartError(f"{kubeconfig} cannot be used as a kubeconfig: {error}") from error
        self.version = self._ask_version(kubeconfig)

    @property
    def name(self) -> str:
        """The context's name in the form CLUSTER_NAME takes."""
        return re.sub(r"[^a-z0-9.-]+", "-", self.context.lower()).strip("-.")[:63].strip("-.") or "default"

    def missing_crds(self) -> list[str]:
        """Names of our resource definitions that the cluster does not have."""
        try:
            found = client.ApiextensionsV1Api(self._api).list_custom_resource_definition(
                _request_timeout=TIMEOUT_SECONDS
            )
        except (client.ApiException, HTTPError) as error:
            raise CannotStartError(f"The cluster's resource definitions cannot be listed: {_reason(error)}") from error
        have = {definition.metadata.name for definition in found.items if definition.metadata}
        return sorted({body["metadata"]["name"] for body in _definitions()} - have)

    def apply_crds(self) -> list[str]:
        """Create or update our resource definitions (server-side apply); returns their names."""
        resource = dynamic.DynamicClient(self._api).resources.get(
            api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition"
        )
        applied = []
        for body in _definitions():
            name = body["metadata"]["name"]
            try:
                resource.server_side_apply(body=body, name=name, field_manager=FIELD_MANAGER, force_conflicts=True)
            except (client.ApiException, HTTPError) as error:
                raise CannotStartError(f"The resource definition {name} cannot be applied: {_reason(error)}") from error
            applied.append(name)
        return applied

    def _ask_version(self, kubeconfig: Path) -> str:
        try:
            answer = client.VersionApi(self._api).get_code(_request_timeout=TIMEOUT_SECONDS)
        except (client.ApiException, HTTPError) as error:
            raise CannotStartError(
                f"The cluster of context {self.context!r} in {kubeconfig} does not answer: {_reason(error)}"
            ) from error
        return str(answer.git_version)


def _definitions() -> list[dict[str, Any]]:
    found = []
    for path in sorted(CRD_DIRECTORY.glob("*.yaml")):
        found += [body for body in yaml.safe_load_all(path.read_text(encoding="utf-8")) if body]
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, client.ApiException):
        return f"{error.status} {error.reason}"
    cause = getattr(error, "reason", None) or error
    return str(cause)
