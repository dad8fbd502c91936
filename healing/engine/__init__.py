"""The only writer of an event's state.

A short transaction claims a run (compare-and-swap on ``run_id``), the phase's handler runs outside any
transaction, a second short transaction commits its result, its timeline entries and the next state, and
enqueues the next run when it is durable. A worker may be killed at any line: its lease expires, `sweep` queues
the run anew, and whoever comes back late finds that ``run_id`` is no longer its own.
"""

from healing.engine.opening import open_event
from healing.engine.running import add_note, claim, commit, interrupt, move, run
from healing.engine.state import PHASE_FIELDS, WrongPhase
from healing.engine.sweeping import sweep

__all__ = [
    "PHASE_FIELDS",
    "WrongPhase",
    "add_note",
    "claim",
    "commit",
    "interrupt",
    "move",
    "open_event",
    "run",
    "sweep",
]
