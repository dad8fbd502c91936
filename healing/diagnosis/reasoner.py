"""Snapshot in, diagnosis out: runs the analyzers, weighs what they answer, draws the graph. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import structlog

from healing.diagnosis import graph, volumes
from healing.diagnosis.analyzers import ANALYZERS
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.hypothesis import Hypothesis, bare
from healing.diagnosis.rank import distinct, rank, subject
from healing.diagnosis.scene import Scene, node_of
from healing.diagnosis.settle import would_settle
from healing.diagnosis.snapshot import Snapshot
from healing.findings import Diagnosis, Evidence, Finding
from healing.ports.cluster import ObjectRef
from healing.redaction import redact

log = structlog.get_logger(__name__)

#: What a workload shows by itself: no service that it calls brings it about.
_OF_ITS_OWN = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "HighCpu",
        "HighMemory",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "OOMKilled",
    }
)
_MOST_FINDINGS = 12
_MOST_EVIDENCE = 80


def diagnose(
    snapshot: Snapshot,
    *,
    namespaces: Iterable[str] | None = None,
    target: ObjectRef | None = None,
    symptom: str = "",
    symptoms: Iterable[str] = (),
    memories: Iterable[Evidence] = (),
    on_hypotheses: Callable[[list[Hypothesis]], None] | None = None,
) -> Diagnosis:
    """What is wrong. With a ``target`` only what explains its trouble: its ``symptom`` and the other ``symptoms`` seen;
    ``memories`` are evidence of the past.

    An analyzer that breaks on strange objects is named in ``missing_sources``; the others go on.
    """
    scene = Scene(snapshot, frozenset(namespaces) if namespaces is not None else None, target)
    hypotheses, broken = _analyze(scene)
    ranked = rank(scene, hypotheses, snapshot.missing)
    if target is not None:
        shown = {symptom, *symptoms} - {""}
        of_its_own = bool(shown) and shown <= _OF_ITS_OWN
        ranked = _with_their_causes(
            ranked, [h for h in ranked if _concerns(scene, h, bare(target), of_its_own=of_its_own)]
        )
    if on_hypotheses is not None:
        on_hypotheses(ranked)
    ranked = ranked[:_MOST_FINDINGS]
    for hypothesis in ranked:
        volumes.add_facts(scene, hypothesis)
    evidence = distinct([*(e for h in ranked for e in h.evidence), *memories])
    settle = would_settle(ranked, {**snapshot.missing, **broken})
    return Diagnosis(
        findings=tuple(_finding(h, settle if h is ranked[0] else ()) for h in ranked),
        evidence=tuple(evidence[:_MOST_EVIDENCE]),
        graph=graph.build(scene, ranked, target, symptom),
        missing_sources={**snapshot.missing, **broken},
    )


def _analyze(scene: Scene) -> tuple[list[Hypothesis], dict[str, str]]:
    hypotheses: list[Hypothesis] = []
    broken: dict[str, str] = {}
    for name, analyze in ANALYZERS.items():
        try:
            hypotheses.extend(analyze(scene))
        except Exception as error:  # one family must not take the others with it
            log.exception("analyzer failed", analyzer=name)
            broken[f"analyzer {name}"] = f"{type(error).__name__}: {error}"
    return hypotheses, broken


def _with_their_causes(ranked: list[Hypothesis], kept: list[Hypothesis]) -> list[Hypothesis]:
    """What is kept, and what explains it, however far away."""
    wanted = {h.key for h in kept}
    waiting = list(kept)
    while waiting:
        for cause in waiting.pop().explained_by:
            if cause.key not in wanted:
                wanted.add(cause.key)
                waiting.append(cause)
    return [h for h in ranked if h.key in wanted]


def _finding(hypothesis: Hypothesis, settle: tuple[str, ...]) -> Finding:
    return Finding(
        cause=hypothesis.cause,
        object=hypothesis.object,
        confidence=hypothesis.confidence,
        explanation=redact(hypothesis.explanation),
        evidence=tuple(e.id for e in distinct(hypothesis.evidence)),
        suggested_actions=CAUSES[hypothesis.cause].actions,
        facts=_facts(hypothesis),
        would_settle=settle,
    )


def _facts(hypothesis: Hypothesis) -> dict[str, Any]:
    """Without what is empty, and redacted; a value that would be put back must be whole or not there at all."""
    facts = {key: _redacted(value) for key, value in hypothesis.facts.items() if value not in (None, "", [], {})}
    if facts.get("suggested_value") != hypothesis.facts.get("suggested_value"):
        del facts["suggested_value"]
    return facts


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    return value


def _concerns(scene: Scene, hypothesis: Hypothesis, target: ObjectRef, *, of_its_own: bool) -> bool:
    """Whether it is about the target, or would explain the target's trouble."""
    about = {bare(hypothesis.object), subject(scene, hypothesis)}
    if target in about or target in hypothesis.affected:
        return True
    if target.kind == "Service" and about & scene.calls.backends.get(target, set()):
        return True
    if target.kind == "Node":
        return False
    if hypothesis.object.kind == "Node":
        return any(node_of(pod) == hypothesis.object.name for pod in scene.pods.get(target, ()))
    if of_its_own:
        return False
    called = _called(scene, target)
    if about & called:
        return True
    return hypothesis.object.kind in ("PersistentVolumeClaim", "ConfigMap", "Secret") and bool(
        hypothesis.affected & called
    )


def _called(scene: Scene, target: ObjectRef) -> set[ObjectRef]:
    """Services and workloads the target calls, directly or not, and the Services in front of it."""
    seen: set[ObjectRef] = set(scene.services_of(target))
    starts = scene.calls.backends.get(target, {target}) if target.kind == "Service" else {target}
    waiting = list(starts)
    while waiting:
        for service in scene.calls.services.get(waiting.pop(), ()):
            for ref in (service, *scene.calls.backends.get(service, ())):
                if ref not in seen:
                    seen.add(ref)
                    waiting.append(ref)
    return seen - {target}
