"""Past events that resemble the present one: as evidence, and as a nudge to what the rules find.

What people have said of similar events moves findings; that something was healed before moves them a little. Both are
bounded: memory decides close calls, and where it overtakes a finding that the rules were sure of, a person is asked.
"""

# ruff: noqa: PLC0415 - the memory is loaded in workers only
from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import structlog

from healing.diagnosis.catalogue import CAUSES
from healing.findings import DOUBTED, Diagnosis, Evidence, Finding
from healing.incident_text import before_diagnosis
from healing.models import HealingEvent

log = structlog.get_logger(__name__)

_LIMIT = 5
#: Less alike than this is chance.
_SIMILAR = 0.45
#: From here on an event of another workload may speak about this one's cause.
_VERY_SIMILAR = 0.75
#: What a memory moves, in log-odds, and the most that all of them together move one finding.
_SAID, _HEALED = 0.8, 0.15
_MOST_SAID, _MOST_HEALED = 1.2, 0.3
#: So much less where the memory is flagged, or comes from another installation.
_DOUBTFUL = 0.25
#: So sure is a cause at most that only people have named; below every sensible `confidenceThreshold`.
ONLY_PEOPLE = 0.4
_SURE = 0.75
_MOST = 0.97


def memories(event: HealingEvent, *, timeout_seconds: float) -> list[Evidence]:
    """Similar past events and notes; an empty list where the memory is empty or does not answer."""
    from knowledge import memory

    try:
        found = memory.recall(
            before_diagnosis(event),
            near=(event.cluster, event.target_namespace),
            max_local_events=event.policy_spec.max_local_events,
            limit=_LIMIT + 1,
            timeout_seconds=max(0.2, timeout_seconds),
        )
        kept = [one for one in found if one.similarity >= _SIMILAR and one.event_ref != event.name][:_LIMIT]
        memory.note_uses(event.name, [(one.ref, one.similarity, "shown to the diagnosis") for one in kept])
    except Exception:  # memory is a help, not a condition
        log.warning("recall failed", event_name=event.name, exc_info=True)
        return []
    return [_evidence(one, event) for one in kept]


def weigh(diagnosis: Diagnosis, remembered: Iterable[Evidence]) -> Diagnosis:
    """The diagnosis with what memory has to say about its findings; what moved is told in each finding."""
    votes: dict[str, list[tuple[float, str, Evidence]]] = defaultdict(list)
    for one in remembered:
        for cause, shift, why in _votes(one):
            votes[cause].append((shift, why, one))
    if not votes:
        return diagnosis
    before = list(diagnosis.findings)
    findings = [_moved(finding, votes.get(finding.cause, [])) for finding in before]
    findings += _only_named_by_people(before, votes)
    findings.sort(key=lambda finding: -finding.confidence)
    if before and findings[0].cause != before[0].cause and before[0].confidence >= _SURE:
        facts = {**findings[0].facts, DOUBTED: f"{before[0].cause} of {before[0].object}"}
        findings[0] = replace(findings[0], facts=facts)
    return replace(diagnosis, findings=tuple(findings))


def _votes(one: Evidence) -> list[tuple[str, float, str]]:
    """(cause, log-odds, why) of one memory."""
    data = one.data
    is_same = bool(data.get("same_fault"))
    if data.get("note") or not (is_same or float(data.get("similarity", 0.0)) >= _VERY_SIMILAR):
        return []
    trust = _DOUBTFUL if data.get("flagged") or data.get("imported_from") else 1.0
    trust *= 1.0 if is_same else float(data["similarity"])
    found = []
    for said in data.get("said", ()):
        if said["about"] != "cause":
            continue
        who, event = said["by"], data["event"]
        if said["is_right"]:
            found.append((data["diagnosed"], _SAID * trust, f"{who} confirmed {data['diagnosed']} for {event}"))
            continue
        found.append((data["diagnosed"], -_SAID * trust, f"{who} called {data['diagnosed']} wrong for {event}"))
        if said["corrected_cause"]:
            other = said["corrected_cause"]
            found.append((other, _SAID * trust, f"{who} said that {event} really was {other}"))
    if data.get("outcome") == "healed" and is_same and not found and data.get("cause"):
        found.append(
            (data["cause"], _HEALED * trust, f"the same fault was healed as {data['cause']} in {data['event']}")
        )
    return [vote for vote in found if vote[0]]


def _moved(finding: Finding, votes: list[tuple[float, str, Evidence]]) -> Finding:
    said = sum(shift for shift, _, _ in votes if abs(shift) > _HEALED)
    healed = sum(shift for shift, _, _ in votes if abs(shift) <= _HEALED)
    shift = max(-_MOST_SAID, min(_MOST_SAID, said)) + min(_MOST_HEALED, healed)
    if not votes or abs(shift) < 0.01:
        return finding
    odds = math.log(finding.confidence / (1 - finding.confidence)) if 0 < finding.confidence < 1 else 0.0
    confidence = round(max(0.02, min(_MOST, 1 / (1 + math.exp(-odds - shift)))), 3)
    if shift > 0:
        confidence = max(confidence, finding.confidence)  # a cap takes nothing away
    why = "; ".join(dict.fromkeys(why for _, why, _ in votes))
    text = f"Memory: {why} ({finding.confidence:.0%} before, {confidence:.0%} now)."
    return replace(
        finding,
        confidence=confidence,
        explanation=f"{finding.explanation} {text}".strip(),
        evidence=tuple(dict.fromkeys((*finding.evidence, *(one.id for _, _, one in votes)))),
        facts={**finding.facts, "memory": text},
    )


def _only_named_by_people(
    findings: list[Finding], votes: dict[str, list[tuple[float, str, Evidence]]]
) -> list[Finding]:
    """What people corrected the very same fault to, where no rule sees it: proposed, never sure."""
    known = {finding.cause for finding in findings}
    found = []
    for cause, spoken in votes.items():
        total = sum(shift for shift, _, _ in spoken)
        if cause in known or cause not in CAUSES or total < _SAID * 0.9 or not findings:
            continue
        why = "; ".join(dict.fromkeys(why for _, why, _ in spoken))
        found.append(
            Finding(
                cause=cause,
                object=findings[0].object,
                confidence=round(min(ONLY_PEOPLE, ONLY_PEOPLE * total / _MOST_SAID), 3),
                explanation=f"No rule sees it here, but memory does: {why}.",
                evidence=tuple(one.id for _, _, one in spoken),
                suggested_actions=CAUSES[cause].actions,
                facts={"said_by": "memory"},
            )
        )
    return found


def _evidence(one: Any, event: HealingEvent) -> Evidence:
    from healing.ports.cluster import ObjectRef
    from knowledge.memory import Recollection

    assert isinstance(one, Recollection)
    is_note = one.kind == "note"
    target = ObjectRef.from_json(one.target) if one.target else None
    return Evidence(
        id=f"m-{one.ref.removeprefix('ke-')}",
        kind="memory",
        source="memory",
        title=f"Runbook note: {one.title}" if is_note else f"Similar event {one.event_ref}: {one.symptom}",
        text=one.text[:600] if is_note else _what_happened(one),
        object=target,
        at=one.occurred_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        link=f"/knowledge/{one.ref}/",
        data={
            "ref": one.ref,
            "event": one.event_ref,
            "similarity": one.similarity,
            "range": one.range,
            "note": is_note,
            "same_fault": bool(one.fingerprint) and one.fingerprint == event.fingerprint,
            "cause": one.cause,
            "diagnosed": one.diagnosed_cause,
            "outcome": one.outcome,
            "worked": one.worked,
            "failed": one.failed,
            "occurrences": one.occurrences,
            "flagged": one.is_flagged,
            "imported_from": one.imported_from,
            "said": [
                {"about": j.about, "is_right": j.is_right, "by": j.by, "corrected_cause": j.corrected_cause}
                for j in one.judgements
            ],
        },
    )


def _what_happened(one: Any) -> str:
    how = f"healed by {one.worked}" if one.worked else one.outcome
    took = f" in {one.duration_seconds:.0f} s" if one.duration_seconds is not None else ""
    text = f"{one.cause or 'cause unknown'}; {how}{took}"
    if one.failed:
        text += f"; did not help: {', '.join(one.failed)}"
    if one.occurrences > 1:
        text += f"; seen {one.occurrences} times"
    for said in one.judgements:
        text += f"; {said.by}: {said.about} {'right' if said.is_right else 'wrong'}"
        text += f", really {said.corrected_cause}" if said.corrected_cause else ""
    return text + (f" ({one.similarity:.0%} alike, {'this namespace' if one.range == 'local' else 'elsewhere'})")
