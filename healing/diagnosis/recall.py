"""Past events that resemble the present one, as evidence."""

# ruff: noqa: PLC0415 - the memory is loaded in workers only
from __future__ import annotations

import structlog

from healing.findings import Evidence
from healing.models import HealingEvent
from healing.redaction import redact

log = structlog.get_logger(__name__)

_LIMIT = 5
#: Less alike than this is chance.
_SIMILAR = 0.45


def query_text(event: HealingEvent) -> str:
    """What is known before the diagnosis, as text to compare with entries."""
    symptoms = dict.fromkeys([event.symptom, *(str(s.get("symptom", "")) for s in event.signals)])
    messages = dict.fromkeys([event.message, *(str(s.get("message", "")) for s in event.signals)])
    lines = [" ".join(symptoms), f"{event.target_kind} {event.target_name}", *messages]
    return redact("\n".join(line for line in lines if line))[:4000]


def memories(event: HealingEvent, *, timeout_seconds: float) -> list[Evidence]:
    """Similar past events; an empty list where the memory is empty or does not answer."""
    from knowledge import memory

    try:
        found = memory.recall(
            query_text(event), cluster=event.cluster, limit=_LIMIT + 1, timeout_seconds=max(0.2, timeout_seconds)
        )
    except Exception:  # memory is a help, not a condition
        log.warning("recall failed", event_name=event.name, exc_info=True)
        return []
    return [_evidence(one) for one in found if one.similarity >= _SIMILAR and one.event_ref != event.name][:_LIMIT]


def _evidence(one: object) -> Evidence:
    from healing.ports.cluster import ObjectRef
    from knowledge.memory import Recollection

    assert isinstance(one, Recollection)
    how = f"healed by {one.worked}" if one.worked else one.outcome
    took = f" in {one.duration_seconds:.0f} s" if one.duration_seconds is not None else ""
    failed = [s.strategy for s in one.strategies if s.outcome in ("failed", "undone")]
    text = f"{one.cause or 'cause unknown'}; {how}{took}" + (f"; did not help: {', '.join(failed)}" if failed else "")
    target = ObjectRef.from_json(one.target) if one.target else None
    return Evidence(
        id=f"m-{one.ref.removeprefix('ke-')}",
        kind="memory",
        source="memory",
        title=f"Similar event {one.event_ref}: {one.symptom}",
        text=text,
        object=target,
        at=one.occurred_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        link=f"/events/{one.event_ref}/",
        data={
            "ref": one.ref,
            "event": one.event_ref,
            "similarity": one.similarity,
            "cause": one.cause,
            "outcome": one.outcome,
            "worked": one.worked,
            "failed": failed,
        },
    )
