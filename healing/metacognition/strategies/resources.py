"""Strategies about requests and limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from healing.actions import quantities
from healing.actions.base import CannotPlan
from healing.actions.reading import Workload, container_statuses
from healing.metacognition.case import Case
from healing.metacognition.strategies.blueprint import Blueprint, Builder, Step
from healing.policies.spec import ActionName

#: A limit that is too low is raised by this where nobody knows how much is needed.
_RAISE = Decimal("1.5")


def _container_of(case: Case, workload: Workload) -> dict[str, Any]:
    """The finding's container, else the one that was killed or restarts most, else the only one."""
    name = case.fact("container")
    if not name and len(workload.template["spec"]["containers"]) > 1:
        statuses = [s for p in workload.pods(case.cluster, timeout_seconds=case.seconds) for s in container_statuses(p)]
        worst = max(statuses, key=lambda s: int(s.get("restartCount", 0)), default=None)
        name = worst["name"] if worst else workload.template["spec"]["containers"][0]["name"]
    return workload.container(str(name or ""))


def restore_resources(case: Case) -> Blueprint:
    workload = case.workload()
    container = _container_of(case, workload)
    good = case.last_good(workload)
    former = next((c for c in good.revision.template["spec"]["containers"] if c["name"] == container["name"]), None)
    resources = (former or {}).get("resources") or {}
    if former is None or resources == (container.get("resources") or {}):
        raise CannotPlan(f"Revision {good.revision.number} has the same resources.")
    if not resources.get("limits"):
        raise CannotPlan(f"Revision {good.revision.number} has no limits to go back to.")
    return Blueprint(
        f"Give {container['name']} the resources of revision {good.revision.number} again",
        "Requests and limits were changed; the rest of the new revision stays.",
        (
            Step(
                ActionName.UPDATE_RESOURCES,
                workload.ref,
                {"container": container["name"], "fromRevision": good.revision.number},
            ),
        ),
        restores=True,
        seconds=20,
    )


def raise_limit(resource: str) -> Builder:
    def build(case: Case) -> Blueprint:
        workload = case.workload()
        container = _container_of(case, workload)
        limit = (container.get("resources") or {}).get("limits", {}).get(resource)
        if limit is None:
            raise CannotPlan(f"Container {container['name']} has no {resource} limit.")
        suggested = case.fact(f"suggested_{resource}_limit")
        wanted = quantities.parse(suggested) if suggested else quantities.parse(limit) * _RAISE
        if wanted <= quantities.parse(limit):
            raise CannotPlan(f"The {resource} limit of {container['name']} is {limit}, which is enough.")
        text = quantities.of_resource(resource, wanted)
        return Blueprint(
            f"Raise the {resource} limit of {container['name']} from {limit} to {text}",
            f"The limit of {limit} is reached.",
            (
                Step(
                    ActionName.UPDATE_RESOURCES,
                    workload.ref,
                    {"container": container["name"], "limits": {resource: text}},
                ),
            ),
            restores=False,
            seconds=20,
        )

    return build
