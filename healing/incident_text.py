"""An event as text, redacted: what the memory embeds, and what it is asked with."""

from __future__ import annotations

from healing.findings import Diagnosis
from healing.models import HealingEvent
from healing.redaction import redact

_LINES_OF_EVIDENCE = 6
_MOST_CHARACTERS = 4000


def before_diagnosis(event: HealingEvent) -> str:
    """What is known as soon as a fault is seen: symptoms, target, messages."""
    symptoms = dict.fromkeys([event.symptom, *(str(s.get("symptom", "")) for s in event.signals)])
    messages = dict.fromkeys([event.message, *(str(s.get("message", "")) for s in event.signals)])
    lines = [" ".join(symptoms), f"{event.target_kind} {event.target_name}", *messages]
    return redact("\n".join(line for line in lines if line))[:_MOST_CHARACTERS]


def after_diagnosis(event: HealingEvent, diagnosis: Diagnosis) -> str:
    """Symptom, cause and the lines that matter."""
    best = diagnosis.best
    lines = [event.symptom, f"{event.target_kind} {event.target_name}", event.message]
    if best is not None:
        lines += [best.cause, best.explanation]
        proof = [
            e for e in diagnosis.evidence if e.id in best.evidence and e.kind in ("log", "event", "status", "change")
        ]
        lines += [f"{e.title}: {e.text.splitlines()[0] if e.text else ''}" for e in proof[:_LINES_OF_EVIDENCE]]
    return redact("\n".join(dict.fromkeys(line for line in lines if line)))
