"""What micro-agents find out around a plan: room in quota and on nodes, budgets, autoscalers, what it takes back."""

from __future__ import annotations

from collections.abc import Iterator

from healing.actions import capacity, room as room_left
from healing.actions.base import CannotPlan, Change, Plan
from healing.actions.reading import WORKLOAD_KINDS, Workload, share
from healing.metacognition.agents import Agent, Argument
from healing.metacognition.case import Case
from healing.policies.spec import ActionName
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import NotFound, SourceError
from healing.redaction import redact

#: Pods move to other nodes: somebody has to have room for them.
_MOVES_PODS = frozenset({ActionName.EVICT, ActionName.DRAIN})
#: Takes a pod that serves away, as budgets allow.
_NEEDS_BUDGET = frozenset({ActionName.EVICT, ActionName.DRAIN, ActionName.ISOLATE})
_SHOWN_CHANGES = 3
#: Facts of findings that are no names of anything in a template.
_LEAST_WORD = 3


def room(case: Case, agent: Agent) -> list[Argument]:
    """Whether quota and nodes have room for the pods that a strategy needs for a while or for good."""
    try:
        found = [*_surge(case, agent), *_elsewhere(case, agent)]
    except SourceError as error:
        return [Argument("capacity", f"Whether there is room could not be seen: {error}")]
    return found


def _surge(case: Case, agent: Agent) -> Iterator[Argument]:
    """A rolling Deployment needs room for the pods that come before others go."""
    for ref in dict.fromkeys(plan.target for plan in agent.plans if _rolls(plan)):
        try:
            workload = Workload.read(case.cluster, ref, timeout_seconds=case.seconds)
            more = _surge_of(workload)
            needs = capacity.times(capacity.pod_needs(workload.template["spec"]), more)
            capacity.check_quota(case.cluster, ref.namespace, needs, pods=more, timeout_seconds=case.seconds)
        except CannotPlan as error:
            yield Argument("capacity", f"{error} A rollout of {ref.name} would wait for room.", -0.8)
        else:
            if more:
                yield Argument("capacity", f"The quota has room for the {more} pod(s) that a rollout adds meanwhile.")


def _rolls(plan: Plan) -> bool:
    return plan.target.kind == "Deployment" and any(c.path.startswith("spec.template") for c in plan.changes)


def _surge_of(workload: Workload) -> int:
    strategy = workload.obj["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0
    return share((strategy.get("rollingUpdate") or {}).get("maxSurge", "25%"), workload.desired, up=True)


def _elsewhere(case: Case, agent: Agent) -> Iterator[Argument]:
    """Whether pods that have to leave find room on the other nodes."""
    moved = _moved_pods(case, agent)
    if not moved:
        return
    left = {str(pod["spec"].get("nodeName", "")) for pod in moved}
    free = room_left.free_of_nodes(case.cluster, without=left, timeout_seconds=case.seconds)
    if free is None:
        yield Argument("capacity", "Whether other nodes have room is not known: we may not list all pods and nodes.")
        return
    placed = sum(room_left.place(pod, free) for pod in moved)
    if placed == len(moved):
        yield Argument("capacity", f"{len(free)} other node(s) have room for the {placed} pod(s).", 0.1)
    else:
        text = f"Other nodes have room for {placed} of the {len(moved)} pod(s) only; the rest would wait."
        yield Argument("capacity", text, -0.8)


def _moved_pods(case: Case, agent: Agent) -> list[Object]:
    refs: list[ObjectRef] = []
    for plan in agent.plans:
        if plan.action is ActionName.EVICT:
            refs.append(plan.target)
        elif plan.action is ActionName.DRAIN:
            refs += [ObjectRef("Pod", *str(pod).split("/")[:2]) for pod in plan.parameters.get("pods", ())]
    found = []
    for ref in refs:
        try:
            found.append(case.cluster.get("Pod", ref.namespace, ref.name, timeout_seconds=case.seconds))
        except NotFound:
            continue
    return found


def others(agent: Agent) -> list[Argument]:
    """Disruption budgets and autoscalers that have a say."""
    found = []
    for plan in agent.plans:
        radius = plan.blast_radius
        if radius.disruption_budget:
            is_blocked = radius.disruptions_allowed == 0 and plan.action in _NEEDS_BUDGET
            text = f"PodDisruptionBudget {radius.disruption_budget}."
            found.append(Argument("disruption budget", text, -0.6 if is_blocked else 0.0))
        if radius.autoscaler:
            text = f"The replicas of {plan.target.name} belong to autoscaler {radius.autoscaler}."
            found.append(Argument("autoscaler", text, -0.6 if plan.action is ActionName.SCALE else 0.0))
    return list({argument.text: argument for argument in found}.values())


def takes_back(case: Case, agent: Agent) -> list[Argument]:
    """What was changed since the state that a strategy goes back to, and whether the cause speaks of any of it."""
    if not agent.candidate.blueprint.restores:
        return []
    changes = [change for plan in agent.plans for change in plan.changes if _is_content(change, plan)]
    if not changes:
        return []
    shown = "; ".join(_in_words(change) for change in changes[:_SHOWN_CHANGES])
    more = f" and {len(changes) - _SHOWN_CHANGES} more" if len(changes) > _SHOWN_CHANGES else ""
    found = [Argument("what changed", f"It takes back: {shown}{more}.", data={"changes": len(changes)})]
    named = next((word for word in _words(case) if any(_speaks_of(change, word) for change in changes)), "")
    if named:
        found.append(Argument("what changed", f"The cause speaks of {named}, which is among what it takes back.", 0.4))
    return found


def _is_content(change: Change, plan: Plan) -> bool:
    is_template = plan.target.kind in WORKLOAD_KINDS and change.path.startswith("spec.template")
    return is_template and "restartedAt" not in change.path


def _words(case: Case) -> list[str]:
    """Names and values that the finding's facts hold: an image, a key, a variable, a probe, a port."""
    names = ("image", "variable", "key", "probe", "field", "config_map", "secret", "node_selector", "command", "host")
    values = [case.fact(name) for name in names]
    return [str(value) for value in values if isinstance(value, str | int) and len(str(value)) >= _LEAST_WORD]


def _speaks_of(change: Change, word: str) -> bool:
    return word in f"{change.path} {change.before} {change.after}"


def _in_words(change: Change) -> str:
    path = change.path.removeprefix("spec.template.").removeprefix("spec.")
    told = change.for_people()
    return f"{path}: {_short(told['before'])} → {_short(told['after'])}"


def _short(value: object) -> str:
    text = "none" if value is None else redact(str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
