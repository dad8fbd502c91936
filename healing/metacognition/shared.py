"""One cause is healed once: whoever suffers from what another event is healing waits for it instead of acting too.

What was healed a moment ago still shows for a while (rates look back, pods come back one after another), so the waiting
goes on a little after the other event's end. Who is still ill then has another fault, and is diagnosed anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from healing.findings import Diagnosis
from healing.lifecycle import Outcome, Phase
from healing.metacognition import metrics
from healing.metacognition.health import Gone
from healing.metacognition.waits import memory
from healing.models import ActorKind, HealingEvent
from healing.phase import Note, PhaseContext, PhaseResult
from healing.policies.spec import PolicySpec
from healing.ports.cluster import ObjectRef

_POLL_SECONDS = 2.0
#: So long after its cause was healed may an effect be seen: in rates over a minute, and else.
_RATES_LAG, _STATE_LAGS = timedelta(seconds=75), timedelta(seconds=20)
#: Carried out, and proving itself or just proven.
_TREATED = frozenset({Phase.VERIFYING, Phase.LEARNING})
#: Asked, at work, or looking whether it helped.
_AT_WORK = _TREATED | {Phase.AWAITING_APPROVAL, Phase.HEALING}
_NOT_DIAGNOSED = frozenset({Phase.PENDING, Phase.CONTAINING, Phase.DIAGNOSING})


def wait(context: PhaseContext, policy: PolicySpec, gone: Gone | None, now: datetime) -> PhaseResult | None:
    """What to do instead of planning; None: plan. ``gone``: why there is nothing left to heal, if that is so now."""
    event, before = context.event, memory(context.event)
    if gone is not None:
        return _gone(before, policy, gone, now)
    healed = _healed_lately(event, policy, now)
    if healed is not None:
        return _wait(before, healed, f"{_named(healed)} was healed a moment ago: does that help here too?")
    other = _ahead(event)
    if other is not None:
        return _wait(before, other, f"{_named(other)} has the same cause and is being healed: this waits for it.")
    other = _called_and_treated(event)
    if other is not None:
        return _wait(before, other, f"{_named(other)}, which it calls, has just been treated: does that help here too?")
    if not before.get("waitedFor") or not _has_ended_well(before["waitedFor"]):
        return None
    message = "It is still ill although what seemed to be the cause was healed: diagnosed anew."
    return PhaseResult(Phase.DIAGNOSING, [_note("diagnose-anew", message)], result=before)


def at_work_on_the_cause(event: HealingEvent) -> HealingEvent | None:
    """Another event that has acted on the same cause, or is about to and comes first."""
    found = [e for e in _sharing(event) if e.phase in _TREATED or (e.phase == Phase.HEALING and e.pk < event.pk)]
    return found[0] if found else None


def _ahead(event: HealingEvent) -> HealingEvent | None:
    """The event to wait for: whoever is at work on the cause, then the one about the cause's own object, then the one
    that was diagnosed first. A strict order, so that never two wait for each other."""
    cause = _ref(event.cause_object)
    if not cause.name:
        return None
    for other in _open_others(event):
        if other.phase in _NOT_DIAGNOSED and _is_about(other, cause) and not _is_about(event, cause):
            return other
    first = min(_sharing(event), key=lambda e: _order(e, cause), default=None)
    return first if first is not None and _order(first, cause) < _order(event, cause) else None


def _called_and_treated(event: HealingEvent) -> HealingEvent | None:
    """An event about something it calls for which a strategy was carried out, and proves itself now. Those wait for
    nobody."""
    calls = _calls(event)
    found = (e for e in _open_others(event) if e.phase in _TREATED and _ref(e.cause_object) in calls)
    return next(found, None)


def _order(event: HealingEvent, cause: ObjectRef) -> tuple[bool, bool, float, int]:
    diagnosed = event.diagnosed_at.timestamp() if event.diagnosed_at else 0.0
    return event.phase not in _AT_WORK, not _is_about(event, cause), diagnosed, event.pk


def _sharing(event: HealingEvent) -> list[HealingEvent]:
    """Open events, diagnosed, whose cause lies with the same object."""
    cause = _ref(event.cause_object)
    if not cause.name:
        return []
    return [e for e in _open_others(event) if e.phase in _AT_WORK | {Phase.PLANNING} and _ref(e.cause_object) == cause]


def _open_others(event: HealingEvent) -> list[HealingEvent]:
    return list(HealingEvent.objects.filter(cluster=event.cluster, finished_at=None).exclude(pk=event.pk))


def _healed_lately(event: HealingEvent, policy: PolicySpec, now: datetime) -> HealingEvent | None:
    """Whose healing may still have to show here: that of the same cause, of something it calls where the cause is only
    that it suffers itself, or, where the cause is not certain, of anything near."""
    symptoms = {event.symptom, *(str(s.get("symptom", "")) for s in event.signals)}
    lag = _RATES_LAG if symptoms & metrics.METRIC_SYMPTOMS else _STATE_LAGS
    cause, calls = _ref(event.cause_object), _calls(event)
    is_sure = bool(cause.name) and (event.confidence or 0.0) >= policy.confidence_threshold
    ended = HealingEvent.objects.filter(
        cluster=event.cluster, outcome=Outcome.HEALED, finished_at__gt=now - lag
    ).exclude(pk=event.pk)
    for other in ended.order_by("-finished_at"):
        its_cause = _ref(other.cause_object)
        is_same = its_cause == cause and other.cause == event.cause
        is_near = not is_sure and its_cause.namespace in (event.target_namespace, "")
        if is_same or is_near or its_cause in calls:
            return other
    return None


def _calls(event: HealingEvent) -> set[ObjectRef]:
    """What the best finding, being about errors or slowness, says that its object calls."""
    best = Diagnosis.from_json(event.diagnosis).best if event.diagnosis else None
    return {_ref(value) for value in best.facts.get("calls", ())} if best is not None else set()


def _has_ended_well(names: list[str]) -> bool:
    return HealingEvent.objects.filter(name__in=names, outcome__in=(Outcome.HEALED, Outcome.RECOVERED)).exists()


def _gone(before: dict[str, Any], policy: PolicySpec, gone: Gone, now: datetime) -> PhaseResult:
    """Who has waited, or owes it to containment, looks a little longer, like whoever verifies: rates waver."""
    since = datetime.fromisoformat(before["wellSince"]) if before.get("wellSince") else now
    is_to_last = bool(before.get("waitedFor")) or gone.is_contained
    if is_to_last and now - since < timedelta(seconds=policy.verification.stable_seconds):
        result = PhaseResult.wait(_POLL_SECONDS)
        result.result = {**before, "wellSince": since.isoformat()}
        return result
    if gone.is_contained:
        message = f"Containment was enough: {gone.why}."
        return PhaseResult(
            Phase.LEARNING,
            [_note("verified", message)],
            fields={"healed_at": now},
            outcome=Outcome.HEALED,
            outcome_reason=message,
            result=before,
        )
    return PhaseResult(
        Phase.LEARNING,
        [_note("recovered", f"Nothing is left to heal: {gone.why}")],
        outcome=Outcome.RECOVERED,
        outcome_reason=gone.why,
        result=before,
    )


def _wait(before: dict[str, Any], other: HealingEvent, message: str) -> PhaseResult:
    known: list[str] = before.get("waitedFor", [])
    said = before.get("said") == message
    result = PhaseResult.wait(_POLL_SECONDS, [] if said else [_note("waiting", message, {"event": other.name})])
    result.result = {"waitedFor": [*known, *([] if other.name in known else [other.name])], "said": message}
    return result


def _ref(value: dict[str, Any]) -> ObjectRef:
    found = ObjectRef.from_json(value or {})
    return ObjectRef(found.kind, found.namespace, found.name)


def _is_about(event: HealingEvent, ref: ObjectRef) -> bool:
    return (event.target_kind, event.target_namespace, event.target_name) == (ref.kind, ref.namespace, ref.name)


def _named(event: HealingEvent) -> str:
    return f"{event.target_kind} {event.target_name} ({event.name})"


def _note(kind: str, message: str, data: dict[str, Any] | None = None) -> Note:
    return Note(kind, message, data=data or {}, actor_kind=ActorKind.RULE, source="metacognition")
