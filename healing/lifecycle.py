"""The life of a healing event as data: phases, the moves between them, budgets and queues.

Pure: no database, no clock, no Django. `healing.engine` is the only caller that changes an event with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Phase(StrEnum):
    """Where an event stands; the values are the ``status.phase`` enum of the HealingEvent resource."""

    PENDING = "Pending"
    CONTAINING = "Containing"
    DIAGNOSING = "Diagnosing"
    PLANNING = "Planning"
    AWAITING_APPROVAL = "AwaitingApproval"
    HEALING = "Healing"
    VERIFYING = "Verifying"
    LEARNING = "Learning"
    COMPLETED = "Completed"
    FAILED = "Failed"
    ESCALATED = "Escalated"


class Status(StrEnum):
    """What happens with the phase right now."""

    QUEUED = "queued"  # a worker shall run it, not before `next_attempt_at`
    RUNNING = "running"  # a worker runs it, until its lease expires
    WAITING = "waiting"  # for a person
    DONE = "done"  # terminal


class Outcome(StrEnum):
    """How an event ended. ``healed``, ``recovered`` and ``declined`` complete it."""

    HEALED = "healed"  # our strategy was verified
    RECOVERED = "recovered"  # it went away by itself
    DECLINED = "declined"  # a person decided that nothing is done
    ESCALATED = "escalated"  # a person must take over
    FAILED = "failed"  # we broke: the event could not be processed


class Wound(StrEnum):
    """The four phases of wound healing, as people see them."""

    CONTAINMENT = "Containment"
    DIAGNOSIS = "Diagnosis"
    METACOGNITION = "MetaCognition"
    KNOWLEDGE = "Knowledge"


TERMINAL = frozenset({Phase.COMPLETED, Phase.FAILED, Phase.ESCALATED})

#: Phases that a worker runs. The others wait for a person or are over.
WORK = frozenset(
    {
        Phase.PENDING,
        Phase.CONTAINING,
        Phase.DIAGNOSING,
        Phase.PLANNING,
        Phase.HEALING,
        Phase.VERIFYING,
        Phase.LEARNING,
    }
)

#: Every move there is. Staying in a phase (another verification poll, a retry) is no move.
TRANSITIONS: Mapping[Phase, frozenset[Phase]] = MappingProxyType(
    {
        Phase.PENDING: frozenset({Phase.CONTAINING}),
        # To AwaitingApproval from wherever it is: a person takes it over by hand.
        Phase.CONTAINING: frozenset({Phase.DIAGNOSING, Phase.AWAITING_APPROVAL}),
        Phase.DIAGNOSING: frozenset({Phase.PLANNING, Phase.LEARNING, Phase.AWAITING_APPROVAL}),
        # Back to the diagnosis: what was found to be the cause has been healed meanwhile, and it is ill all the same.
        Phase.PLANNING: frozenset({Phase.AWAITING_APPROVAL, Phase.HEALING, Phase.LEARNING, Phase.DIAGNOSING}),
        # To Verifying: the person has fixed it. To Diagnosing: given back before it was diagnosed.
        Phase.AWAITING_APPROVAL: frozenset(
            {Phase.DIAGNOSING, Phase.PLANNING, Phase.HEALING, Phase.VERIFYING, Phase.LEARNING}
        ),
        Phase.HEALING: frozenset({Phase.VERIFYING, Phase.PLANNING, Phase.LEARNING, Phase.AWAITING_APPROVAL}),
        Phase.VERIFYING: frozenset({Phase.PLANNING, Phase.LEARNING, Phase.AWAITING_APPROVAL}),
        # Every event is remembered before it ends; the outcome chosen earlier says which end it is.
        Phase.LEARNING: frozenset(TERMINAL),
        Phase.COMPLETED: frozenset(),
        Phase.FAILED: frozenset(),
        Phase.ESCALATED: frozenset(),
    }
)

TERMINAL_PHASE_OF_OUTCOME: Mapping[Outcome, Phase] = MappingProxyType(
    {
        Outcome.HEALED: Phase.COMPLETED,
        Outcome.RECOVERED: Phase.COMPLETED,
        Outcome.DECLINED: Phase.COMPLETED,
        Outcome.ESCALATED: Phase.ESCALATED,
        Outcome.FAILED: Phase.FAILED,
    }
)

#: Seconds a person reads on the clock of each wound phase (DESIGN: 5 + 15 + 20 + 5, under 60 in total).
BUDGET_SECONDS: Mapping[Wound, float] = MappingProxyType(
    {Wound.CONTAINMENT: 5.0, Wound.DIAGNOSIS: 15.0, Wound.METACOGNITION: 20.0, Wound.KNOWLEDGE: 5.0}
)

WOUND_OF_PHASE: Mapping[Phase, Wound] = MappingProxyType(
    {
        Phase.PENDING: Wound.CONTAINMENT,
        Phase.CONTAINING: Wound.CONTAINMENT,
        Phase.DIAGNOSING: Wound.DIAGNOSIS,
        Phase.PLANNING: Wound.METACOGNITION,
        Phase.AWAITING_APPROVAL: Wound.METACOGNITION,
        Phase.HEALING: Wound.METACOGNITION,
        Phase.VERIFYING: Wound.METACOGNITION,
        Phase.LEARNING: Wound.KNOWLEDGE,
    }
)

#: Seconds one run of a worker may take in a phase. Verification takes as long as the cluster needs, in many
#: short runs, so only a single look at the cluster is bounded here.
RUN_DEADLINE_SECONDS: Mapping[Phase, float] = MappingProxyType(
    {
        Phase.CONTAINING: 5.0,
        Phase.DIAGNOSING: 15.0,
        Phase.PLANNING: 10.0,
        Phase.HEALING: 10.0,
        Phase.VERIFYING: 5.0,
        Phase.LEARNING: 5.0,
    }
)

#: Seconds past the deadline before a run counts as lost with its worker.
LEASE_GRACE_SECONDS = 5.0

#: The longest a run is put off, and with room to spare the longest lease. A time further ahead than this can only have
#: been written before the clock was set back: it counts as come.
LONGEST_WAIT_SECONDS = 60.0

#: A phase that could not be run this often (exceptions, dead workers) is given up: see `ON_EXHAUSTED`.
MAX_TRIES = 5

#: A cluster that does not answer is waited for so long, however many tries that takes, before the phase is given up.
OUTAGE_PATIENCE_SECONDS = 300.0

#: Where a phase goes that cannot be run, with the outcome this decides. Containment is a help, not a
#: condition; whoever cannot verify or remember must not claim success (an outcome already chosen stays).
ON_EXHAUSTED: Mapping[Phase, tuple[Phase, Outcome | None]] = MappingProxyType(
    {
        Phase.CONTAINING: (Phase.DIAGNOSING, None),
        Phase.DIAGNOSING: (Phase.LEARNING, Outcome.ESCALATED),
        Phase.PLANNING: (Phase.LEARNING, Outcome.ESCALATED),
        Phase.HEALING: (Phase.LEARNING, Outcome.ESCALATED),
        Phase.VERIFYING: (Phase.LEARNING, Outcome.ESCALATED),
    }
)

_QUEUES: Mapping[Phase, str] = MappingProxyType(
    {
        Phase.PENDING: "containment",
        Phase.CONTAINING: "containment",
        Phase.DIAGNOSING: "diagnosis",
        Phase.PLANNING: "healing",
        Phase.HEALING: "healing",
        Phase.VERIFYING: "healing",
        Phase.LEARNING: "knowledge",
    }
)

#: Messages of lower numbers are taken first, across the queues of a worker: what has begun is brought to its end before
#: the next is begun. Without that, 200 faults at once are all diagnosed before the first one is healed.
_PRIORITIES: Mapping[Phase, int] = MappingProxyType({Phase.PLANNING: 3, Phase.DIAGNOSING: 6})


class IllegalTransition(Exception):
    """A move that `TRANSITIONS` does not have."""

    def __init__(self, source: Phase, target: Phase) -> None:
        super().__init__(f"An event cannot go from {source} to {target}.")
        self.source = source
        self.target = target


def check_transition(source: Phase, target: Phase) -> None:
    """Raise `IllegalTransition` unless the move exists."""
    if target not in TRANSITIONS[source]:
        raise IllegalTransition(source, target)


def is_terminal(phase: Phase) -> bool:
    """Whether nothing can follow."""
    return phase in TERMINAL


def status_on_entry(phase: Phase) -> Status:
    """The status an event has when it enters a phase."""
    if phase in TERMINAL:
        return Status.DONE
    return Status.QUEUED if phase in WORK else Status.WAITING


def queue_of(phase: Phase) -> str:
    """The Celery queue that serves a phase of work."""
    return _QUEUES[phase]


def priority_of(phase: Phase) -> int:
    """Which messages are taken first: 0 before 3 before 6."""
    return _PRIORITIES.get(phase, 0)


def retry_delay_seconds(tries: int) -> float:
    """Back-off before a failed phase is tried again: 1, 2, 4, ... at most 15 seconds."""
    return float(min(2 ** max(tries - 1, 0), 15))
