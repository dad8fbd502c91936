"""What micro-agents look at, turn by turn.

1. can it be done: plan, limits, the API server's dry run;
2. does it fit: what changed before the fault and since the last good state, does the strategy touch what is at fault;
   what else has a say: room in quota and on nodes, disruption budgets, autoscalers;
3. what does memory say, and what would it cost to be wrong;
4. where a language model is configured: what it says against them;
5. the rivals: is there a surer way.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime

from pydantic import ValidationError

from healing.actions import guardrails, registry, revisions, temporary
from healing.actions.base import CannotPlan, Plan
from healing.actions.planning_cluster import PlanningCluster
from healing.actions.reading import WORKLOAD_KINDS, Workload
from healing.metacognition import fresh_starts, surroundings
from healing.metacognition.agents import Agent, Argument, Turn
from healing.metacognition.case import Case
from healing.policies.spec import ActionName
from healing.ports.cluster import ObjectRef
from healing.ports.errors import Conflict, DisruptionBudgetExceeded, SourceError, Unavailable

#: A change this shortly before the fault is the suspect; one within minutes may be; one this long before it is not.
_JUST_CHANGED_SECONDS = 90
_FRESH_CHANGE_SECONDS = 15 * 60
_OLD_CHANGE_SECONDS = 24 * 3600

#: A plan that meets somebody else's write is made anew, this often.
_CONFLICTS = 6
_CHANGES_TEMPLATE_BACK = frozenset({"rollback", "restore-resources", "restore-references", "rollback-dependency"})
_OVERLOADED_BY_CALLERS = frozenset(
    {"SlowDependency", "DependencyUnavailable", "FailingDependency", "ConnectionPoolExhausted"}
)


def turns_for(situation: guardrails.Situation) -> list[Turn]:
    """In order. ``situation`` was read before, once for all."""

    def can_it_be_done(case: Case, agent: Agent, agents: list[Agent]) -> list[Argument]:
        return _feasibility(case, agent, situation)

    return [can_it_be_done, _fit, _experience_and_cost, _rivals]


def _feasibility(case: Case, agent: Agent, situation: guardrails.Situation) -> list[Argument]:
    """Plan it, hold it against the limits, and have the API server dry-run it.

    Raises `SourceError` where the cluster does not answer: that says nothing about the strategy, so the phase is run
    again. A conflict says that the plan was made on old reads (a controller writes status all the time): plan anew.
    """
    cluster = case.cluster
    for _ in range(_CONFLICTS):
        try:
            return _try_out(case, cluster, agent, situation)
        except Conflict:
            cluster = cluster.anew()
    raise Unavailable(f"{agent.candidate.blueprint.title}: its target is being changed by others all the time.")


def _try_out(case: Case, cluster: PlanningCluster, agent: Agent, situation: guardrails.Situation) -> list[Argument]:
    agent.plans, agent.refusals = [], []
    found: list[Argument] = []
    try:
        for step in agent.candidate.blueprint.steps:
            plan = registry.make_plan(cluster, step.action, step.target, step.parameters, timeout_seconds=case.seconds)
            plan = temporary.planned(plan, case.event, case.policy)
            agent.plans.append(plan)
            found.append(Argument("plan", plan.summary, data={"changes": len(plan.changes)}))
    except (CannotPlan, ValidationError, LookupError, SourceError) as error:
        _raise_unless_final(error)
        agent.problem = _first_line(error)
        return [*found, Argument("plan", f"It cannot be done: {agent.problem}", -3.0)]
    found += _limits(case, cluster, agent, situation)
    if agent.problem:
        return found
    try:
        for plan in agent.plans:
            registry.get(plan.action).dry_run(cluster, plan, timeout_seconds=case.seconds)
    except SourceError as error:
        _raise_unless_final(error)
        agent.problem = f"the API server refuses it: {error}"
        return [*found, Argument("dry run", f"The API server would refuse it: {error}", -3.0)]
    return [*found, Argument("dry run", "The API server would accept it.", 0.1)]


def _raise_unless_final(error: Exception) -> None:
    """What may go well in a second is no argument against a strategy. A disruption budget is one."""
    if isinstance(error, SourceError) and error.retryable and not isinstance(error, DisruptionBudgetExceeded):
        raise error


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return str(error)


def _limits(case: Case, cluster: PlanningCluster, agent: Agent, situation: guardrails.Situation) -> list[Argument]:
    found = []
    for plan in agent.plans:
        try:
            refusals = guardrails.check(plan, situation, cluster, among=agent.plans, timeout_seconds=case.seconds)
        except SourceError as error:
            _raise_unless_final(error)
            agent.problem = f"its limits could not be checked: {error}"
            return [Argument("limits", f"Limits could not be checked: {error}", -3.0)]
        agent.refusals += [r for r in refusals if r not in agent.refusals]
    for refusal in agent.refusals:
        forbidden = refusal.kind is guardrails.Kind.FORBID
        found.append(Argument("limits", str(refusal), -3.0 if forbidden else 0.0, data=refusal.as_json()))
        if forbidden and not agent.problem:
            agent.problem = str(refusal)
    return found or [Argument("limits", "No limit of the policy is reached.")]


def _fit(case: Case, agent: Agent, agents: list[Agent]) -> list[Argument]:
    age = _seconds_since_change(case, _changed_workload(case, agent))
    found = [_restores(agent, age), *_what_it_takes_back(agent), *surroundings.takes_back(case, agent)]
    found += [argument for plan in agent.plans if (argument := _serving(plan))]
    found += [
        argument
        for argument in (_last_change(case, agent, age), _outlier(case, agent), _more_load(case, agent))
        if argument
    ]
    found += fresh_starts.doubts(case, agent)
    return [*found, _diagnosis(case), *surroundings.room(case, agent), *surroundings.others(agent)]


def _diagnosis(case: Case) -> Argument:
    """How sure the cause is has its part in the first confidence already: doubt is not counted twice."""
    if not case.is_cause_known:
        return Argument("diagnosis", "The cause is not known: this is what may help whatever it is.")
    shown = f"The cause {case.finding.cause} is"
    if case.finding.confidence < case.policy.confidence_threshold:
        return Argument(
            "diagnosis", f"{shown} not certain ({case.finding.confidence:.0%}): it began with less for that."
        )
    return Argument("diagnosis", f"{shown} established ({case.finding.confidence:.0%}).", 0.1)


def _restores(agent: Agent, age: float | None) -> Argument:
    if not agent.candidate.blueprint.restores:
        return Argument("known good", "It does not go back to a former state.")
    is_old = age is not None and age > _JUST_CHANGED_SECONDS and agent.candidate.key in _CHANGES_TEMPLATE_BACK
    if is_old:
        return Argument("known good", "It goes back to what worked before; but the present template worked too.", 0.1)
    return Argument("known good", "It goes back to something that worked before.", 0.4)


def _what_it_takes_back(agent: Agent) -> list[Argument]:
    """How long before the fault the change was made that the strategy takes back, where that is no template's."""
    age = agent.candidate.blueprint.changed_seconds
    if age is None:
        return []
    text, data = f"What it takes back was done {_duration(age)} before the fault was seen", {"seconds": round(age)}
    if age <= _FRESH_CHANGE_SECONDS:
        weight = 0.8 if age <= _JUST_CHANGED_SECONDS else 0.4
        return [Argument("recent change", f"{text}.", weight, data)]
    if age >= _OLD_CHANGE_SECONDS:
        return [Argument("recent change", f"{text}: it worked all that time.", -1.0, data)]
    return [Argument("recent change", f"{text}: not shortly before.", -0.2, data)]


def _serving(plan: Plan) -> Argument | None:
    if plan.action is not ActionName.ROLLBACK:
        return None
    if plan.pre_state.get("isServing"):
        return Argument("known good", "Pods of that revision serve right now.", 0.8)
    lived = plan.pre_state.get("livedSeconds")
    if lived and lived > 3600:
        return Argument("known good", f"That revision ran for {lived / 3600:.0f} h before.", 0.4)
    return None


def _changed_workload(case: Case, agent: Agent) -> ObjectRef:
    """Whose last change matters: that of the workload to be changed, else of the event's target."""
    return next((plan.target for plan in agent.plans if plan.target.kind in WORKLOAD_KINDS), case.target)


def _last_change(case: Case, agent: Agent, age: float | None) -> Argument | None:
    """When the workload's template changed last, seen from the moment the fault was detected."""
    if age is None or agent.candidate.blueprint.changed_seconds is not None:
        return None
    key = agent.candidate.key
    when = (
        f"The template of {_changed_workload(case, agent).name} was changed {_duration(age)} before the fault was seen"
    )
    data = {"seconds": round(age)}
    is_just = age <= _JUST_CHANGED_SECONDS
    if age <= _FRESH_CHANGE_SECONDS:
        if key in _CHANGES_TEMPLATE_BACK:
            return Argument("recent change", f"{when}, and this takes it back.", 0.8 if is_just else 0.3, data)
        if key in fresh_starts.FRESH_START:
            return Argument("recent change", f"{when}, and this keeps it.", -0.5 if is_just else -0.1, data)
        return Argument("recent change", f"{when}.", -0.1, data)
    if age >= _OLD_CHANGE_SECONDS and key in _CHANGES_TEMPLATE_BACK:
        return Argument("recent change", f"{when}: it worked all that time.", -1.2, data)
    if key in _CHANGES_TEMPLATE_BACK:
        return Argument("recent change", f"{when}: not shortly before.", -0.4, data)
    return Argument("recent change", f"{when}: probably not its cause.", 0.2, data)


def _outlier(case: Case, agent: Agent) -> Argument | None:
    """A fault of a few pods is hardly one of the template that all of them share."""
    named = {str(name).rsplit("/", 1)[-1] for name in case.fact("pods", ())}
    if not named or case.target.kind not in WORKLOAD_KINDS:
        return None
    try:
        pods = case.target_workload().pods(case.cluster, timeout_seconds=case.seconds)
    except (CannotPlan, SourceError):
        return None
    ill = [pod for pod in pods if pod["metadata"]["name"] in named]
    if not ill or len(ill) == len(pods):
        return None
    text = f"Only {len(ill)} of {len(pods)} pods of the same template show it."
    if agent.candidate.key in _CHANGES_TEMPLATE_BACK:
        return Argument("who has it", f"{text} That speaks against the template.", -0.9)
    if agent.candidate.key == "evict-pod":
        return Argument("who has it", f"{text} This touches nobody else.", 0.7)
    return Argument("who has it", text, 0.1)


def _more_load(case: Case, agent: Agent) -> Argument | None:
    """More replicas of a caller put more load on what it calls."""
    if agent.candidate.key != "scale-out":
        return None
    slow = [f for f in case.diagnosis.findings[1:] if f.cause in _OVERLOADED_BY_CALLERS and f.confidence >= 0.3]
    if not slow:
        return None
    text = f"{slow[0].object} may be what is slow ({slow[0].cause}, {slow[0].confidence:.0%}): it would get more to do."
    return Argument("what it calls", text, -1.2)


def _seconds_since_change(case: Case, ref: ObjectRef) -> float | None:
    try:
        workload = Workload.read(case.cluster, ref, timeout_seconds=case.seconds)
        kept = revisions.of_workload(case.cluster, workload, timeout_seconds=case.seconds)
    except (CannotPlan, SourceError):
        return None
    if len(kept) < 2 or not kept[0].created_at or kept[0].created_at < max(r.created_at for r in kept):
        return None  # the only revision, or a former one in use again: nobody knows since when
    return max(0.0, (case.event.detected_at - datetime.fromisoformat(kept[0].created_at)).total_seconds())


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _experience_and_cost(case: Case, agent: Agent, agents: list[Agent]) -> list[Argument]:
    found = [_memory(case, agent), *_came_back(case, agent), _blast_radius(agent), _cost_of_being_wrong(agent)]
    return [argument for argument in found if argument is not None]


def _memory(case: Case, agent: Agent) -> Argument:
    record = case.experience.of(agent.candidate.key)
    data = {
        "healed": record.healed,
        "failed": record.failed,
        "probability": round(record.count.probability, 3),
        "events": [one.event_ref for one in record.events[:3]],
    }
    return Argument("memory", record.says(case.finding.cause or "this"), record.weight, data)


def _came_back(case: Case, agent: Agent) -> list[Argument]:
    """A fresh start that healed an hour ago did not heal the cause."""
    last = case.experience.of(agent.candidate.key).last_healed_here
    if agent.candidate.key not in fresh_starts.FRESH_START or last is None:
        return []
    seconds = (case.now - last).total_seconds()
    if seconds > 3600:
        return []
    return [Argument("memory", f"It helped {_duration(seconds)} ago, and the fault has come back.", -0.8)]


def _blast_radius(agent: Agent) -> Argument:
    radii = [plan.blast_radius for plan in agent.plans]
    pods = sum(radius.pods for radius in radii)
    owners = sorted({r.managed_by for r in radii if r.managed_by})
    text = f"It touches {pods} pod(s)"
    serving = [r for r in radii if r.ready_replicas is not None and r.remaining_ready is not None]
    if serving:
        text += f"; at least {min(r.remaining_ready or 0 for r in serving)} ready replica(s) remain meanwhile"
    if owners:
        return Argument("blast radius", f"{text}. {', '.join(owners)} may put it back.", -0.5)
    return Argument("blast radius", f"{text}.", data=dataclasses.asdict(radii[0]) if radii else {})


def _cost_of_being_wrong(agent: Agent) -> Argument:
    undo = "it can be undone" if agent.is_reversible else "it cannot be undone"
    reasons = "; ".join(dict.fromkeys(plan.risk_reason for plan in agent.plans if plan.risk_reason))
    return Argument("cost of being wrong", f"Risk {agent.risk}: {reasons} If it is wrong, {undo}.")


def _rivals(case: Case, agent: Agent, agents: list[Agent]) -> list[Argument]:
    others = [a for a in agents if a is not agent and not a.problem]
    if not others:
        return [Argument("rivals", "No other strategy can be carried out.")]
    best = max(others, key=lambda a: a.confidence)
    name = best.candidate.blueprint.title
    if best.confidence <= agent.confidence:
        return [Argument("rivals", f"No other strategy is surer; the next is '{name}' ({best.confidence:.0%}).", 0.1)]
    if best.candidate.blueprint.restores and not agent.candidate.blueprint.restores:
        return [Argument("rivals", f"'{name}' goes back to what worked, this makes something up.", -0.4)]
    return [Argument("rivals", f"'{name}' is surer ({best.confidence:.0%}).", -0.2)]
