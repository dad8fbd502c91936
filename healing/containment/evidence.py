"""Keep what will be gone soon: status and logs of faulty pods, before anything is done to them."""

from __future__ import annotations

from typing import Any

from healing.actions.reading import container_statuses
from healing.containment.decide import in_words
from healing.deadline import Deadline
from healing.phase import Note
from healing.ports.cluster import Cluster, Object
from healing.ports.errors import SourceError
from healing.redaction import redact

_LINES = 100
_MAX_CHARACTERS = 12_000
_CALL_SECONDS = 1.5


def collect(cluster: Cluster, pods: list[Object], deadline: Deadline) -> list[Note]:
    """One timeline note a pod. What cannot be had is left out, with the reason."""
    return [_of_pod(cluster, pod, deadline) for pod in pods]


def _of_pod(cluster: Cluster, pod: Object, deadline: Deadline) -> Note:
    meta = pod["metadata"]
    statuses = container_statuses(pod)
    logs: dict[str, Any] = {}
    for status in statuses:
        if deadline.remaining_seconds() < _CALL_SECONDS:
            break
        logs[status["name"]] = _log(cluster, pod, status, deadline)
    data = {
        "pod": {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta.get("uid", "")},
        "phase": (pod.get("status") or {}).get("phase", ""),
        "node": pod["spec"].get("nodeName", ""),
        "containers": [
            {
                "name": s["name"],
                "image": s.get("image", ""),
                "ready": s.get("ready", False),
                "restartCount": s.get("restartCount", 0),
                "state": _redacted(s.get("state") or {}),
                "lastState": _redacted(s.get("lastState") or {}),
            }
            for s in statuses
        ],
        "logs": logs,
    }
    return Note(
        "evidence-saved", f"Saved status and logs of pod {meta['name']} ({in_words(pod)}).", data, source="containment"
    )


def _log(cluster: Cluster, pod: Object, status: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    previous = bool(status.get("restartCount"))
    meta = pod["metadata"]
    try:
        text = cluster.pod_logs(
            meta["namespace"],
            meta["name"],
            status["name"],
            previous=previous,
            tail_lines=_LINES,
            limit_bytes=200_000,
            timeout_seconds=deadline.remaining_seconds(at_most=_CALL_SECONDS),
        )
    except SourceError as error:
        return {"previous": previous, "error": redact(str(error))}
    return {"previous": previous, "text": redact(text)[-_MAX_CHARACTERS:]}


def _redacted(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: redact(value) if key == "message" else value for key, value in (detail or {}).items()}
        for name, detail in state.items()
    }
