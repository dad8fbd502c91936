"""The API server without HTTP: `ApiServer` implements `healing.sandbox.ports.Cluster`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from healing.sandbox.api import errors
from healing.sandbox.api.addresses import Addresses
from healing.sandbox.api.admission import Admission
from healing.sandbox.api.bootstrap import bootstrap
from healing.sandbox.api.builtin import register_builtin
from healing.sandbox.api.crd import CustomResources, CustomRules
from healing.sandbox.api.deletes import DeleteOptions, Deletes, Deletion
from healing.sandbox.api.events import EventRecorder
from healing.sandbox.api.eviction import evict
from healing.sandbox.api.garbage import GarbageCollector, StorageProtection, sweep_events
from healing.sandbox.api.meta import clone, labels_of
from healing.sandbox.api.namespaces import NamespaceController
from healing.sandbox.api.older import Pruner
from healing.sandbox.api.patches.apply import apply_configuration
from healing.sandbox.api.registry import Registry, ResourceType
from healing.sandbox.api.store import Store
from healing.sandbox.api.versions import KubernetesVersion
from healing.sandbox.api.webhooks import WebhookCall
from healing.sandbox.api.writes import Options, Writes
from healing.sandbox.ports import Listener, LogSource, Object, User

#: who the server itself is when it writes
SYSTEM = User("system:apiserver", ("system:masters",), field_manager="kube-apiserver")


class ApiServer:
    """Objects and their rules. Every method is synchronous: it never yields to the event loop."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        log_source: LogSource | None = None,
        kubernetes: KubernetesVersion | None = None,
    ) -> None:
        """``clock`` gives seconds since the epoch; ``log_source`` may be set later, before logs are asked for.

        ``kubernetes``: the version it speaks as; that of the recordings, unless one is given.
        """
        self.clock = clock
        self.kubernetes = kubernetes or KubernetesVersion()
        self.pruner = Pruner(self.kubernetes)
        self.log_source = log_source
        #: how webhooks whose Service has endpoints are called; None: they admit everything
        self.webhook_call: WebhookCall | None = None
        self.store = Store()
        self.registry = Registry()
        register_builtin(self.registry, self.kubernetes)
        self.admission = Admission(self)
        self.writes = Writes(self)
        self.deletes = Deletes(self)
        self.events = EventRecorder(self)
        self._addresses = Addresses(self)
        self.custom = CustomResources(self)
        self._controllers = GarbageCollector(self), NamespaceController(self), StorageProtection(self)
        bootstrap(self)

    async def run(self) -> None:
        """The server's own housekeeping; returns when cancelled."""
        await sweep_events(self)

    @property
    def git_version(self) -> str:
        return self.kubernetes.git_version

    def has(self, feature: str) -> bool:
        return self.kubernetes.has(feature)

    # -- resources ------------------------------------------------------------------------------------------------

    def resource(self, storage: str) -> ResourceType:
        """The type named ``pods`` or ``deployments.apps``; 404 `ApiError` if there is none."""
        found = self.registry.by_storage(storage)
        if found is None:
            raise errors.no_such_resource()
        return found

    def custom_rules(self, resource: ResourceType) -> CustomRules | None:
        return self.custom.rules(resource) if resource.custom is not None else None

    def prepare_create(self, resource: ResourceType, obj: Object) -> None:
        """What a new object needs from the cluster: addresses and ports."""
        if resource.storage == "services":
            self._addresses.assign(obj)

    def prepare_update(self, resource: ResourceType, new: Object, old: Object) -> None:
        """What a changed object needs from the cluster."""
        if resource.storage == "services" and new["spec"] != old["spec"]:
            self._addresses.assign(new)

    # -- Cluster: reading -----------------------------------------------------------------------------------------

    def get(self, resource: str, namespace: str | None, name: str) -> Object | None:
        return self.store.table(resource).get(namespace or "", name)

    def list(
        self, resource: str, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Sequence[Object]:
        objects = self.store.table(resource).objects(namespace)
        if not labels:
            return objects
        wanted = labels.items()
        return [obj for obj in objects if wanted <= labels_of(obj).items()]

    def subscribe(self, resource: str, listener: Listener) -> Callable[[], None]:
        return self.store.subscribe(resource, listener)

    # -- Cluster: writing -----------------------------------------------------------------------------------------

    def create(self, resource: str, namespace: str | None, body: Object, *, user: User) -> Object:
        return self.create_in(resource, namespace, body, user, "")

    def create_in(self, resource: str, namespace: str | None, body: Object, user: User, api_version: str) -> Object:
        """`create`, with the API version that managedFields should name."""
        kind = self.resource(resource)
        obj = clone(body)
        return self.writes.create(
            kind,
            namespace or obj.get("metadata", {}).get("namespace") or "",
            obj,
            Options(user, api_version=api_version),
        )

    def update(
        self, resource: str, namespace: str | None, name: str, body: Object, *, user: User, subresource: str = ""
    ) -> Object:
        new = clone(body)
        return self.writes.update(
            self.resource(resource), namespace or "", name, lambda _old: new, Options(user), subresource
        )

    def mutate(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        change: Callable[[Object], None],
        *,
        user: User,
        subresource: str = "",
    ) -> Object:
        def apply(old: Object) -> Object:
            new: Object = clone(old)
            change(new)
            new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
            return new

        return self.writes.update(self.resource(resource), namespace or "", name, apply, Options(user), subresource)

    def apply(self, resource: str, namespace: str | None, body: Object, *, user: User) -> Object:
        kind = self.resource(resource)
        name = body["metadata"]["name"]
        options = Options(user, keep_managed=True)

        def merge(live: Object, *, created: bool) -> Object:
            return apply_configuration(
                kind, live, {"apiVersion": kind.api_version, **clone(body)}, manager=options.field_manager, force=True,
                subresource="", now=self.clock(), created=created,
            )  # fmt: skip

        if self.get(resource, namespace, name) is not None:
            return self.writes.update(kind, namespace or "", name, lambda old: merge(old, created=False), options)
        empty: Object = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}}
        made = merge(empty, created=True)
        made["metadata"]["name"] = name
        return self.writes.create(kind, namespace or "", made, options)

    def delete(
        self,
        resource: str,
        namespace: str | None,
        name: str,
        *,
        user: User,
        grace_seconds: int | None = None,
        propagation: str = "Background",
        uid: str | None = None,
    ) -> None:
        options = DeleteOptions(user, grace_seconds=grace_seconds, propagation=propagation, uid=uid or "")
        self.delete_with(resource, namespace, name, options)

    def delete_with(self, resource: str, namespace: str | None, name: str, options: DeleteOptions) -> Deletion:
        return self.deletes.delete(self.resource(resource), namespace or "", name, options)

    def bind(self, namespace: str, name: str, node: str, user: User) -> Object:
        """The ``binding`` subresource: put the pod on ``node``; 409 `ApiError` if it is on one already."""

        def place(pod: Object) -> None:
            pod["spec"]["nodeName"] = node

        return self.mutate("pods", namespace, name, place, user=user, subresource="binding")

    def evict(
        self,
        namespace: str,
        name: str,
        *,
        user: User,
        grace_seconds: int | None = None,
        dry_run: bool = False,
        uid: str = "",
    ) -> None:
        """The ``eviction`` subresource; 429 `ApiError` if a disruption budget forbids it."""
        evict(self, namespace, name, user=user, grace_seconds=grace_seconds, dry_run=dry_run, uid=uid)

    def record_event(
        self,
        regarding: Object,
        *,
        type: Literal["Normal", "Warning"],  # noqa: A002  (the name of the field)
        reason: str,
        message: str,
        component: str,
        host: str = "",
        field_path: str = "",
        action: str = "",
    ) -> None:
        self.events.record(
            regarding,
            type=type,
            reason=reason,
            message=message,
            component=component,
            host=host,
            field_path=field_path,
            action=action,
        )
