"""Which strategies are argued about: from the causes table, from memory, and always "ask a person"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from healing.actions.base import CannotPlan
from healing.metacognition.case import Case
from healing.metacognition.causes import fixes_for
from healing.metacognition.strategies import STRATEGIES, Blueprint, completed
from healing.models import Strategy, StrategyState
from healing.policies.spec import ActionName
from healing.ports.errors import NotFound

#: Candidates beyond the best few only cost time.
_AT_MOST = 6
#: What failed for the same cause within this time fails again.
_JUST_TRIED = timedelta(minutes=15)
#: These leave what is wrong as it is: they help where the process itself is ill, or has too much to do.
_CURES_ONLY_ITSELF = frozenset(
    {ActionName.RESTART, ActionName.RESTART_DEPENDENCY, ActionName.EVICT, ActionName.SCALE, ActionName.RELEASE}
)
#: Too little of it is no proof against more of it.
_BY_DEGREES = frozenset({"scale-out", "scale-out-dependency"})
_IN_VAIN = "it was tried in this event and did not help"
#: How likely memory's own proposals heal, before anything is argued.
_FROM_MEMORY = 0.5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A strategy to be argued about. ``prior``: how likely it heals, before anything is known of this case; if the
    cause is right, unless not ``for_cause``: then whatever the cause is."""

    key: str
    origin: str
    prior: float
    blueprint: Blueprint
    for_cause: bool = True


@dataclass(frozen=True, slots=True)
class Dropped:
    """A strategy that makes no sense here."""

    key: str
    reason: str


def candidates_for(case: Case) -> tuple[list[Candidate], list[Dropped]]:
    """At most a handful, likeliest first. What failed in this event is not tried again, unless there is more of it.

    Raises `healing.ports.errors`.
    """
    failed = _failed_here(case)
    finding = case.finding
    elsewhere = _failed_elsewhere(case)
    is_own = (finding.object.kind, finding.object.name) == (case.target.kind, case.target.name)
    fixes = fixes_for(finding.cause, finding.suggested_actions, is_own=is_own, is_known=case.is_cause_known)
    wanted = {key: ("causes", prior) for key, prior in fixes}
    for key in case.experience.proven:
        origin, prior = wanted.get(key, ("memory", _FROM_MEMORY))
        wanted[key] = (origin, max(prior, _FROM_MEMORY))
    found: list[Candidate] = []
    dropped: list[Dropped] = []
    for key, (origin, prior) in sorted(wanted.items(), key=lambda item: -item[1][1]):
        if key in failed and not failed[key]:
            dropped.append(Dropped(key, _IN_VAIN))
        elif key in elsewhere:
            dropped.append(Dropped(key, f"it was tried a moment ago, for {elsewhere[key]}, and did not help"))
        elif key in STRATEGIES:
            try:
                blueprint = STRATEGIES[key](case)
                if key in failed and _replicas(step.parameters for step in blueprint.steps) <= failed[key]:
                    dropped.append(Dropped(key, _IN_VAIN))
                    continue
                if _only_treats_who_suffers(case, blueprint):
                    at_fault = case.fact("host") if case.fact("outside") else finding.object
                    dropped.append(Dropped(key, f"{case.target} only suffers; the cause is {at_fault}"))
                    continue
                found.append(Candidate(key, origin, prior, completed(case, blueprint), for_cause=case.is_cause_known))
            except (CannotPlan, NotFound) as error:
                dropped.append(Dropped(key, str(error)))
    found = _without_twins(found)[:_AT_MOST]
    needless = case.experience.narrow([candidate.key for candidate in found])
    dropped += [Dropped(key, reason) for key, reason in needless.items()]
    return [candidate for candidate in found if candidate.key not in needless], dropped


def _failed_here(case: Case) -> dict[str, int]:
    """Strategy -> the most replicas it was tried with in this event, in vain; 0: it has nothing to do with replicas.

    What is overloaded shows as many requests as it can answer, not as many as are sent: the first guess of how many
    replicas that takes can be too low, and so is seen once more of them have answered more.
    """
    rows = case.event.strategies.filter(state__in=(StrategyState.FAILED, StrategyState.UNDONE))
    most: dict[str, int] = {}
    for row in rows:
        replicas = _replicas(step.get("parameters") or {} for step in row.steps) if row.key in _BY_DEGREES else 0
        most[row.key] = max(most.get(row.key, 0), replicas)
    return most


def _replicas(parameters: Iterable[dict[str, Any]]) -> int:
    return max((int(one.get("replicas") or 0) for one in parameters), default=0)


def _failed_elsewhere(case: Case) -> dict[str, str]:
    """Strategy -> event: what another event with the very same cause has just tried in vain."""
    event = case.event
    if not event.cause_object.get("name"):
        return {}
    rows = Strategy.objects.filter(
        event__cluster=event.cluster,
        event__cause=event.cause,
        event__detected_at__gt=case.now - _JUST_TRIED,
        state__in=(StrategyState.FAILED, StrategyState.UNDONE),
    ).exclude(event=event)
    about = _named(event.cause_object)
    return {row.key: row.event.name for row in rows.select_related("event") if _named(row.event.cause_object) == about}


def _named(ref: dict[str, Any]) -> tuple[Any, ...]:
    return ref.get("kind"), ref.get("namespace"), ref.get("name")


def _only_treats_who_suffers(case: Case, blueprint: Blueprint) -> bool:
    """Whether it restarts or multiplies the event's target although the cause lies with another object.

    The cause of a pod or node is one of where pods run: there a new pod may well be the cure. What lies outside of the
    cluster is nothing that a fresh start here could mend."""
    if case.diagnosis.best is None or case.finding.object.kind in ("Node", "Pod"):
        return False
    if not (case.is_elsewhere or case.fact("outside")):
        return False
    if all(step.action is ActionName.SCALE for step in blueprint.steps) and blueprint.restores:
        return False
    return all(
        step.action in _CURES_ONLY_ITSELF
        and step.target.namespace == case.target.namespace
        and (step.target.name == case.target.name or step.target.kind == "Pod")
        for step in blueprint.steps
    )


def _without_twins(found: list[Candidate]) -> list[Candidate]:
    """Two strategies with the same steps are one; the likelier stays."""
    kept: list[Candidate] = []
    for candidate in found:
        steps = [(s.action, s.target.kind, s.target.name) for s in candidate.blueprint.steps]
        twins = [
            k
            for k in kept
            if [(s.action, s.target.kind, s.target.name) for s in k.blueprint.steps] == steps
            and [s.parameters for s in k.blueprint.steps] == [s.parameters for s in candidate.blueprint.steps]
        ]
        if not twins:
            kept.append(candidate)
    return kept
