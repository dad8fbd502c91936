"""What a model is shown of a fault: a bounded, redacted JSON document with ids for everything it may refer to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from healing.asking import clean
from healing.diagnosis import logs, reading as r
from healing.diagnosis.hypothesis import bare, evidence, of_event
from healing.diagnosis.scene import Scene
from healing.findings import Diagnosis, Evidence
from healing.ports.cluster import ObjectRef

#: About 5,000 tokens: what a small local model still reads within the phase's budget.
MOST_CHARACTERS = 18_000
_ITEM_CHARACTERS = 900
_MOST_OBJECTS = 40
_MOST_LOGS = 6
_MOST_EVENTS = 12


@dataclass(frozen=True, slots=True)
class Digest:
    """``text`` is what is sent. ``evidence`` by id and ``objects`` by name are all that an answer may refer to."""

    text: str
    evidence: dict[str, Evidence]
    objects: dict[str, ObjectRef]
    #: observations that the rules did not use
    extra: tuple[Evidence, ...] = field(default=())


def build(scene: Scene, diagnosis: Diagnosis, target: ObjectRef, symptoms: Iterable[str], message: str = "") -> Digest:
    """The digest of one event. What does not fit is left out from the end; what the rules found comes first."""
    known = {e.id: e for e in diagnosis.evidence}
    extra = [e for e in _observations(scene, bare(target)) if e.id not in known]
    objects = _objects(scene, diagnosis, bare(target), extra)
    document: dict[str, Any] = {
        "complaint": {
            "object": str(bare(target)),
            "symptoms": sorted(symptoms),
            "message": clean(message, limit=_ITEM_CHARACTERS),
        },
        "objects": sorted(objects),
        "findings of the rules": [
            {
                "cause": finding.cause,
                "object": str(bare(finding.object)),
                "confidence": round(finding.confidence, 2),
                "explanation": clean(finding.explanation, limit=_ITEM_CHARACTERS),
                "evidence": list(finding.evidence),
            }
            for finding in diagnosis.findings[:6]
        ],
        "calls": sorted(_calls(scene, objects)),
        "sources that did not answer": sorted(diagnosis.missing_sources),
        "evidence": [],
    }
    shown: dict[str, Evidence] = {}
    used = len(json.dumps(document, ensure_ascii=False))
    for one in [*diagnosis.evidence, *extra]:
        item = _item(one)
        used += len(json.dumps(item, ensure_ascii=False)) + 2
        if used > MOST_CHARACTERS:
            break
        shown[one.id] = one
        document["evidence"].append(item)
    text = json.dumps(document, ensure_ascii=False, indent=1)
    return Digest(text, shown, objects, tuple(e for e in extra if e.id in shown))


def _item(one: Evidence) -> dict[str, str]:
    item = {
        "id": one.id,
        "kind": one.kind,
        "object": str(bare(one.object)) if one.object else "",
        "at": one.at,
        "title": clean(one.title, limit=200),
        "text": clean(one.text, limit=_ITEM_CHARACTERS),
    }
    return {key: value for key, value in item.items() if value}


def _observations(scene: Scene, target: ObjectRef) -> Iterator[Evidence]:
    """The target's and its callees' raw state: warnings, logs' failures, what changed last."""
    around = _around(scene, target)
    for workload in around:
        if (past := scene.history(workload)) is not None and past.changes:
            lines = "\n".join(str(c) for c in past.changes[:10])
            title = f"What revision {past.current.number} of {workload} changed"
            yield evidence("change", title, lines, obj=workload, at=past.started)
    names = {(w.namespace, w.name) for w in around}
    names |= {(o.namespace, o.name) for w in around for o in scene.around(w)}
    warnings = [
        event
        for event in scene.snapshot.all_events()
        if event.type == "Warning" and (event.object.namespace, event.object.name) in names
    ]
    warnings.sort(key=lambda event: event.last.timestamp() if event.last else 0.0, reverse=True)
    for event in warnings[:_MOST_EVENTS]:
        yield of_event(event)
    found = 0
    for workload in around:
        for container in scene.containers.get(workload, ()):
            log = scene.log_of(container)
            if found >= _MOST_LOGS or not log.strip():
                continue
            found += 1
            failures = logs.failures(log, 6)
            text = logs.excerpt(failures) if failures else logs.tail(log, 6)
            pod = bare(ObjectRef.of(container.pod, "Pod"))
            yield evidence("log", f"Log of {pod.name}/{container.name}", text, obj=pod, source="logs")


def _around(scene: Scene, target: ObjectRef) -> list[ObjectRef]:
    """The target's workloads and those it calls, nearest first."""
    starts = sorted(scene.calls.backends.get(target, ())) if target.kind == "Service" else [target]
    seen = list(starts)
    for workload in seen:
        for service in sorted(scene.calls.services.get(workload, ())):
            seen += [b for b in sorted(scene.calls.backends.get(service, ())) if b not in seen]
        if len(seen) > 8:
            break
    return seen[:8]


def _objects(scene: Scene, diagnosis: Diagnosis, target: ObjectRef, extra: Iterable[Evidence]) -> dict[str, ObjectRef]:
    """What an answer may name: what is there and has to do with it."""
    found: dict[str, ObjectRef] = {}

    def add(ref: ObjectRef | None) -> None:
        if ref is not None and len(found) < _MOST_OBJECTS and scene.covers(ref.namespace):
            found.setdefault(str(bare(ref)), bare(ref))

    add(target)
    for finding in diagnosis.findings:
        add(finding.object)
    for workload in _around(scene, target):
        add(workload)
        for service in scene.services_of(workload):
            add(service)
        for pod in scene.pods.get(workload, ())[:3]:
            add(ObjectRef("Node", "", r.text(pod, "spec", "nodeName")) if r.text(pod, "spec", "nodeName") else None)
    for one in (*diagnosis.evidence, *extra):
        if one.kind != "memory":
            add(one.object)
    return found


def _calls(scene: Scene, objects: dict[str, ObjectRef]) -> Iterator[str]:
    for ref in objects.values():
        for service in scene.calls.services.get(ref, ()):
            yield f"{ref} -> {service}"
