"""What speaks against starting something afresh: it cures what a process has piled up, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from healing.actions import siblings
from healing.actions.base import CannotPlan
from healing.actions.reading import WORKLOAD_KINDS, Workload, container_statuses, failing_reasons, is_ready
from healing.metacognition.agents import Agent, Argument
from healing.metacognition.case import Case
from healing.metacognition.node_health import takes_pods
from healing.ports.cluster import Object, ObjectRef
from healing.ports.errors import SourceError

#: Strategies that start the same program anew.
FRESH_START = frozenset({"restart", "evict-pod", "restart-dependency"})
#: What a program has more of than it can do; it has no less of it after a restart, and fewer pods meanwhile.
_OVERLOAD = frozenset({"TrafficSpike", "CPULimitTooLow", "AutoscalerAtMaximum"})
#: What comes back by itself after each start, and is gone for a while: the next start is worth as much as the last.
_PILES_UP = frozenset({"MemoryLeak"})
#: What takes the processor until it is started anew.
_USES_IT_UP = frozenset({"CPUHog", "FaultyPod"})
#: A finding below this is only a suspicion.
_LIKELY = 0.3
#: What cold pods need more than warm ones, as a part of what all can do.
_COLD = 0.1
#: So often, the kubelet has tried it already.
_IN_VAIN = 2


def doubts(case: Case, agent: Agent) -> list[Argument]:
    """Arguments against a fresh start, from how the pods have fared that were started since; empty for what changes
    anything."""
    if agent.candidate.key not in FRESH_START:
        return []
    refs = list(dict.fromkeys(plan.target for plan in agent.plans if plan.target.kind in WORKLOAD_KINDS))
    found = [*_overload(case, refs), *_same_node(case)]
    for ref in refs:
        try:
            pods = Workload.read(case.cluster, ref, timeout_seconds=case.seconds).pods(
                case.cluster, timeout_seconds=case.seconds
            )
        except (CannotPlan, SourceError):
            continue
        found += [*_busy(case, ref, pods), *_in_vain(case, ref, pods)]
    return found


def _overload(case: Case, refs: list[ObjectRef]) -> Iterator[Argument]:
    named = {(ref.kind, ref.namespace, ref.name) for ref in refs}
    for finding in case.diagnosis.findings:
        about = finding.object
        is_there = (about.kind, about.namespace, about.name) in named
        if is_there and finding.cause in _OVERLOAD and finding.confidence >= _LIKELY:
            text = f"It may have too much to do ({finding.cause}, {finding.confidence:.0%})"
            yield Argument("load", f"{text}: while pods of it start, fewer do the same work, and those are cold.", -1.2)
            return


def _same_node(case: Case) -> Iterator[Argument]:
    """New pods get away from a bad node only where it takes none."""
    cause = case.finding.object
    if cause.kind != "Node":
        return
    try:
        node = case.cluster.get("Node", "", cause.name, timeout_seconds=case.seconds)
    except SourceError:
        return
    if takes_pods(node):
        text = f"The cause is with node {cause.name}, which takes pods as before: new ones may come up there again."
        yield Argument("node", text, -0.8)


def _busy(case: Case, ref: ObjectRef, pods: list[Object]) -> Iterator[Argument]:
    """While it starts, what does its work and has little to spare can turn from slow into down."""
    serving = [pod for pod in pods if is_ready(pod)]
    if not serving or (case.is_cause_known and case.finding.cause in _USES_IT_UP):
        return
    # On a guess, the others must be able to do the work of one more. Who knows what a fresh start cures may find them
    # at work, but not with all that they have.
    wanted = _COLD if case.is_cause_known else min(1.0, 1 / len(serving) + _COLD)
    found = siblings.ask(case.metrics, ref.namespace, serving, wanted, timeout_seconds=case.seconds, resources=("cpu",))
    if found.has_room is False:
        why = f"Whatever is wrong ({case.finding.cause})" if case.is_cause_known else "Nobody knows the cause"
        text = f"{why}, and while one of its pods starts the others do its work: {found.text}."
        yield Argument("load", text, -1.2)


def _in_vain(case: Case, ref: ObjectRef, pods: list[Object]) -> Iterator[Argument]:
    if case.finding.cause in _PILES_UP:
        return
    failing = [_restarts(pod) for pod in pods if failing_reasons(pod)]
    restarts, in_vain = max(failing, default=0), sum(times >= _IN_VAIN for times in failing)
    if in_vain > 1 and in_vain * 2 > len(pods):
        # One pod can have a bad node or a broken volume. Several that all fail again and again share something else.
        text = f"{in_vain} of its {len(pods)} pods were started {_IN_VAIN} times and more, in vain."
        yield Argument("fresh start", f"{text} Another start takes away what still works of them.", -1.5)
    elif restarts >= _IN_VAIN:
        text = f"Its kubelet has started it {restarts} times since, in vain: only what belongs to the pod would be new."
        yield Argument("fresh start", text, -0.5)
    elif pods and all(_started_after(pod, case.event.detected_at) for pod in pods):
        text = f"All pods of {ref.name} were started after the fault was seen, and it is still there."
        yield Argument("fresh start", text, -1.5)


def _restarts(pod: Object) -> int:
    return max((int(status.get("restartCount") or 0) for status in container_statuses(pod)), default=0)


def _started_after(pod: Object, moment: datetime) -> bool:
    """Whether one of its containers, or the pod, was started since."""
    times = [((status.get("state") or {}).get("running") or {}).get("startedAt") for status in container_statuses(pod)]
    newest = max((str(time) for time in [*times, pod["metadata"].get("creationTimestamp")] if time), default="")
    return bool(newest) and datetime.fromisoformat(newest) > moment
