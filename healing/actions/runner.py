"""Carries a plan out at most once, and undoes it.

An `ActionRun` with the whole plan (so with the state found) is written before anything is sent. Whoever comes back to
it after a crash looks at the live cluster first. Right before sending, the plan is made anew: if it would not do the
very same any more, it is stale and nothing is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from django.db import transaction

from healing import shared_clock, telemetry
from healing.actions import operations, permissions, registry, temporary
from healing.actions.base import Action, CannotPlan, Plan, UndoRefused
from healing.deadline import Deadline
from healing.models import ActionRun, ActionState, HealingEvent, Strategy
from healing.ports.cluster import Cluster
from healing.ports.errors import (
    BadResponse,
    Conflict,
    DisruptionBudgetExceeded,
    RateLimited,
    SourceError,
    Unauthorized,
    Unavailable,
)

#: A conflict means that somebody else wrote in between: look again, this often.
_CONFLICTS = 4
_CALL_SECONDS = 4.0
#: A disruption budget often allows the next pod a moment later: it is asked again for so long, and so often.
_BUDGET_SECONDS = 5.0
_BUDGET_EVERY_SECONDS = 0.5


_T = TypeVar("_T")


class StalePlan(Exception):
    """The world is not any more what the plan was made for. Nothing was sent; plan anew."""


class ActionFailed(Exception):
    """Surely not applied (or put back already); the message says why."""


class UndoFailed(Exception):
    """What was done could not be put back; a person has to look."""


class TryLater(Exception):
    """The cluster could not say whether it was done, or did not answer. Call again: nothing is done twice."""


#: Called with the plan right before it is sent; raises to prevent it.
Guard = Callable[[Plan], None]


@dataclass(frozen=True, slots=True)
class Runner:
    """Of one run of one phase. ``check_still_mine`` raises when another worker has taken over. ``least_seconds``: an
    action gets that long even where all that came before it has used the run's time up: on an API server that takes
    seconds for an answer nothing would ever be sent otherwise."""

    cluster: Cluster
    deadline: Deadline
    check_still_mine: Callable[[], None]
    least_seconds: float = 12.0

    def apply(
        self,
        event: HealingEvent,
        plan: Plan,
        *,
        key: str,
        strategy: Strategy | None = None,
        guard: Guard | None = None,
        gate: Guard | None = None,
    ) -> ActionRun:
        """Do it, unless it is done already. ``key`` is the same however often this is called for this action.

        ``guard`` may ask the cluster; ``gate`` is called in the transaction that writes down that it is sent now, and
        decides where several workers would pass the same limit.

        Raises `StalePlan`, `ActionFailed`, `TryLater` or what ``guard`` and ``check_still_mine`` raise.
        """
        row, _ = ActionRun.objects.get_or_create(
            key=key,
            defaults={
                "event": event,
                "strategy": strategy,
                "action": plan.action,
                "target": plan.target.as_json(),
                "parameters": plan.parameters,
                "pre_state": {"plan": plan.as_json()},
                "expires_at": lasting.until if (lasting := temporary.of(plan.parameters)) else None,
                "diff": [change.for_people() for change in plan.changes],
            },
        )
        if row.state == ActionState.APPLIED:
            return row
        if row.state not in (ActionState.PLANNED, ActionState.APPLYING):
            raise ActionFailed(row.error or f"It was {row.get_state_display()} before.")
        return self._with_time()._apply(row, guard, gate)  # noqa: SLF001 -- another of its own kind

    def _with_time(self) -> Runner:
        """The same with the least time that an action needs; asking whether the run is ours says that we are alive."""
        if self.deadline.remaining_seconds() >= self.least_seconds:
            return self
        self.check_still_mine()
        return replace(self, deadline=Deadline.after(self.least_seconds))

    def _apply(self, row: ActionRun, guard: Guard | None, gate: Guard | None) -> ActionRun:
        action, plan = registry.get(row.action), stored_plan(row)
        for _ in range(_CONFLICTS):
            try:
                if row.state == ActionState.APPLYING and self._is_applied(action, plan):
                    return self._applied(row, {"recognised": True})
                fresh = self._rest_of(row, plan) or self._made_anew(plan)
                if guard is not None:
                    guard(fresh)
                if row.state == ActionState.PLANNED:
                    self._as_budgets_allow(partial(self._try_out, action, fresh))
                    self.check_still_mine()
                    self._claim(row, fresh, gate)
                else:
                    self.check_still_mine()
                return self._applied(row, self._as_budgets_allow(partial(self._send, action, fresh)))
            except Conflict:
                continue
            except (Unavailable, RateLimited, BadResponse, Unauthorized) as error:
                # Unauthorized says nothing about what was sent before: it may still arrive, and the token be renewed.
                raise TryLater(f"{plan.summary} {error}") from error
            except StalePlan as error:
                self._give_up(row, f"stale: {error}")
                raise
            except SourceError as error:
                self._give_up(row, str(error))
                raise ActionFailed(str(error)) from error
        raise TryLater(f"{plan.target} is being changed by others all the time.")

    def _try_out(self, action: Action[Any], plan: Plan) -> None:
        """May we send it, and take it back; and would the API server accept it? Nothing is sent."""
        permissions.check_undo(self.cluster, plan, timeout_seconds=self._seconds())
        action.dry_run(self.cluster, plan, timeout_seconds=self._seconds())

    def _send(self, action: Action[Any], plan: Plan) -> dict[str, Any]:
        return action.execute(self.cluster, plan, timeout_seconds=self._seconds())

    def _as_budgets_allow(self, send: Callable[[], _T]) -> _T:
        """Send what a PodDisruptionBudget may forbid right now, again and again for a moment. The API server's answer
        names the budget."""
        patience = Deadline.after(min(_BUDGET_SECONDS, self.deadline.remaining_seconds() / 2))
        while True:
            try:
                return send()
            except DisruptionBudgetExceeded:
                if patience.remaining_seconds() < _BUDGET_EVERY_SECONDS:
                    raise
                time.sleep(_BUDGET_EVERY_SECONDS)

    def undo(self, row: ActionRun) -> str:
        """Put back what was found, once. Says what was done. Raises `UndoFailed` or `TryLater`."""
        if row.state in (ActionState.PLANNED, ActionState.FAILED, ActionState.UNDONE):
            return ""
        action, plan = registry.get(row.action), stored_plan(row)
        self.check_still_mine()
        ActionRun.objects.filter(pk=row.pk).update(state=ActionState.UNDOING)
        row.state = ActionState.UNDOING
        try:
            text = self._with_time()._put_back(action, plan, row.result)  # noqa: SLF001 -- the same
        except (UndoRefused, SourceError) as error:
            self._save(row, ActionState.UNDO_FAILED, error=str(error))
            raise UndoFailed(str(error)) from error
        row.undone_at = shared_clock.now()
        self._save(row, ActionState.UNDONE)
        return text

    def _put_back(self, action: Action[Any], plan: Plan, result: dict[str, Any]) -> str:
        """Raises `UndoRefused`, a `SourceError` that is final, or `TryLater`."""
        for _ in range(_CONFLICTS):
            try:
                return action.undo(self.cluster, plan, result, timeout_seconds=self._seconds())
            except Conflict:
                continue
            except (Unavailable, RateLimited, BadResponse, Unauthorized) as error:
                raise TryLater(f"Undoing: {error}") from error
        raise TryLater(f"{plan.target} is being changed by others all the time.")

    def _rest_of(self, row: ActionRun, plan: Plan) -> Plan | None:
        """What is left of a half-executed plan that cannot be taken back: it has to follow, whatever a new plan would
        say. None: nothing was sent yet, or it can be taken back."""
        if row.state != ActionState.APPLYING or plan.reversible:
            return None
        left = tuple(operation for operation in plan.operations if not self._is_done(operation))
        return replace(plan, operations=left) if len(left) < len(plan.operations) else None

    def _is_done(self, operation: operations.Operation) -> bool:
        return operations.is_done(self.cluster, operation, timeout_seconds=self._seconds())

    def _made_anew(self, plan: Plan) -> Plan:
        try:
            fresh = registry.make_plan(
                self.cluster, plan.action, plan.target, plan.parameters, timeout_seconds=self._seconds()
            )
        except CannotPlan as error:
            raise StalePlan(str(error)) from error
        if not fresh.does_the_same_as(plan):
            raise StalePlan(f"{plan.target} was changed since the plan was made.")
        return fresh

    def _is_applied(self, action: Action[Any], plan: Plan) -> bool:
        return action.is_applied(self.cluster, plan, timeout_seconds=self._seconds())

    def _claim(self, row: ActionRun, plan: Plan, gate: Guard | None) -> None:
        """From here on it counts as maybe sent. Compare-and-swap: of two workers, one goes on."""
        with transaction.atomic():
            if gate is not None:
                gate(plan)
            changed = ActionRun.objects.filter(pk=row.pk, state=ActionState.PLANNED).update(state=ActionState.APPLYING)
        if not changed:
            raise TryLater("Another worker is at it.")
        row.state = ActionState.APPLYING

    def _give_up(self, row: ActionRun, error: str) -> None:
        """A part of several operations may have been sent: put it back before it counts as failed.

        Raises `TryLater` where the cluster does not answer: the row stays, and the next run comes back here."""
        plan = stored_plan(row)
        if row.state == ActionState.APPLYING and len(plan.operations) > 1:
            try:
                done = self._done_of(plan)
                said = self._put_back(registry.get(row.action), plan, {})
            except (Unavailable, RateLimited, BadResponse, Unauthorized) as problem:
                raise TryLater(f"{error}; then, looking what was done: {problem}") from problem
            except (UndoRefused, SourceError) as problem:
                self._save(row, ActionState.UNDO_FAILED, error=f"{error}; then, putting a part of it back: {problem}")
                return
            if done:
                error += f" Done before that: {', '.join(done)}. {said}"
        self._save(row, ActionState.FAILED, error=error)

    def _done_of(self, plan: Plan) -> list[str]:
        """Which of its operations the live state shows, in words."""
        return [
            f"{operation['verb']} {operations.object_of(operation)}"
            for operation in plan.operations
            if self._is_done(operation)
        ]

    def _applied(self, row: ActionRun, result: dict[str, Any]) -> ActionRun:
        row.result = result
        row.applied_at = shared_clock.now()
        self._save(row, ActionState.APPLIED)
        return row

    def _save(self, row: ActionRun, state: ActionState, error: str = "") -> None:
        row.state, row.error = state, error
        row.save(update_fields=["state", "error", "result", "applied_at", "undone_at"])
        telemetry.count("recist_actions_total", row.action, str(state))

    def _seconds(self) -> float:
        left = self.deadline.remaining_seconds(at_most=_CALL_SECONDS)
        if left <= 0.05:
            raise TryLater("No time left in this run.")
        return left


def stored_plan(row: ActionRun) -> Plan:
    """The plan that an action's row was made from."""
    return Plan.from_json(row.pre_state["plan"])
