"""How full the volumes of a workload are, and how fast they fill."""

from __future__ import annotations

from typing import Any

from healing.diagnosis import series as s
from healing.diagnosis.analyzers.claims import claims_of
from healing.diagnosis.hypothesis import Hypothesis, bare
from healing.diagnosis.scene import Scene

_USED, _CAPACITY = "kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes"
#: From here on it cannot fill any faster.
_FULL = 0.98
#: The pace of the last points before it was full.
_POINTS = 10


def add_facts(scene: Scene, hypothesis: Hypothesis) -> None:
    """Of a full disk: ``volumes``, by claim, each with ``used_bytes``, ``capacity_bytes`` and
    ``growth_bytes_per_second``; what no series says is left out."""
    if hypothesis.cause != "DiskFull":
        return
    ref = hypothesis.object
    if ref.kind == "PersistentVolumeClaim":
        names = [ref.name]
    else:
        names = [name for pod in scene.pods.get(bare(ref), ()) for name in claims_of(pod)]
    found = {name: volume for name in dict.fromkeys(names) if (volume := _volume(scene, ref.namespace, name))}
    if found:
        hypothesis.facts.setdefault("volumes", found)


def _volume(scene: Scene, namespace: str, claim: str) -> dict[str, Any]:
    where = {"namespace": namespace, "persistentvolumeclaim": claim}
    used = max((x.points for x in s.matching(scene.snapshot.series, (_USED,), **where)), key=len, default=())
    capacity = max((x.points for x in s.matching(scene.snapshot.series, (_CAPACITY,), **where)), key=len, default=())
    used, size = s.finite(used), s.latest(capacity, 1)
    if not used:
        return {}
    most = max(value for _, value in used)
    full_at = next((t for t, value in used if value >= _FULL * (size or most)), used[-1][0])
    rising = tuple(point for point in used if point[0] <= full_at)[-_POINTS:]
    trend = s.trend(rising)
    volume: dict[str, Any] = {"used_bytes": used[-1][1]}
    if size:
        volume["capacity_bytes"] = size
    if trend is not None and trend.slope > 0:
        volume["growth_bytes_per_second"] = round(trend.slope, 3)
    return volume
