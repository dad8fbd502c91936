"""Conditions in status lists, changed the way Kubernetes' own helpers do."""

from __future__ import annotations

from healing.sandbox.ports import Object

#: (status, reason, message)
Verdict = tuple[str, str, str]


def find(conditions: list[Object], type_: str) -> Object | None:
    return next((c for c in conditions if c["type"] == type_), None)


def without(conditions: list[Object], type_: str) -> list[Object]:
    return [c for c in conditions if c["type"] != type_]


def set_workload(
    conditions: list[Object], type_: str, verdict: Verdict, now: str, *, update_time: bool = True
) -> list[Object]:
    """A Deployment's or ReplicaSet's condition. The same status and reason change nothing, not even the message;
    what is written again moves to the end of the list. ReplicaSets have no ``lastUpdateTime``."""
    status, reason, message = verdict
    current = find(conditions, type_)
    if current is not None and current["status"] == status and current["reason"] == reason:
        return conditions
    transition = current["lastTransitionTime"] if current is not None and current["status"] == status else now
    entry: Object = {"type": type_, "status": status}
    if update_time:
        entry["lastUpdateTime"] = now
    entry |= {"lastTransitionTime": transition, "reason": reason, "message": message}
    return [*without(conditions, type_), entry]
