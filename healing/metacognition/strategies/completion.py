"""What belongs to a strategy so that its fix can take effect, whichever it is.

A StatefulSet does not replace a failing pod by itself, and a rollout that we paused because of a cause that lies
elsewhere has to go on once that cause is gone."""

from __future__ import annotations

from dataclasses import replace

from healing.actions.base import CannotPlan
from healing.actions.reading import Workload
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.metacognition.strategies.configuration import carry_on
from healing.metacognition.strategies.workloads import out_of_the_way
from healing.policies.spec import ActionName
from healing.ports.cluster import ObjectRef

#: These write a template, and lift our pause of it in the same write.
_WRITE_TEMPLATE = frozenset(
    {
        ActionName.ROLLBACK,
        ActionName.UPDATE_RESOURCES,
        ActionName.UPDATE_CONFIG,
        ActionName.FIX_PROBE,
        ActionName.FIX_SCHEDULING,
    }
)
#: These leave what is wrong as it is: a rollout that failed would only fail again.
_CHANGE_NOTHING = frozenset({ActionName.RESTART, ActionName.EVICT, ActionName.RELEASE, ActionName.DELETE_STUCK_POD})


def completed(case: Case, blueprint: Blueprint) -> Blueprint:
    """The blueprint with what has to go with it. Raises `healing.ports.errors`."""
    steps = [*blueprint.steps, *_failing_pods(case, blueprint), *_go_on(case, blueprint)]
    unique: dict[tuple[ActionName, ObjectRef], Step] = {}
    for step in steps:
        unique.setdefault((step.action, step.target), step)
    return replace(blueprint, steps=tuple(unique.values()))


def _failing_pods(case: Case, blueprint: Blueprint) -> list[Step]:
    changed = [step.target for step in blueprint.steps if step.action in _WRITE_TEMPLATE]
    found: list[Step] = []
    for ref in changed:
        if ref.kind == "StatefulSet":
            found += out_of_the_way(case, Workload.read(case.cluster, ref, timeout_seconds=case.seconds))
    return found


def _go_on(case: Case, blueprint: Blueprint) -> list[Step]:
    """Only where what is wrong lies elsewhere and is changed: a bad rollout of the workload itself stays paused."""
    if not case.is_elsewhere or all(step.action in _CHANGE_NOTHING for step in blueprint.steps):
        return []
    try:
        target = case.target_workload().ref
    except CannotPlan:
        return []
    if any(step.target == target for step in blueprint.steps):
        return []
    return carry_on(case)
