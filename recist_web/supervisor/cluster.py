"""The cluster, looked at and prepared before the tree starts: a wrong kubeconfig is told at once, not in a log."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from healing.cluster import crds
from healing.cluster.config import ClusterConfig
from healing.cluster.kubernetes import KubernetesCluster
from healing.ports.cluster import ObjectRef
from healing.ports.errors import Forbidden, NotFound, SourceError, Unauthorized
from recist_web.supervisor.errors import CannotStartError
from recist_web.supervisor.rights import TIMEOUT_SECONDS, Asking, Rights

DEMO_OBJECTS = Path(__file__).with_name("demo.yaml")


class PreparedCluster:
    """The cluster of `kubeconfig` and `context` (or its current one). All methods raise `CannotStartError`."""

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        self.context, self._namespace = _context(kubeconfig, context)
        self._where = f"context {self.context!r} in {kubeconfig}"
        self._try_it = f"kubectl --kubeconfig {kubeconfig} --context {self.context}"
        try:
            self._cluster = KubernetesCluster(ClusterConfig(kubeconfig, self.context))
            self.version = self._cluster.version(timeout_seconds=TIMEOUT_SECONDS)
        except SourceError as error:
            raise CannotStartError(
                f"The cluster of {self._where} cannot be used: {error}\n{self._advice(error)}"
            ) from error

    def _advice(self, error: SourceError) -> str:
        if isinstance(error, Unauthorized):
            return f"The credentials are missing, wrong or expired. Sign in again, then try: {self._try_it} auth whoami"
        if isinstance(error, Forbidden):
            return "The user of this context may not ask that; name another one with --context."
        return f"Is it running, and is the address right? Try: {self._try_it} version"

    @property
    def name(self) -> str:
        """The context's name in the form CLUSTER_NAME takes."""
        return re.sub(r"[^a-z0-9.-]+", "-", self.context.lower()).strip("-.")[:63].strip("-.") or "default"

    def identity(self) -> str:
        """Name and the beginning of a uid that no other cluster has: contexts of different clusters are often called
        the same. The name alone where the uid must not be read."""
        try:
            found = self._cluster.get("Namespace", "", "kube-system", timeout_seconds=TIMEOUT_SECONDS)
        except (NotFound, Forbidden):
            return self.name
        except SourceError as error:
            raise CannotStartError(f"The cluster of {self._where} cannot be read: {error}") from error
        return f"{self.name}-{str(found['metadata']['uid'])[:8]}"

    def missing_crds(self) -> list[str]:
        """Names of our resource definitions that the cluster does not have."""
        definitions = [(crd["spec"]["names"]["kind"], crd["metadata"]["name"]) for crd in crds.load()]
        try:
            return [
                name for kind, name in definitions if not self._cluster.serves(kind, timeout_seconds=TIMEOUT_SECONDS)
            ]
        except SourceError as error:
            raise CannotStartError(f"What {self._where} serves cannot be read: {error}") from error

    def rights(self, lease_namespace: str, namespaces: Sequence[str] = ()) -> Rights:
        """What the context's user may do, everywhere or in those namespaces; `lease_namespace` is ours.
        CannotStartError when it lacks what nothing works without: to see pods, and to hold the Lease."""
        try:
            has_namespace = self._has_namespace(lease_namespace)
            rights = Asking(self._cluster, self._where).find(lease_namespace, namespaces, self._namespace)
        except SourceError as error:
            raise CannotStartError(f"What the user of {self._where} may do cannot be asked: {error}") from error
        if rights.lease_namespace == lease_namespace and not has_namespace:
            raise CannotStartError(
                f"The namespace {lease_namespace}, for the watchers' Lease, does not exist, and the user of "
                f"{self._where} may not create it. Create it (kubectl create namespace {lease_namespace}), or set "
                "POD_NAMESPACE to another."
            )
        return rights

    def _has_namespace(self, name: str) -> bool:
        """Also when the watcher may create it."""
        try:
            self._cluster.get("Namespace", "", name, timeout_seconds=TIMEOUT_SECONDS)
        except NotFound:
            return self._cluster.can_i("create", "Namespace", timeout_seconds=TIMEOUT_SECONDS)
        except Forbidden:
            return True  # it will show when the Lease is created
        return True

    def apply_crds(self) -> list[str]:
        """Create or update our resource definitions and wait until they are served; returns their names."""
        try:
            return crds.apply(self._cluster)
        except Forbidden as error:
            raise CannotStartError(
                f"ReCiSt's resource definitions cannot be applied: {error}\n"
                "Have somebody who may do so run: kubectl apply -f helm/recist/crds/   and start without --apply-crds."
            ) from error
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


def _context(kubeconfig: Path, wanted: str | None) -> tuple[str, str]:
    """The context's name, and its namespace."""
    if kubeconfig.is_dir():
        raise CannotStartError(f"{kubeconfig} is a directory. Name the kubeconfig file with --kubeconfig PATH.")
    try:
        text = kubeconfig.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CannotStartError(f"There is no kubeconfig at {kubeconfig}. Name one with --kubeconfig PATH.") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise CannotStartError(f"The kubeconfig {kubeconfig} cannot be read: {why}.") from error
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CannotStartError(f"{kubeconfig} is not a kubeconfig: {error}") from error
    entries = content.get("contexts") if isinstance(content, dict) else None
    names = [str(entry["name"]) for entry in entries or () if isinstance(entry, dict) and entry.get("name")]
    if not names:
        raise CannotStartError(f"{kubeconfig} is not a usable kubeconfig: it has no contexts.")
    chosen = wanted or str(content.get("current-context") or "")
    if not chosen:
        raise CannotStartError(f"{kubeconfig} has no current context. Name one with --context: {', '.join(names)}")
    if chosen not in names:
        raise CannotStartError(
            f"{kubeconfig} has no context {chosen!r}. Name one of these with --context: {', '.join(names)}"
        )
    entry = next(e for e in entries or () if isinstance(e, dict) and str(e.get("name")) == chosen)
    context = entry.get("context")
    namespace = context.get("namespace") if isinstance(context, dict) else None
    return chosen, str(namespace or "default")
