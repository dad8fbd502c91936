"""Who has just edited an object may still be at it: automation keeps its hands off for a moment.

The API server notes in ``metadata.managedFields`` which tool wrote last, and when. Tools that people hold in their
hands (kubectl, consoles) are told from controllers and from us by their names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from healing import managed_fields
from healing.actions.reading import workload_of_pod
from healing.ports.cluster import Cluster, Object, ObjectRef
from healing.ports.errors import NotFound

#: So long after a person's edit nothing is done unasked to the same object.
HOLD_SECONDS = 12.0
#: How the names of tools begin that people use by hand. A browser's is that of its user agent.
_BY_HAND = (
    "kubectl",
    "oc",
    "k9s",
    "lens",
    "openlens",
    "freelens",
    "headlamp",
    "rancher",
    "dashboard",
    "console",
    "mozilla",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edit:
    """``tool`` is the field manager, as the API server notes it."""

    ref: ObjectRef
    tool: str
    at: datetime

    def age_seconds(self, now: datetime) -> float:
        """Never negative: clocks differ a little."""
        return max(0.0, (now - self.at).total_seconds())


def newest_by_hand(obj: Object, kind: str) -> Edit | None:
    """The last time a person's tool wrote the object itself (its status does not count); None: never."""
    found = [
        Edit(ObjectRef.of(obj, kind), entry.manager, entry.at)
        for entry in managed_fields.entries(obj)
        if entry.at is not None and entry.subresource != "status" and _is_by_hand(entry.manager)
    ]
    return max(found, key=lambda edit: edit.at, default=None)


def _is_by_hand(manager: str) -> bool:
    name = manager.lower()
    return any(name == tool or name.startswith((f"{tool}-", f"{tool}/", f"{tool} ")) for tool in _BY_HAND)


def on(cluster: Cluster, target: ObjectRef, now: datetime, *, timeout_seconds: float) -> Edit | None:
    """A person's edit of the target, or of the workload behind a pod, that is still fresh. Raises
    `healing.ports.errors`."""
    try:
        obj = cluster.get(target.kind, target.namespace, target.name, timeout_seconds=timeout_seconds)
    except NotFound:
        return None
    edits = [newest_by_hand(obj, target.kind)]
    if target.kind == "Pod":
        workload = workload_of_pod(cluster, obj, timeout_seconds=timeout_seconds)
        edits.append(newest_by_hand(workload.obj, workload.ref.kind) if workload is not None else None)
    fresh = [edit for edit in edits if edit is not None and edit.age_seconds(now) < HOLD_SECONDS]
    return max(fresh, key=lambda edit: edit.at, default=None)
