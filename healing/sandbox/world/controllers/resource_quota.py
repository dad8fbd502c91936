"""ResourceQuota status: what a namespace uses of its quotas."""

from __future__ import annotations

from healing.sandbox.api.quota import quota_usage, tables_for
from healing.sandbox.ports import EventType, Listener, Object
from healing.sandbox.world.context import Context
from healing.sandbox.world.reconciler import Key, Reconciler, key_of

RESOURCE = "resourcequotas"


class ResourceQuotaController(Reconciler):
    """Counts with the same function as admission, so that what is refused and what is shown agree."""

    component = "resourcequota-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._watched: set[str] = set()

    def watch(self) -> None:
        self.on_own(RESOURCE)

    def _follow(self, table: str) -> None:
        if table not in self._watched:
            self._watched.add(table)
            self.on(table, self._counted_changed(table))

    def _counted_changed(self, table: str) -> Listener:
        def changed(event: EventType, item: Object, old: Object | None) -> None:
            if event == "MODIFIED" and old is not None and old.get("spec") == item.get("spec"):
                ended = (old.get("status") or {}).get("phase") != (item.get("status") or {}).get("phase")
                # Only the end of a pod changes what is used without a change of the spec.
                if table != "pods" or not ended:
                    return
            for quota in self.cluster.list(RESOURCE, item["metadata"].get("namespace") or ""):
                self.queue.add(key_of(quota))

        return changed

    def reconcile(self, key: Key) -> None:
        quota = self.cluster.get(RESOURCE, *key)
        if quota is None:
            return
        hard = quota["spec"].get("hard") or {}
        for table in tables_for(hard):
            self._follow(table)
        status = {"hard": hard, "used": quota_usage(self.cluster, key[0], quota)}
        if status != quota.get("status"):
            self.cluster.mutate(
                RESOURCE, *key, lambda body: body.update(status=status), user=self.user, subresource="status"
            )
