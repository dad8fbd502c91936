"""The arithmetic of a rolling update: how many pods a Deployment's ReplicaSets may have. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from healing.sandbox.ports import Object
from healing.sandbox.world.context import parse_time

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
HASH_LABEL = "pod-template-hash"
#: annotations of a Deployment that its ReplicaSets do not inherit
NOT_INHERITED = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration", REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
})  # fmt: skip


def scaled_value(value: int | str | None, total: int, *, round_up: bool) -> int:
    """An IntOrString: a number, or a percentage of ``total``."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    if value.endswith("%"):
        exact = total * int(value[:-1]) / 100
        return math.ceil(exact) if round_up else math.floor(exact)
    return int(value)


def replicas(item: Object) -> int:
    return int(item["spec"].get("replicas", 1))


def available(item: Object) -> int:
    return int((item.get("status") or {}).get("availableReplicas", 0))


def is_rolling(deployment: Object) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def surge_and_unavailable(deployment: Object) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; both 0 would never move, so maxUnavailable becomes 1."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas(deployment)
    surge = scaled_value(rolling.get("maxSurge", "25%"), wanted, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", "25%"), wanted, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, wanted)


def max_unavailable(deployment: Object) -> int:
    return surge_and_unavailable(deployment)[1] if replicas(deployment) else 0


def revision_of(item: Object) -> int:
    text = (item["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def created(item: Object) -> tuple[float, str]:
    return parse_time(item["metadata"].get("creationTimestamp")), item["metadata"]["name"]


def same_template(replicaset: Object, deployment: Object) -> bool:
    return without_hash(replicaset["spec"]["template"]) == without_hash(deployment["spec"]["template"])


def without_hash(template: Object) -> Object:
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def find_new(deployment: Object, replicasets: Iterable[Object]) -> Object | None:
    """The ReplicaSet of the present template; the oldest, should there be several."""
    same = [rs for rs in replicasets if same_template(rs, deployment)]
    return min(same, key=created, default=None)


def size_of_new(deployment: Object, every: Sequence[Object], current: int) -> int:
    """The size the new ReplicaSet may have now, within maxSurge."""
    wanted = replicas(deployment)
    if not is_rolling(deployment):
        return wanted
    surge, _ = surge_and_unavailable(deployment)
    total = sum(replicas(rs) for rs in every)
    room = wanted + surge - total
    if room <= 0:
        return current
    return current + min(room, wanted - current)


def proportional_sizes(deployment: Object, active: Sequence[Object]) -> dict[str, int]:
    """New sizes by ReplicaSet name when a Deployment is scaled in the middle of a rollout."""
    surge, _ = surge_and_unavailable(deployment)
    wanted = replicas(deployment)
    allowed = wanted + surge if wanted else 0
    total = sum(replicas(rs) for rs in active)
    to_add = allowed - total
    sizes = {rs["metadata"]["name"]: replicas(rs) for rs in active}
    if to_add == 0:
        return sizes
    newest_first = sorted(active, key=lambda rs: (-replicas(rs), -created(rs)[0]))
    if to_add < 0:
        newest_first = sorted(active, key=lambda rs: (-replicas(rs), created(rs)[0]))
    added = 0
    for rs in newest_first:
        annotations = rs["metadata"].get("annotations") or {}
        maximum = annotations.get(MAX_REPLICAS, "")
        base = int(maximum) if maximum.isdigit() and int(maximum) else max(total, 1)
        share = round(replicas(rs) * allowed / base) - replicas(rs)
        left = to_add - added
        share = min(share, left) if to_add > 0 else max(share, left)
        sizes[rs["metadata"]["name"]] += share
        added += share
    if newest_first and added != to_add:
        first = newest_first[0]["metadata"]["name"]
        sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes
