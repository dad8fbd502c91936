"""What several families need: status and change evidence, and how far a rollout is to blame."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from healing.diagnosis import reading as r
from healing.diagnosis.hypothesis import bare, evidence
from healing.diagnosis.revisions import Change, History
from healing.diagnosis.scene import Container, Scene
from healing.findings import Evidence
from healing.ports.cluster import ObjectRef

#: What goes wrong so soon after a rollout was brought by it.
SOON = timedelta(minutes=10)
#: Times of events and of containers are whole seconds of different writers.
_SLACK = timedelta(seconds=2)
_PROBE_FAILED = re.compile(r"failed (?:liveness|startup) probe", re.IGNORECASE)


def status_evidence(container: Container) -> Evidence:
    """The container's state in words."""
    pod = bare(ObjectRef.of(container.pod, "Pod"))
    parts = []
    if container.waiting:
        parts.append(f"waiting: {container.waiting}. {container.waiting_message}".strip())
    elif container.is_running:
        parts.append("running" if container.is_ready else "running, not ready")
    if container.ended:
        code = "" if container.exit_code is None else f", exit code {container.exit_code}"
        reason = r.text(container.ended, "reason") or "ended"
        lifetime = container.lifetime_seconds
        lived = f" after {lifetime:.0f} s" if lifetime is not None else ""
        parts.append(f"last run: {reason}{code}{lived}. {r.text(container.ended, 'message')}".strip())
    parts.append(f"restarts: {container.restarts}")
    kind = "init container" if container.is_init else "container"
    title = f"{kind} {container.name} of {pod.name}"
    return evidence("status", title, "\n".join(parts), obj=pod, at=container.finished_at)


def rollout_blame(scene: Scene, workload: ObjectRef, failing: Iterable[Container]) -> tuple[History | None, float]:
    """(history, how surely the newest revision brought the failure: 0..1).

    Surest where the old revision still serves beside the new one that fails.
    """
    past = scene.history(workload)
    if past is None or past.good is None:
        return past, 0.0
    mine = [c for c in failing if not past.current.hash or past.current.hash in _hashes(c)]
    if not mine:
        return past, 0.0
    if any(past.current.hash and past.current.hash not in _hashes(c) for c in failing):
        return past, 0.0  # pods of both revisions fail: the revision does not matter
    if past.good_serves and past.current_fails:
        return past, 0.97
    if past.started is None:
        return past, 0.3
    first = min((t for c in mine if (t := _first_failure(scene, c)) is not None), default=None)
    if first is None:
        return past, 0.6 if scene.now - past.started <= SOON else 0.3
    if first - past.started <= SOON:
        return past, 0.9 if past.current_fails else 0.75
    return past, 0.1


def change_evidence(past: History, changes: Iterable[Change] | None = None) -> list[Evidence]:
    """What changed between the good and the current revision."""
    shown = list(past.changes if changes is None else changes)
    if past.good is None or not shown:
        return []
    text = "\n".join(str(change) for change in shown[:12])
    title = f"Revision {past.current.number} differs from revision {past.good.number}"
    return [evidence("change", title, text, obj=bare(past.workload), at=past.started)]


def only_image(past: History) -> bool:
    """Whether the program was changed, not its settings."""
    paths = [c.path for c in past.changes if not c.path.startswith("metadata.")]
    return bool(paths) and all(path.endswith(".image") for path in paths)


def settings_changed(past: History, *names: str) -> list[Change]:
    """Changes of env, arguments, config or volumes; with names only those about one of them."""
    found = past.changed(".env", ".command", ".args", "volume", "configMap", "secret")
    if names:
        found = [c for c in found if any(n and n in f"{c.path} {c.before} {c.after}" for n in names)] or []
    return found


def workload_ref(scene: Scene, workload: ObjectRef) -> ObjectRef:
    """The reference with its uid, where the object is known."""
    obj = scene.snapshot.find(workload)
    return ObjectRef.of(obj, workload.kind) if obj is not None else workload


def _hashes(container: Container) -> tuple[str, ...]:
    labels = ("pod-template-hash", "controller-revision-hash")
    return tuple(r.text(container.pod, "metadata", "labels", label) for label in labels)


def _first_failure(scene: Scene, container: Container) -> datetime | None:
    events = scene.snapshot.events(container.pod, "BackOff", "Failed", "Unhealthy", "FailedMount", "Killing")
    times = [e.first for e in events if e.first is not None]
    if container.finished_at is not None:
        times.append(container.finished_at)
    return min(times, default=None)


def is_killed_by_probe(scene: Scene, container: Container) -> bool:
    """Whether the kubelet ended its last run for a probe, and the program did not end by itself."""
    told = [e for e in scene.snapshot.events(container.pod, "Killing", "Unhealthy") if _PROBE_FAILED.search(e.message)]
    if container.exit_code in (137, 143, None):
        return bool(told)
    # A program that is told to end may end well, or with a code of its own: then it has to be that very end.
    ended = container.finished_at
    grace = timedelta(seconds=r.number(container.pod, "spec", "terminationGracePeriodSeconds", default=30))
    return ended is not None and any(
        event.reason == "Killing" and event.last is not None and -_SLACK <= ended - event.last <= grace + _SLACK
        for event in told
    )
