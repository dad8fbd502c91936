"""Keep what will be gone soon: status and logs of faulty pods, before anything is done to them.

Everything is asked for at once. What has not come within a moment is not waited for, because it bleeds meanwhile: it
is added when the bleeding is stopped.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from healing import telemetry
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
#: So long containment waits for what is asked; a log usually comes in some milliseconds.
_HOLD_SECONDS = 0.4
_THREADS = 8
#: of a pod; one with more containers is looked through in its order
_CONTAINERS = 6


@dataclass(frozen=True, slots=True)
class _Log:
    """A container's log: of its run before the last restart, or of the one now."""

    container: str
    is_previous: bool

    @property
    def key(self) -> str:
        return f"{self.container} (previous)" if self.is_previous else self.container


@dataclass(slots=True)
class _OfPod:
    pod: Object
    asked: dict[_Log, Future[dict[str, Any]]] = field(default_factory=dict)
    late: list[_Log] = field(default_factory=list)


class Evidence:
    """Of some pods. `saved` before anything is done, `added` afterwards; `close` in any case."""

    def __init__(self, cluster: Cluster, pods: list[Object], deadline: Deadline) -> None:
        self._cluster = cluster
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="evidence")
        self._pods = [self._ask(pod) for pod in pods]

    def saved(self) -> list[Note]:
        """One note a pod: its status, and the logs that have come by now. What cannot be had says why."""
        self._wait(_HOLD_SECONDS)
        return [_saved(one) for one in self._pods]

    def added(self) -> list[Note]:
        """The logs that came later, one note a pod."""
        if not any(one.late for one in self._pods):
            return []
        self._wait(_CALL_SECONDS)
        return [note for one in self._pods if (note := _added(one)) is not None]

    def close(self) -> None:
        """Leave what still runs to its own timeout."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, pod: Object) -> _OfPod:
        found = _OfPod(pod)
        for status in container_statuses(pod)[:_CONTAINERS]:
            has_run = bool(status.get("restartCount"))
            for log in (
                _Log(str(status["name"]), is_previous) for is_previous in ((True, False) if has_run else (False,))
            ):
                found.asked[log] = self._pool.submit(telemetry.with_context(self._log), pod, log)
        return found

    def _wait(self, seconds: float) -> None:
        asked = [future for one in self._pods for future in one.asked.values()]
        wait(asked, timeout=self._deadline.remaining_seconds(at_most=seconds))

    def _log(self, pod: Object, log: _Log) -> dict[str, Any]:
        meta = pod["metadata"]
        try:
            text = self._cluster.pod_logs(
                meta["namespace"],
                meta["name"],
                log.container,
                previous=log.is_previous,
                tail_lines=_LINES,
                limit_bytes=200_000,
                timeout_seconds=self._deadline.remaining_seconds(at_most=_CALL_SECONDS),
            )
        except SourceError as error:
            return {"previous": log.is_previous, "error": redact(str(error))}
        return {"previous": log.is_previous, "text": redact(text)[-_MAX_CHARACTERS:]}


def _saved(one: _OfPod) -> Note:
    meta = one.pod["metadata"]
    logs = {}
    for log, future in one.asked.items():
        if future.done():
            logs[log.key] = future.result()
        else:
            one.late.append(log)
    data = {
        "pod": _named(one.pod),
        "phase": (one.pod.get("status") or {}).get("phase", ""),
        "node": one.pod["spec"].get("nodeName", ""),
        "containers": [
            {
                "name": s["name"],
                "image": s.get("image", ""),
                "ready": s.get("ready", False),
                "restartCount": s.get("restartCount", 0),
                "state": _redacted(s.get("state") or {}),
                "lastState": _redacted(s.get("lastState") or {}),
            }
            for s in container_statuses(one.pod)
        ],
        "logs": logs,
    }
    message = f"Saved status and logs of pod {meta['name']} ({in_words(one.pod)})."
    if one.late:
        message += f" {len(one.late)} of its logs are slow to come and were not waited for."
    return Note("evidence-saved", message, data, source="containment")


def _added(one: _OfPod) -> Note | None:
    logs = {log.key: one.asked[log].result() for log in one.late if one.asked[log].done()}
    missing = [log.key for log in one.late if not one.asked[log].done()]
    if not one.late:
        return None
    message = f"Saved {len(logs)} more logs of pod {one.pod['metadata']['name']}."
    if missing:
        message += f" Not to be had in time: {', '.join(missing)}."
    return Note(
        "evidence-added", message, {"pod": _named(one.pod), "logs": logs, "missing": missing}, source="containment"
    )


def _named(pod: Object) -> dict[str, str]:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta.get("uid", "")}


def _redacted(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {key: redact(value) if key == "message" else value for key, value in (detail or {}).items()}
        for name, detail in state.items()
    }
