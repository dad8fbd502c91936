"""A Deployment's status: counters and the conditions Progressing, Available and ReplicaFailure. Pure functions."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from healing.sandbox.ports import Object
from healing.sandbox.world import conditions
from healing.sandbox.world.context import format_time, parse_time
from healing.sandbox.world.controllers import rollout

#: the API's way of saying "no deadline"
NO_DEADLINE = 2**31 - 1


def has_deadline(deployment: Object) -> bool:
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return seconds is not None and seconds != NO_DEADLINE


def calculate(deployment: Object, every: Sequence[Object], new: Object | None, now: float) -> Object:
    """Counters from the ReplicaSets' statuses (zero ones left out, but ``terminatingReplicas``) and Available."""

    def total(items: Sequence[Object], field: str) -> int:
        return sum(int((rs.get("status") or {}).get(field, 0)) for rs in items)

    ready_for_use = total(every, "availableReplicas")
    counters = {
        "replicas": total(every, "replicas"),
        "updatedReplicas": total([new] if new else [], "replicas"),
        "readyReplicas": total(every, "readyReplicas"),
        "availableReplicas": ready_for_use,
        "unavailableReplicas": max(0, sum(rollout.replicas(rs) for rs in every) - ready_for_use),
    }
    old = deployment.get("status") or {}
    status: Object = {"observedGeneration": deployment["metadata"].get("generation", 1)}
    status |= {field: count for field, count in counters.items() if count}
    status["terminatingReplicas"] = total(every, "terminatingReplicas")
    if old.get("collisionCount"):
        status["collisionCount"] = old["collisionCount"]
    entries = copy.deepcopy(old.get("conditions") or [])
    if ready_for_use >= rollout.replicas(deployment) - rollout.max_unavailable(deployment):
        verdict = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        verdict = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    status["conditions"] = conditions.set_workload(entries, "Available", verdict, format_time(now))
    return status


def is_complete(deployment: Object, status: Object) -> bool:
    wanted = rollout.replicas(deployment)
    return bool(
        status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
        and status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 1)
    )


def progress(deployment: Object, every: Sequence[Object], new: Object | None, status: Object, now: float) -> None:
    """Bring Progressing and ReplicaFailure in ``status`` up to date (syncRolloutStatus)."""
    entries: list[Object] = status["conditions"]
    stamp = format_time(now)
    current = conditions.find(entries, "Progressing")
    if not has_deadline(deployment):
        entries = conditions.without(entries, "Progressing")
    done_before = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current["reason"] == "NewReplicaSetAvailable"
    )
    if has_deadline(deployment) and not done_before:
        subject = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
        if is_complete(deployment, status):
            message = f"{subject} has successfully progressed."
            verdict = ("True", "NewReplicaSetAvailable", message)
            entries = conditions.set_workload(entries, "Progressing", verdict, stamp)
        elif _moves(deployment.get("status") or {}, status):
            transition = current["lastTransitionTime"] if current and current["status"] == "True" else stamp
            # Written anew each time: lastUpdateTime is what the deadline counts from.
            entries = [
                *conditions.without(entries, "Progressing"),
                {
                    "type": "Progressing", "status": "True", "lastUpdateTime": stamp, "lastTransitionTime": transition,
                    "reason": "ReplicaSetUpdated", "message": f"{subject} is progressing.",
                },
            ]  # fmt: skip
        elif timed_out(deployment, current, now):
            message = f"{subject} has timed out progressing."
            verdict = ("False", "ProgressDeadlineExceeded", message)
            entries = conditions.set_workload(entries, "Progressing", verdict, stamp)
    failure = _replica_failure(every, new)
    if failure is None:
        entries = conditions.without(entries, "ReplicaFailure")
    else:
        verdict = (failure["status"], failure["reason"], failure["message"])
        entries = conditions.set_workload(entries, "ReplicaFailure", verdict, stamp)
    status["conditions"] = entries


def timed_out(deployment: Object, progressing: Object | None, now: float) -> bool:
    if progressing is None or progressing["reason"] == "NewReplicaSetAvailable":
        return False
    if progressing["reason"] == "ProgressDeadlineExceeded":
        return True
    return seconds_to_deadline(deployment, progressing, now) < 0


def seconds_to_deadline(deployment: Object, progressing: Object, now: float) -> float:
    return float(parse_time(progressing["lastUpdateTime"]) + deployment["spec"]["progressDeadlineSeconds"] - now)


def _moves(old: Object, new: Object) -> bool:
    def of_old_templates(status: Object) -> int:
        return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))

    return (
        new.get("updatedReplicas", 0) > old.get("updatedReplicas", 0)
        or of_old_templates(new) < of_old_templates(old)
        or new.get("readyReplicas", 0) > old.get("readyReplicas", 0)
        or new.get("availableReplicas", 0) > old.get("availableReplicas", 0)
    )


def _replica_failure(every: Sequence[Object], new: Object | None) -> Object | None:
    for rs in [*([new] if new else ()), *every]:
        found = conditions.find((rs.get("status") or {}).get("conditions") or [], "ReplicaFailure")
        if found is not None:
            return found
    return None
