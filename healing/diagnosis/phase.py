"""Phase 2: gather evidence, weigh it, name the cause. The only part of the package that knows events and settings."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from healing import shared_clock
from healing.deadline import Deadline
from healing.diagnosis import forewarned, health, recall
from healing.diagnosis.advice import consult
from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.collect.live import FAR, NEAR, Collector, Reach
from healing.diagnosis.hypothesis import Hypothesis
from healing.diagnosis.reasoner import diagnose
from healing.diagnosis.scene import Scene
from healing.diagnosis.snapshot import Snapshot
from healing.findings import Diagnosis, Evidence, Finding
from healing.lifecycle import Outcome, Phase
from healing.models import ActorKind, HealingEvent
from healing.phase import Note, PhaseContext, PhaseResult
from healing.ports.cluster import ObjectRef
from healing.ports.errors import Unavailable

#: Of the phase's budget, what is left for weighing and for the commit.
_RESERVE_SECONDS = 2.0
#: A second look needs this much of the budget, and is taken after a moment.
_SECOND_LOOK_SECONDS = 6.0
_PAUSE_SECONDS = 2.0
#: So many diagnoses of one process weigh at a time; whoever waits says so often enough that it is alive.
_weighing = threading.BoundedSemaphore(2)
_SAY_ALIVE_SECONDS = 3.0
#: A diagnosis that found nothing, of a target that is not well.
NOT_SURE = 0.1


def run(context: PhaseContext) -> PhaseResult:
    """DIAGNOSING to PLANNING with a diagnosis, or to LEARNING where the target is clearly well again.

    Raises `healing.ports.errors.Unavailable` where not even the pods could be read: the engine tries again.
    """
    started = time.monotonic()
    event = context.event
    target = target_of(event)
    symptoms = frozenset({event.symptom, *(str(s.get("symptom", "")) for s in event.signals)})
    snapshot, diagnosis = _look(context, target, symptoms, NEAR)
    if _is_worth_a_second_look(context, snapshot, diagnosis, target, symptoms):
        snapshot, diagnosis = _look_further(context, target, symptoms, snapshot, diagnosis)
    diagnosis = forewarned.with_what_was_foreseen(event, diagnosis)
    diagnosis = consult.advise(context, Scene(snapshot, target=target), diagnosis, target, symptoms)
    took = round(time.monotonic() - started, 2)
    best = diagnosis.best
    result = {
        "cause": best.cause if best else "",
        "confidence": best.confidence if best else 0.0,
        "findings": len(diagnosis.findings),
        "evidence": len(diagnosis.evidence),
        "missing_sources": diagnosis.missing_sources,
        "seconds": took,
    }
    if best is None:
        scene = Scene(snapshot, target=target)
        doubts = health.doubts(scene, target, symptoms, context.policy.thresholds)
        if not doubts:
            return _recovered(event, diagnosis, result)
        return _not_sure(diagnosis, doubts, result)
    return _diagnosed(context, diagnosis, best, result)


def _look(
    context: PhaseContext, target: ObjectRef, symptoms: frozenset[str], reach: Reach
) -> tuple[Snapshot, Diagnosis]:
    snapshot, memories = _gather(context, target, reach)
    context.report(_gathered(snapshot, memories))
    with _my_turn(context):
        diagnosis = diagnose(
            snapshot,
            target=target,
            symptom=context.event.symptom,
            symptoms=symptoms,
            memories=memories,
            on_hypotheses=lambda ranked: _tell(context, ranked),
        )
    return snapshot, recall.weigh(diagnosis, memories)


@contextmanager
def _my_turn(context: PhaseContext) -> Iterator[None]:
    """Weighing only computes: a dozen threads at once would all be late, where two after two are each in time."""
    while not _weighing.acquire(timeout=_SAY_ALIVE_SECONDS):
        context.check_still_mine()  # waiting is no reason to be taken for lost
    try:
        yield
    finally:
        _weighing.release()


def _confidence(diagnosis: Diagnosis) -> float:
    return diagnosis.best.confidence if diagnosis.best else 0.0


def _is_worth_a_second_look(
    context: PhaseContext, snapshot: Snapshot, diagnosis: Diagnosis, target: ObjectRef, symptoms: frozenset[str]
) -> bool:
    """Not sure, time is left, and the target has not simply recovered."""
    if _confidence(diagnosis) >= context.policy.confidence_threshold or forewarned.is_ahead(context.event):
        return False
    if context.deadline.remaining_seconds() <= _SECOND_LOOK_SECONDS:
        return False
    scene = Scene(snapshot, target=target)
    return diagnosis.best is not None or bool(health.doubts(scene, target, symptoms, context.policy.thresholds))


def _look_further(
    context: PhaseContext, target: ObjectRef, symptoms: frozenset[str], snapshot: Snapshot, diagnosis: Diagnosis
) -> tuple[Snapshot, Diagnosis]:
    """The surer of the first look and a second one, which reaches further. Seconds after an onset rates have hardly
    moved; a moment later they have."""
    best = diagnosis.best
    guess = f"the best guess is {best.cause} ({best.confidence:.0%})" if best else "there is no guess"
    reach = f"{FAR.metrics.total_seconds() / 3600:.0f} h of metrics, {FAR.log_lines} lines of each log, more neighbours"
    text = f"Not sure yet, {guess}: looking further ({reach})."
    context.report(Note("looks-further", text, actor_kind=ActorKind.RULE, source="diagnosis"))
    time.sleep(_PAUSE_SECONDS)
    try:
        again, second = _look(context, target, symptoms, FAR)
    except Unavailable:
        return snapshot, diagnosis  # the first answer is better than none
    return (again, second) if _confidence(second) >= _confidence(diagnosis) else (snapshot, diagnosis)


def target_of(event: HealingEvent) -> ObjectRef:
    """What the event is to heal."""
    return ObjectRef(event.target_kind, event.target_namespace, event.target_name, event.target_uid)


def _gather(context: PhaseContext, target: ObjectRef, reach: Reach) -> tuple[Snapshot, list[Evidence]]:
    """Cluster and metrics are read by threads while the memory is asked here (it uses the database)."""
    deadline = context.deadline
    now = shared_clock.now()
    # A second look is for what has changed since the first: it reads everything anew.
    not_before = (context.event.contained_at or context.event.detected_at) if reach is NEAR else now
    collector = Collector(
        context.ports, target, now=now, deadline=_earlier(context), reach=reach, not_before=not_before
    )
    try:
        collector.start()
        memories = recall.memories(context.event, timeout_seconds=deadline.remaining_seconds(at_most=2.0))
        snapshot = collector.finish()
    finally:
        collector.close()
    if collector.missing_essential:
        why = next((v for k, v in snapshot.missing.items() if k.startswith("kubernetes Pod")), "no answer")
        raise Unavailable(f"The cluster's pods could not be read: {why}")
    if (here := settings.CLUSTERS.get(context.event.cluster)) is not None:
        snapshot.prometheus_url = here.prometheus_url or ""
        snapshot.loki_url = here.loki_url or ""
    return snapshot, memories


def _earlier(context: PhaseContext) -> Deadline:
    return Deadline(context.deadline.at - _RESERVE_SECONDS)


def _gathered(snapshot: Snapshot, memories: list[Evidence]) -> Note:
    pods, events = len(snapshot.of_kind("Pod")), sum(1 for _ in snapshot.all_events())
    parts = [f"{pods} pods", f"{events} events", f"{len(snapshot.logs)} logs", f"{len(snapshot.series)} series"]
    message = f"Evidence gathered: {', '.join(parts)}"
    if memories:
        message += f", {len(memories)} similar past event{'s' if len(memories) > 1 else ''}"
    if snapshot.missing:
        message += f". Missing: {', '.join(sorted(snapshot.missing))}"
    data = {"missing_sources": snapshot.missing, "memories": [m.data.get("event") for m in memories]}
    return Note("evidence", f"{message}.", data=data, source="diagnosis")


def _tell(context: PhaseContext, ranked: list[Hypothesis]) -> None:
    if not ranked:
        return
    shown = [f"{h.cause} on {h.object.kind} {h.object.name} ({h.confidence:.0%})" for h in ranked[:4]]
    data = {
        "hypotheses": [
            {
                "cause": h.cause,
                "object": h.object.as_json(),
                "confidence": h.confidence,
                "explained": bool(h.explained_by),
            }
            for h in ranked[:8]
        ]
    }
    context.report(
        Note("hypotheses", f"Weighing: {'; '.join(shown)}.", data=data, actor_kind=ActorKind.RULE, source="diagnosis")
    )


def _diagnosed(context: PhaseContext, diagnosis: Diagnosis, best: Finding, result: dict[str, Any]) -> PhaseResult:
    sure = best.confidence >= context.policy.confidence_threshold
    prefix = "" if sure else "Not sure: "
    settle = "" if sure or not best.would_settle else f" What would settle it: {'; '.join(best.would_settle)}."
    note = Note(
        "diagnosed" if sure else "not-sure",
        f"{prefix}{CAUSES[best.cause].title} ({best.cause}, {best.confidence:.0%}): {best.explanation}{settle}",
        data={"cause": best.cause, "object": best.object.as_json(), "confidence": best.confidence},
        actor_kind=ActorKind.RULE,
        source="diagnosis",
    )
    return PhaseResult(
        Phase.PLANNING, notes=[note], fields=_fields(diagnosis, best.cause, best.object, best.confidence), result=result
    )


def _not_sure(diagnosis: Diagnosis, doubts: list[str], result: dict[str, Any]) -> PhaseResult:
    settle = "; ".join([*doubts, *(f"not seen: {source}" for source in diagnosis.missing_sources)])
    note = Note("not-sure", f"No cause was found, but {settle}.", data={"doubts": doubts}, source="diagnosis")
    fields = _fields(diagnosis, "", None, NOT_SURE)
    return PhaseResult(Phase.PLANNING, notes=[note], fields=fields, result=result | {"doubts": doubts})


def _recovered(event: HealingEvent, diagnosis: Diagnosis, result: dict[str, Any]) -> PhaseResult:
    reason = (
        f"{event.target_kind} {event.target_name} is well again: ready, up to date, and what raised the alarm is gone."
    )
    note = Note("recovered", reason, actor_kind=ActorKind.RULE, source="diagnosis")
    return PhaseResult(
        Phase.LEARNING,
        notes=[note],
        fields=_fields(diagnosis, "", None, 0.0),
        result=result,
        outcome=Outcome.RECOVERED,
        outcome_reason=reason,
    )


def _fields(diagnosis: Diagnosis, cause: str, about: ObjectRef | None, confidence: float) -> dict[str, Any]:
    return {
        "cause": cause,
        "cause_object": about.as_json() if about else {},
        "confidence": confidence,
        # only what JSON can say: facts come from objects of the cluster
        "diagnosis": json.loads(json.dumps(diagnosis.as_json(), default=str, allow_nan=False)),
        "diagnosed_at": shared_clock.now(),
    }
