"""How to reach a cluster: a kubeconfig file (and context), the pod's own ServiceAccount, or kubectl's default file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config as kube_config
from kubernetes.client import Configuration
from yaml import YAMLError

from healing.cluster import credential_plugin
from healing.ports.errors import Unauthorized, Unavailable

#: A worker's threads and those of their micro-agents ask at the same time.
_POOL_SIZE = 128
# The official client has no types.
_load_kube_config: Any = kube_config.load_kube_config
_load_incluster_config: Any = kube_config.load_incluster_config
# There is no other way to give the client's loader one that ends.
_loader: Any = kube_config.kube_config
_loader.ExecProvider = credential_plugin.CredentialPlugin


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """``kubeconfig=None``: the ServiceAccount inside a pod, else the file that kubectl would take."""

    kubeconfig: Path | None = None
    context: str | None = None

    def load(self) -> Configuration:
        """Read it anew. Raises `Unavailable` where nothing can be used, with what to do."""
        configuration: Configuration = type.__call__(Configuration)
        # urllib3 would repeat writes and hide what happened; `healing.cluster.transport` decides about retries.
        configuration.retries = False
        configuration.connection_pool_maxsize = _POOL_SIZE
        configuration.keep_alive = True
        credential_plugin.take_failure()
        try:
            if self.kubeconfig is None and self.context is None and self._in_cluster(configuration):
                return configuration
            path = str(self.kubeconfig) if self.kubeconfig else None
            _load_kube_config(path, context=self.context, client_configuration=configuration, persist_config=False)
        except kube_config.ConfigException as error:
            name = self.kubeconfig or "the default kubeconfig"
            raise Unavailable(
                f"No cluster can be reached: {name} cannot be used ({error}). Set KUBECONFIG, and KUBE_CONTEXT if its "
                "current context is not the one, or run inside the cluster."
            ) from error
        except (OSError, YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable(f"The kubeconfig {self.kubeconfig or ''} cannot be read: {error!r}") from error
        if plugin := self._silent_plugin(configuration):
            # The client only logs that; without credentials the cluster would call us anonymous.
            why = credential_plugin.take_failure()
            raise Unauthorized(
                f"The kubeconfig's plug-in for credentials gave none: {plugin}{f' ({why})' if why else ''}. Run that "
                "by hand to see why (signed out, not installed, waiting for an answer?)."
            )
        return configuration

    def __str__(self) -> str:
        return f"the kubeconfig {self.kubeconfig}" if self.kubeconfig else "the ServiceAccount or default kubeconfig"

    def _silent_plugin(self, configuration: Configuration) -> str:
        """The command that should have given credentials and did not; empty: there are some, or there is none."""
        if configuration.api_key or configuration.cert_file or configuration.username:
            return ""
        path = self.kubeconfig or Path(kube_config.KUBE_CONFIG_DEFAULT_LOCATION).expanduser()
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            chosen = self.context or content["current-context"]
            user = next(c["context"]["user"] for c in content["contexts"] if c["name"] == chosen)
            plugin = next(u["user"] for u in content["users"] if u["name"] == user)["exec"]
            return " ".join(str(part) for part in (plugin["command"], *(plugin.get("args") or ())))
        except (OSError, YAMLError, ValueError, TypeError, KeyError, StopIteration):
            return ""

    @property
    def changed_at(self) -> float:
        """Modification time of the kubeconfig file; 0 where there is none to watch."""
        try:
            return self.kubeconfig.stat().st_mtime if self.kubeconfig else 0.0
        except OSError:
            return 0.0

    @staticmethod
    def _in_cluster(configuration: Configuration) -> bool:
        try:
            _load_incluster_config(client_configuration=configuration)
        except kube_config.ConfigException:
            return False
        return True


def authorization_headers(configuration: Configuration) -> dict[str, str]:
    """The headers that say who we are; the client's hook has refreshed an expired token first."""
    try:
        settings: Any = configuration.auth_settings()
    except Exception as error:  # plug-ins and token files fail in their own ways; all mean: no credentials
        raise Unauthorized(f"The cluster's credentials cannot be refreshed: {error}") from error
    return {str(entry["key"]): str(entry["value"]) for entry in settings.values() if entry.get("value")}
