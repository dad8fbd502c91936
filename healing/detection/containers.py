"""Container statuses of a pod, in one shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from healing.detection.times import parse_time
from healing.ports.cluster import Object


@dataclass(frozen=True, slots=True)
class ContainerView:
    """A container's spec beside its status; empty mappings for what is absent."""

    name: str
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    is_init: bool

    @property
    def waiting(self) -> Mapping[str, Any]:
        return self._state("state", "waiting")

    @property
    def running(self) -> Mapping[str, Any] | None:
        """None where it does not run."""
        state = (self.status.get("state") or {}).get("running")
        return state if isinstance(state, dict) else None

    @property
    def terminated(self) -> Mapping[str, Any]:
        return self._state("state", "terminated")

    @property
    def last_terminated(self) -> Mapping[str, Any]:
        return self._state("lastState", "terminated")

    @property
    def restarts(self) -> int:
        return int(self.status.get("restartCount") or 0)

    @property
    def is_ready(self) -> bool:
        return bool(self.status.get("ready"))

    @property
    def has_started(self) -> bool:
        """False while a startup probe has not succeeded."""
        return self.status.get("started") is not False

    @property
    def running_since(self) -> datetime | None:
        return parse_time((self.running or {}).get("startedAt"))

    def limit(self, resource: str) -> str:
        """The limit as a quantity (``500m``), as in force now where the status says; empty: none."""
        for source in (self.status, self.spec):
            limits = (source.get("resources") or {}).get("limits") or {}
            if limits.get(resource):
                return str(limits[resource])
        return ""

    def _state(self, state: str, kind: str) -> Mapping[str, Any]:
        value = (self.status.get(state) or {}).get(kind)
        return value if isinstance(value, dict) else {}


def containers(pod: Object) -> Iterator[ContainerView]:
    """Init containers first; those without a status yet are left out."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    for is_init, names, statuses in (
        (True, "initContainers", "initContainerStatuses"),
        (False, "containers", "containerStatuses"),
    ):
        specs = {entry.get("name"): entry for entry in spec.get(names) or ()}
        for entry in status.get(statuses) or ():
            name = str(entry.get("name"))
            yield ContainerView(name, specs.get(name) or {}, entry, is_init)


def condition(obj: Object, kind: str) -> Mapping[str, Any]:
    """The status condition of that type; empty where there is none. (Their order in the list means nothing.)"""
    for entry in (obj.get("status") or {}).get("conditions") or ():
        if entry.get("type") == kind:
            return dict(entry)
    return {}
