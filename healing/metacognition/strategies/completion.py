"""What belongs to a strategy so that its fix can take effect, whichever it is.

A StatefulSet does not replace a failing pod by itself, and a rollout that we paused because of a cause that lies
elsewhere has to go on once that cause is gone."""

from __future__ import annotations

from dataclasses import replace

from healing.actions import registry, retrying
from healing.actions.base import CannotPlan
from healing.actions.reading import Workload
from healing.actions.restart import stamp
from healing.actions.template_patch import CORRECTIONS
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.metacognition.strategies.configuration import carry_on
from healing.metacognition.strategies.workloads import out_of_the_way
from healing.policies.spec import ActionName
from healing.ports.cluster import ObjectRef

#: These leave what is wrong as it is: a rollout that failed would only fail again.
_CHANGE_NOTHING = frozenset({ActionName.RESTART, ActionName.EVICT, ActionName.RELEASE, ActionName.DELETE_STUCK_POD})
#: The API server refuses to create pods.
_REFUSES_PODS = frozenset(
    {
        "QuotaExceeded",
        "LimitRangeViolation",
        "MissingServiceAccount",
        "PodSecurityViolation",
        "AdmissionWebhookDenied",
        "AdmissionWebhookUnavailable",
        "PodCreationFailed",
    }
)


def completed(case: Case, blueprint: Blueprint) -> Blueprint:
    """The blueprint with what has to go with it. Raises `healing.ports.errors`."""
    steps = [*blueprint.steps, *_failing_pods(case, blueprint), *_go_on(case, blueprint)]
    unique: dict[tuple[ActionName, ObjectRef], Step] = {}
    for step in steps:
        unique.setdefault((step.action, step.target), step)
    return replace(blueprint, steps=_retried(case, tuple(unique.values())))


def _failing_pods(case: Case, blueprint: Blueprint) -> list[Step]:
    changed = [step.target for step in blueprint.steps if step.action in CORRECTIONS]
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


def _retried(case: Case, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """What is refused pods is tried again at once when the last step that takes the refusal away has been taken: left
    to itself, its controller may wait for minutes. A workload that is changed itself is looked at anyway."""
    namespaces = {case.target.namespace, *(step.target.namespace for step in steps)} - {""}
    if not namespaces:
        return steps
    refused = retrying.refused_pods(
        case.cluster,
        sorted(namespaces),
        with_silent=case.finding.cause in _REFUSES_PODS,
        timeout_seconds=case.seconds,
    )
    changed = {(step.target.kind, step.target.namespace, step.target.name) for step in steps}
    refused = [ref for ref in refused if (ref.kind, ref.namespace, ref.name) not in changed]
    able = [number for number, step in enumerate(steps) if _may_patch(step, refused)]
    if not able or not refused:
        return steps
    names = [f"{ref.kind}/{ref.namespace}/{ref.name}" for ref in refused]
    last = able[-1]
    step = replace(
        steps[last],
        parameters={**steps[last].parameters, retrying.PARAMETER: {"at": stamp(), "workloads": names}},
    )
    return (*steps[:last], step, *steps[last + 1 :])


def _may_patch(step: Step, refs: list[ObjectRef]) -> bool:
    """Whether who may take the step may annotate those, too."""
    if step.action in _CHANGE_NOTHING:
        return False
    return {(verb, ref.kind) for ref in refs for verb in ("get", "patch")} <= set(registry.get(step.action).permissions)
