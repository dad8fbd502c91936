"""Putting back what was done, by upkeep: outside of any run of a phase, and again with its next tick where needed."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from healing.actions.runner import Runner, TryLater, UndoFailed
from healing.deadline import Deadline
from healing.models import ActionRun
from healing.ports.cluster import Cluster
from healing.ports.errors import SourceError

log = structlog.get_logger(__name__)

#: Said where nothing was left to put back.
WAS_BACK = "It was put back already."


@dataclass(frozen=True, slots=True)
class PutBack:
    """How it ended. ``done``: in words; empty: it was back already. ``problem``: why it could not be put back, so that
    a person has to look; None: it is back."""

    done: str
    problem: str | None = None

    @property
    def told(self) -> str:
        """What was done, in words, always."""
        return self.done or WAS_BACK


def upkeep_runner(cluster: Cluster, seconds: float) -> Runner:
    """A runner that belongs to no run, with so long to do it."""
    return Runner(cluster, Deadline.after(seconds), lambda: None)


def put_back(runner: Runner, row: ActionRun) -> PutBack | None:
    """Undo an action. None: the cluster could not say how it ended; call again, nothing is done twice."""
    try:
        return PutBack(runner.undo(row))
    except UndoFailed as error:
        return PutBack("", str(error))
    except (TryLater, SourceError) as error:
        log.info("not put back yet", action_run=row.pk, error=str(error))
        return None
