"""Admission: what the cluster's policies change in, or refuse about, a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from healing.sandbox.api import errors
from healing.sandbox.api.limits import check_pod_limits, set_pod_defaults
from healing.sandbox.api.meta import labels_of, random_suffix
from healing.sandbox.api.pod_security import violations
from healing.sandbox.api.quantity import parse_quantity
from healing.sandbox.api.quota import in_scope, object_usage, show, usage_amounts
from healing.sandbox.api.registry import ResourceType
from healing.sandbox.api.webhooks import check_webhooks
from healing.sandbox.ports import Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer
    from healing.sandbox.api.writes import Options

#: namespaces that may not be deleted
IMMORTAL_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})
_MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS = 3607
_TOLERATION_SECONDS = 300
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def _name_of(obj: Object) -> str:
    metadata = obj["metadata"]
    return str(metadata.get("name") or metadata.get("generateName") or "")


class Admission:
    """The chain of admission plugins, in Kubernetes' order."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def mutate_create(self, resource: ResourceType, namespace: str, obj: Object, user: User) -> None:
        """Before the checks of a create. 403 and 404 come from here."""
        self._namespace_lifecycle(resource, namespace, obj)
        if resource.storage == "pods":
            set_pod_defaults(self._server.list("limitranges", namespace), obj)
            self._service_account(namespace, obj)
            self._priority(obj)
            self._default_tolerations(obj)
        elif resource.storage == "persistentvolumeclaims":
            self._default_storage_class(obj)

    def check_create(self, resource: ResourceType, namespace: str, obj: Object, options: Options) -> None:
        """After the checks of a create: webhooks, limits and quotas."""
        check_webhooks(self._server, resource, obj, "CREATE")
        if not resource.namespaced:
            return
        if resource.storage == "pods":
            space = self._server.get("namespaces", None, namespace)
            unsafe = violations(labels_of(space or {"metadata": {}}), obj)
            if unsafe:
                raise errors.forbidden("pods", "", _name_of(obj), unsafe)
            problems = check_pod_limits(self._server.list("limitranges", namespace), obj)
            if problems:
                text = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
                raise errors.forbidden("pods", "", _name_of(obj), text)
        self._quota(resource, namespace, obj, None)

    def check_update(self, resource: ResourceType, namespace: str, new: Object, old: Object, options: Options) -> None:
        """After the checks of an update: growing claims, quotas."""
        if resource.storage == "persistentvolumeclaims":
            self._expansion(new, old)
        if resource.storage in ("services", "persistentvolumeclaims", "pods"):
            self._quota(resource, namespace, new, old)

    def check_delete(self, resource: ResourceType, name: str) -> None:
        if resource.storage == "namespaces" and name in IMMORTAL_NAMESPACES:
            raise errors.forbidden("namespaces", "", name, "this namespace may not be deleted")

    # -- plugins --------------------------------------------------------------------------------------------------

    def _namespace_lifecycle(self, resource: ResourceType, namespace: str, obj: Object) -> None:
        if not resource.namespaced:
            return
        found = self._server.get("namespaces", None, namespace)
        if found is None:
            raise errors.not_found("namespaces", "", namespace)
        if found["metadata"].get("deletionTimestamp"):
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise errors.forbidden(resource.plural, resource.group, _name_of(obj), why, [cause])

    def _service_account(self, namespace: str, pod: Object) -> None:
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = self._server.get("serviceaccounts", namespace, name)
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise errors.forbidden("pods", "", _name_of(pod), why)
        if account.get("imagePullSecrets") and not spec.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(item) for item in account["imagePullSecrets"]]
        automount = spec.get("automountServiceAccountToken")
        if automount is None:
            automount = account.get("automountServiceAccountToken", True)
        if automount:
            self._mount_token(spec)

    @staticmethod
    def _mount_token(spec: Object) -> None:
        name = ""
        for volume in spec.get("volumes") or ():
            if volume.get("name", "").startswith("kube-api-access-"):
                name = volume["name"]
        mounted = False
        chosen = name or f"kube-api-access-{random_suffix()}"
        for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
            mounts = container.setdefault("volumeMounts", [])
            if any(mount.get("mountPath") == _MOUNT_PATH for mount in mounts):
                continue
            mounts.append({"name": chosen, "readOnly": True, "mountPath": _MOUNT_PATH})
            mounted = True
        if not mounted or name:
            return
        reference = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
        sources = [
            {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": reference}]}},
        ]
        volume = {"name": chosen, "projected": {"sources": sources, "defaultMode": 420}}
        spec.setdefault("volumes", []).append(volume)

    def _priority(self, pod: Object) -> None:
        spec = pod["spec"]
        name = spec.get("priorityClassName")
        table = "priorityclasses.scheduling.k8s.io"
        if name:
            found = self._server.get(table, None, name)
            if found is None:
                why = f"no PriorityClass with name {name} was found"
                raise errors.forbidden("pods", "", _name_of(pod), why)
        else:
            found = next((item for item in self._server.list(table) if item.get("globalDefault")), None)
            if found is not None:
                spec["priorityClassName"] = found["metadata"]["name"]
        spec["priority"] = found["value"] if found else 0
        policy = found.get("preemptionPolicy") if found else None
        spec.setdefault("preemptionPolicy", policy or "PreemptLowerPriority")

    @staticmethod
    def _default_tolerations(pod: Object) -> None:
        tolerations = list(pod["spec"].get("tolerations") or ())
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
            tolerated = any(
                item.get("key") in (key, None, "") and item.get("effect") in ("NoExecute", None, "")
                for item in tolerations
            )
            if not tolerated:
                tolerations.append(
                    {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
                )
        pod["spec"]["tolerations"] = tolerations

    def _default_storage_class(self, claim: Object) -> None:
        if "storageClassName" in claim["spec"]:
            return
        for item in self._server.list("storageclasses.storage.k8s.io"):
            if (item["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true":
                claim["spec"]["storageClassName"] = item["metadata"]["name"]

    def _expansion(self, new: Object, old: Object) -> None:
        """A claim may only grow where its class says so."""
        sizes = [((o["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0") for o in (new, old)]
        if parse_quantity(sizes[0]) <= parse_quantity(sizes[1]):
            return
        found = self._server.get("storageclasses.storage.k8s.io", None, new["spec"].get("storageClassName") or "")
        if found is None or not found.get("allowVolumeExpansion"):
            why = (
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize"
            )
            raise errors.forbidden("persistentvolumeclaims", "", _name_of(new), why)

    def _quota(self, resource: ResourceType, namespace: str, new: Object, old: Object | None) -> None:
        quotas = self._server.list("resourcequotas", namespace)
        if not quotas:
            return
        wanted = object_usage(resource.storage, new)
        if old is not None:
            before = object_usage(resource.storage, old)
            wanted = {name: amount - before.get(name, 0) for name, amount in wanted.items()}
            wanted = {name: amount for name, amount in wanted.items() if amount > 0}
        for quota in quotas:
            hard = (quota.get("spec") or {}).get("hard") or {}
            if not in_scope(quota, resource.storage, new):
                continue
            if resource.storage == "pods" and old is None:
                self._must_specify(quota, hard, new)
            counted = {name: amount for name, amount in wanted.items() if name in hard}
            if not counted:
                continue
            used = usage_amounts(self._server, namespace, quota)
            over = sorted(name for name in counted if used[name] + counted[name] > parse_quantity(str(hard[name])))
            if over:
                texts = [
                    ",".join(f"{name}={show(amounts[name], str(hard[name]))}" for name in over)
                    for amounts in (counted, used, {name: parse_quantity(str(hard[name])) for name in over})
                ]
                quota_name = quota["metadata"]["name"]
                why = f"exceeded quota: {quota_name}, requested: {texts[0]}, used: {texts[1]}, limited: {texts[2]}"
                raise errors.forbidden(resource.plural, resource.group, _name_of(new), why)

    @staticmethod
    def _must_specify(quota: Object, hard: Object, pod: Object) -> None:
        """A quota on compute resources obliges every container to say what it needs."""
        missing: dict[str, list[str]] = {}
        for name in hard:
            kind, _, compute = name.rpartition(".")
            if compute not in ("cpu", "memory", "ephemeral-storage") or kind not in ("", "requests", "limits"):
                continue
            for container in pod["spec"].get("containers") or ():
                given = ((container.get("resources") or {}).get(kind or "requests")) or {}
                if compute not in given:
                    missing.setdefault(name, []).append(container["name"])
        if missing:
            text = "; ".join(f"{name} for: {','.join(missing[name])}" for name in sorted(missing))
            why = f"failed quota: {quota['metadata']['name']}: must specify {text}"
            raise errors.forbidden("pods", "", _name_of(pod), why)
