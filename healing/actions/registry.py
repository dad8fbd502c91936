"""All actions, by name. What is not here cannot be done, whoever asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from healing.actions import retrying, temporary
from healing.actions.base import Action, CannotPlan, Plan
from healing.actions.cordon import Cordon
from healing.actions.delete_stuck_pod import DeleteStuckPod
from healing.actions.drain import Drain
from healing.actions.evict import Evict
from healing.actions.expand_volume import ExpandVolume
from healing.actions.fix_probe import FixProbe
from healing.actions.fix_scheduling import FixScheduling
from healing.actions.fix_service_port import FixServicePort
from healing.actions.fix_service_selector import FixServiceSelector
from healing.actions.isolate import Isolate
from healing.actions.pause_rollout import PauseRollout
from healing.actions.raise_quota import RaiseQuota
from healing.actions.rebind_volume import RebindVolume
from healing.actions.recreate_missing import RecreateMissing
from healing.actions.release import Release
from healing.actions.restart import Restart
from healing.actions.restart_dependency import RestartDependency
from healing.actions.restore_object import RestoreObject
from healing.actions.resume_rollout import ResumeRollout
from healing.actions.rollback import Rollback
from healing.actions.scale import Scale
from healing.actions.uncordon import Uncordon
from healing.actions.update_config import UpdateConfig
from healing.actions.update_resources import UpdateResources
from healing.policies.spec import ActionName
from healing.ports.cluster import Cluster, ObjectRef

_ACTIONS: tuple[Action[Any], ...] = (
    Restart(),
    Rollback(),
    Scale(),
    UpdateResources(),
    UpdateConfig(),
    FixServiceSelector(),
    RestartDependency(),
    Evict(),
    RestoreObject(),
    RecreateMissing(),
    FixServicePort(),
    FixProbe(),
    FixScheduling(),
    RaiseQuota(),
    ExpandVolume(),
    RebindVolume(),
    DeleteStuckPod(),
    Drain(),
    Isolate(),
    Release(),
    PauseRollout(),
    ResumeRollout(),
    Cordon(),
    Uncordon(),
)

#: Beside its own ones.
EVERY_ACTIONS_PARAMETERS = frozenset({retrying.PARAMETER, temporary.PARAMETER})

REGISTRY: Mapping[ActionName, Action[Any]] = MappingProxyType({action.name: action for action in _ACTIONS})


def get(name: str) -> Action[Any]:
    """Raises `LookupError` for a name that is no action."""
    try:
        return REGISTRY[ActionName(name)]
    except (ValueError, KeyError) as error:
        raise LookupError(f"{name!r} is not an action. Actions: {', '.join(sorted(REGISTRY))}.") from error


def make_plan(
    cluster: Cluster, name: str, target: ObjectRef, parameters: Mapping[str, Any], *, timeout_seconds: float
) -> Plan:
    """Check name, kind and parameters (its own, and `EVERY_ACTIONS_PARAMETERS`), then plan. Raises `CannotPlan`,
    `pydantic.ValidationError`, `LookupError` or `healing.ports.errors`."""
    action = get(name)
    if target.kind not in action.kinds:
        raise CannotPlan(f"{action.title} is not for a {target.kind}.")
    own = {name: value for name, value in parameters.items() if name not in EVERY_ACTIONS_PARAMETERS}
    plan = action.plan(cluster, target, action.parameters.model_validate(own), timeout_seconds=timeout_seconds)
    retry, lasting = retrying.of(parameters), temporary.of(parameters)
    if retry:
        plan = retrying.added(cluster, plan, retry, timeout_seconds=timeout_seconds)
    return temporary.added(plan, lasting) if lasting else plan


def permissions() -> list[tuple[str, str]]:
    """Every (verb, kind) that the actions need, sorted: the shipped Role is made from them."""
    return sorted({pair for action in _ACTIONS for pair in action.permissions}, key=lambda pair: (pair[1], pair[0]))
