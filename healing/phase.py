"""What the engine gives to a phase handler and what it gets back.

A handler is a function ``run(context) -> PhaseResult``. It runs outside any transaction, may be killed at any
line and run again, and changes the event only through what it returns. Rows of its own (strategies, approvals)
it writes in ``PhaseResult.writes``, inside the transaction that commits the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from healing.deadline import Deadline
from healing.lifecycle import Outcome, Phase
from healing.models import ActorKind, HealingEvent
from healing.policies.spec import PolicySpec
from healing.ports import Ports


class LostRun(Exception):
    """Another worker owns this phase by now: stop at once and touch nothing more."""


@dataclass(frozen=True, slots=True)
class Note:
    """A timeline entry to be. ``kind`` is a short slug; ``data`` is JSON."""

    kind: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)
    actor_kind: ActorKind = ActorKind.SYSTEM
    actor: str = ""
    source: str = ""


@dataclass(slots=True)
class PhaseResult:
    """What a run came to. ``next=None`` stays in the phase and runs it again after ``wait_seconds``.

    ``fields`` sets columns of the event that belong to the phase (see `engine.PHASE_FIELDS`); ``result`` is kept
    on the phase's run for the page. Whoever moves to LEARNING says with which ``outcome``.
    """

    next: Phase | None
    notes: list[Note] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    wait_seconds: float = 0.0
    outcome: Outcome | None = None
    outcome_reason: str = ""
    writes: Callable[[HealingEvent], None] | None = None

    @classmethod
    def wait(cls, seconds: float, notes: list[Note] | None = None) -> PhaseResult:
        """Stay, and look again after that many seconds."""
        return cls(next=None, wait_seconds=seconds, notes=notes or [])


@dataclass(slots=True)
class PhaseContext:
    """Everything a handler may use. ``event`` is its row as claimed: read it, never save it."""

    event: HealingEvent
    policy: PolicySpec
    ports: Ports
    deadline: Deadline
    #: True when an earlier run of this very phase was lost or failed
    is_retry: bool
    _report: Callable[[Note | None], None]

    def report(self, note: Note) -> None:
        """Put a note on the timeline now, so that people see it live. Raises `LostRun`."""
        self._report(note)

    def check_still_mine(self) -> None:
        """Raise `LostRun` if another worker has taken over. Call it right before touching the cluster."""
        self._report(None)


class PhaseHandler(Protocol):
    """The entry point of a phase."""

    def __call__(self, context: PhaseContext) -> PhaseResult: ...
