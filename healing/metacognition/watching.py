"""Before a person is woken for what is only slow and nobody can explain: it is looked at again, for a minute.

What has just begun often shows its cause a moment later, or is over by itself. What is down, or fails, does not wait.
"""

from __future__ import annotations

from datetime import datetime

from healing.lifecycle import Phase
from healing.metacognition.case import Case
from healing.metacognition.waits import memory
from healing.models import ActorKind, HealingEvent
from healing.phase import Note, PhaseResult

#: Symptoms of something that still does its work.
_DOES_ITS_WORK = frozenset({"HighLatency", "HighCpu", "HighMemory"})
#: Seconds until the next look, from one to the next; then a person is asked.
_PAUSES_SECONDS = (15.0, 30.0)
_KIND = "watching"
_WATCHES = "watchedSince"


def instead(case: Case, now: datetime) -> PhaseResult | None:
    """What to do instead of giving up; None: it has been watched long enough, or cannot wait."""
    event = case.event
    symptoms = {event.symptom, *(str(signal.get("symptom", "")) for signal in event.signals)}
    looks = event.timeline.filter(kind=_KIND).count()
    if case.is_cause_known or not symptoms <= _DOES_ITS_WORK or looks >= len(_PAUSES_SECONDS):
        return None
    seconds = _PAUSES_SECONDS[looks]
    message = (
        f"Nobody knows the cause yet, nothing is worth trying, and {case.target.name} does its work: "
        f"it is looked at again in {seconds:.0f} s, before a person is asked."
    )
    result = PhaseResult.wait(seconds, [_note(_KIND, message)])
    result.result = {"waitingFor": "more to see", _WATCHES: now.isoformat()}
    return result


def again(event: HealingEvent) -> PhaseResult | None:
    """The next look, after a pause of `instead`; None: there was none."""
    if not memory(event).get(_WATCHES):
        return None
    return PhaseResult(Phase.DIAGNOSING, [_note("diagnose-anew", "It is there still: diagnosed anew.")])


def _note(kind: str, message: str) -> Note:
    return Note(kind, message, actor_kind=ActorKind.RULE, source="metacognition")
