"""Raise a quota: give a namespace more of a resource, at most twice what it has, and only with a person's word."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from pydantic import Field

from healing.actions import operations, quantities, retrying
from healing.actions.base import Action, BlastRadius, CannotPlan, Change, Parameters, Plan
from healing.actions.ownership import managed_by
from healing.actions.reading import get
from healing.policies.spec import ActionName, Risk
from healing.ports.cluster import Cluster, ObjectRef

_AT_MOST_TIMES = 2


class RaiseQuotaParameters(Parameters):
    """``hard``: the new limits, by the quota's own names (``requests.memory``)."""

    hard: dict[str, str] = Field(min_length=1, max_length=20)


class RaiseQuota(Action[RaiseQuotaParameters]):
    """Never lowers."""

    name = ActionName.RAISE_QUOTA
    title = "Raise the quota"
    kinds = frozenset({"ResourceQuota"})
    permissions: ClassVar = (("get", "ResourceQuota"), ("patch", "ResourceQuota"), *retrying.PERMISSIONS)
    parameters = RaiseQuotaParameters

    def plan(
        self, cluster: Cluster, target: ObjectRef, parameters: RaiseQuotaParameters, *, timeout_seconds: float
    ) -> Plan:
        quota = get(cluster, target, timeout_seconds=timeout_seconds)
        ref, now = ObjectRef.of(quota, "ResourceQuota"), quota["spec"].get("hard") or {}
        for name, text in parameters.hard.items():
            if name not in now:
                raise CannotPlan(f"{ref} does not limit {name}.")
            before, after = quantities.parse(now[name]), quantities.parse(text)
            if after <= before:
                raise CannotPlan(f"{ref} allows {now[name]} {name}; {text} would not be more.")
            if after > max(before, Decimal(1)) * _AT_MOST_TIMES:
                raise CannotPlan(f"{text} {name} is more than twice the {now[name]} of {ref}: a person has to set it.")
        wanted = ", ".join(f"{name} from {now[name]} to {text}" for name, text in parameters.hard.items())
        back = {name: now[name] for name in parameters.hard}
        return Plan(
            action=self.name,
            target=ref,
            generation=0,
            summary=f"Raise {wanted} in {ref}.",
            changes=tuple(Change(ref, f"spec.hard[{n}]", now[n], text) for n, text in parameters.hard.items()),
            operations=(operations.patch(ref, {"spec": {"hard": dict(parameters.hard)}}),),
            pre_state={"undo": [operations.patch(ref, {"spec": {"hard": back}})]},
            risk=Risk.HIGH,
            risk_reason="A quota is an agreement between people: what one namespace gets, others cannot have.",
            reversible=True,
            undo_summary=f"{ref} has its former limits again.",
            blast_radius=BlastRadius(managed_by=managed_by(quota)),
            parameters=parameters.model_dump(by_alias=True),
        )
