"""Strategies that put configuration back."""

from __future__ import annotations

from healing.actions.base import CannotPlan
from healing.actions.restart import stamp
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Step
from healing.policies.spec import ActionName
from healing.ports.cluster import ObjectRef
from healing.ports.errors import NotFound


def restore_references(case: Case) -> Blueprint:
    workload = case.workload()
    good = case.last_good(workload)
    return Blueprint(
        f"Give {workload.ref.name} the configuration of revision {good.revision.number} again",
        "Only environment and configuration volumes go back; the image stays.",
        (Step(ActionName.UPDATE_CONFIG, workload.ref, {"fromRevision": good.revision.number}),),
        restores=True,
        seconds=20,
    )


def _config_map(case: Case) -> ObjectRef:
    name = case.fact("config_map")
    if case.finding.object.kind == "ConfigMap":
        name = case.finding.object.name
    if not name:
        raise CannotPlan("The finding names no ConfigMap.")
    namespace = case.finding.object.namespace or case.target.namespace
    try:
        live = case.cluster.get("ConfigMap", namespace, str(name), timeout_seconds=case.seconds)
    except NotFound as error:
        raise CannotPlan(f"ConfigMap {name} does not exist.") from error
    return ObjectRef.of(live, "ConfigMap")


def _keys(case: Case) -> list[str]:
    keys = [str(key) for key in (case.fact("key"), case.fact("variable")) if key]
    if not keys:
        raise CannotPlan("The finding names no key.")
    return keys[:1]


def restore_keys(case: Case) -> Blueprint:
    ref, keys = _config_map(case), _keys(case)
    steps = [Step(ActionName.UPDATE_CONFIG, ref, {"keys": keys})]
    return Blueprint(
        f"Put {keys[0]} back into ConfigMap {ref.name}",
        f"ConfigMap {ref.name} had {keys[0]} and lost it.",
        (*steps, *carry_on(case)),
        restores=True,
        seconds=15,
    )


def restore_values(case: Case) -> Blueprint:
    ref, keys = _config_map(case), _keys(case)
    workload = case.workload()
    steps = [Step(ActionName.UPDATE_CONFIG, ref, {"keys": keys, "overwrite": True})]
    if not workload.is_paused:
        steps.append(Step(ActionName.RESTART, workload.ref, {"at": stamp()}))
    return Blueprint(
        f"Give {keys[0]} of ConfigMap {ref.name} its former value, and restart",
        f"{keys[0]} of ConfigMap {ref.name} was changed, and the program refuses the new value.",
        (*steps, *carry_on(case)),
        restores=True,
        seconds=25,
    )


def carry_on(case: Case) -> list[Step]:
    """A rollout that we paused goes on, once the cause outside of the template is gone."""
    try:
        workload = case.target_workload()
    except CannotPlan:
        return []
    if workload.paused_by_event:
        return [Step(ActionName.RESUME_ROLLOUT, workload.ref, {"event": workload.paused_by_event})]
    return []
