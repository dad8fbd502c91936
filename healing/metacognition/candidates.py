"""Which strategies are argued about: from the causes table, from memory, and always "ask a person"."""

from __future__ import annotations

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
    """At most a handful, likeliest first. What failed in this event is not tried again.

    Raises `healing.ports.errors`.
    """
    failed = set(
        case.event.strategies.filter(state__in=(StrategyState.FAILED, StrategyState.UNDONE)).values_list(
            "key", flat=True
        )
    )
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
        if key in failed:
            dropped.append(Dropped(key, "it was tried in this event and did not help"))
        elif key in elsewhere:
            dropped.append(Dropped(key, f"it was tried a moment ago, for {elsewhere[key]}, and did not help"))
        elif key in STRATEGIES:
            try:
                blueprint = STRATEGIES[key](case)
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
