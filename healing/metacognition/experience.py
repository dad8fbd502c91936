"""What was tried before against the same cause, here and elsewhere, and how it ended.

The memory's statistics (`knowledge.statistics`), completed by the strategies of events that are not remembered yet
because they have not ended. Similar events are recalled once more now that the cause is known.
"""

# ruff: noqa: PLC0415 - the memory is loaded in workers only
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from healing import shared_clock
from healing.actions.base import Plan
from healing.findings import Diagnosis
from healing.incident_text import after_diagnosis
from healing.models import ActionRun, ActionState, HealingEvent, Strategy, StrategyState
from healing.policies.spec import ActionName
from knowledge.records import Recollection
from knowledge.statistics import SuccessCount, Tried, count

log = structlog.get_logger(__name__)

_REMEMBERED = timedelta(days=180)
_AT_MOST = 500
#: Of the log-odds of the statistics, what an argument weighs; never more than the most.
_FACTOR, _MOST = 1.2, 1.8
#: What was in vain on this very workload the last time it was tried speaks against itself once more.
_LAST_TIME_IN_VAIN = -0.8
#: A strategy whose posterior on this workload is above it, and that healed last time, is what memory recommends.
_PROVEN = 0.6
#: Beside it, so many rivals are still argued about.
_RIVALS = 1
_RECALL_SECONDS = 1.0
_SIMILAR = 0.6
_SAME = 0.8


@dataclass(frozen=True, slots=True)
class Record:
    """How often a strategy healed and how often it did not. ``here``: on this very workload."""

    count: SuccessCount = field(default_factory=SuccessCount)
    #: the newest success on this very workload
    last_healed_here: datetime | None = None
    #: the newest failure on it
    last_failed_here: datetime | None = None
    #: events like this one in which it healed, the most similar first
    events: tuple[Recollection, ...] = ()

    @property
    def healed(self) -> int:
        """Successes anywhere."""
        return self.count.succeeded

    @property
    def failed(self) -> int:
        """Failures anywhere."""
        return self.count.tried - self.count.succeeded

    @property
    def healed_here(self) -> int:
        """Successes on this workload."""
        return self.count.workload_succeeded

    @property
    def failed_here(self) -> int:
        """Failures on this workload."""
        return self.count.workload_tried - self.count.workload_succeeded

    @property
    def weight(self) -> float:
        """For (positive) or against it, in log-odds, bounded: memory is one argument among others."""
        last_time = _LAST_TIME_IN_VAIN if self.was_in_vain_here else 0.0
        return max(-_MOST, min(_MOST, _FACTOR * self.count.log_odds + last_time))

    @property
    def was_in_vain_here(self) -> bool:
        """The last time it was tried on this workload it did not help."""
        failed, healed = self.last_failed_here, self.last_healed_here
        return failed is not None and (healed is None or failed > healed)

    @property
    def is_proven_here(self) -> bool:
        """It healed this workload, and nothing since has shown otherwise."""
        healed, failed = self.last_healed_here, self.last_failed_here
        return healed is not None and (failed is None or healed > failed) and self.count.probability >= _PROVEN

    def says(self, cause: str) -> str:
        """The record as a sentence for people."""
        if not self.count.tried:
            return f"It has not been tried against {cause} before."
        text = f"Against {cause} it {self.count}"
        if self.count.workload_tried:
            text += f", {self.count.workload_succeeded} of {self.count.workload_tried} on this workload"
        text += f": expected to work {self.count.probability:.0%} of the time"
        if self.events:
            best = self.events[0]
            took = f" in {best.duration_seconds:.0f} s" if best.duration_seconds is not None else ""
            text += f". It healed {best.event_ref}, {best.similarity:.0%} like this one,{took}".rstrip(",")
        return f"{text}." + (" The last time here it did not help." if self.was_in_vain_here else "")


@dataclass(frozen=True, slots=True)
class Experience:
    """By strategy key, for one cause. ``similar``: past events and notes like this one."""

    cause: str
    records: Mapping[str, Record] = field(default_factory=dict)
    similar: Sequence[Recollection] = ()

    def of(self, strategy: str) -> Record:
        """An empty record where nothing is known."""
        return self.records.get(strategy, Record())

    @property
    def proven(self) -> list[str]:
        """Strategies that are likelier to heal this cause than not, best first."""
        good = [(r.count.probability, key) for key, r in self.records.items() if r.healed and r.count.log_odds > 0]
        return [key for _, key in sorted(good, reverse=True)]

    def narrow(self, keys: Sequence[str]) -> dict[str, str]:
        """Which of the candidates (likeliest first) need no argument, and why: what is proven on this very workload
        leaves only its best rival, and nothing that was in vain there."""
        proven = [key for key in keys if self.of(key).is_proven_here]
        if not proven:
            return {}
        best = max(proven, key=lambda key: self.of(key).count.probability)
        rivals = [key for key in keys if key != best and self.of(key).healed_here >= self.of(key).failed_here]
        dropped = {}
        for key in keys:
            record = self.of(key)
            if key == best or key in rivals[:_RIVALS]:
                continue
            if record.failed_here > record.healed_here:
                dropped[key] = f"memory: in vain here {record.failed_here} time(s), while {best} healed it"
            else:
                dropped[key] = f"memory: {best} is what healed this workload of {self.cause} before"
        return dropped


def recall(event: HealingEvent, cause: str, now: datetime) -> Experience:
    """What is remembered about this cause, and events like this one. A memory that fails is an empty one."""
    similar = _similar(event)
    if not cause:
        return Experience(cause, _of_similar(similar, event), similar)
    tried = defaultdict(list, _remembered(event, cause))
    for strategy in _not_yet_remembered(event, cause, now):
        tried[strategy.key].append(_tried(strategy, event))
    records = {}
    for key, trials in tried.items():
        events = tuple(one for one in similar if one.worked == key and one.cause == cause)
        records[key] = _record(trials, now, events)
    return Experience(cause, records, similar)


def _record(trials: Sequence[Tried], now: datetime, events: tuple[Recollection, ...]) -> Record:
    here = [t for t in trials if t.is_same_workload]
    return Record(
        count(trials, now),
        max((t.at for t in here if t.succeeded), default=None),
        max((t.at for t in here if not t.succeeded), default=None),
        events,
    )


def _remembered(event: HealingEvent, cause: str) -> dict[str, list[Tried]]:
    from knowledge.memory import strategies_tried

    workload = f"{event.target_kind}/{event.target_name}"
    return strategies_tried(cause, cluster=event.cluster, namespace=event.target_namespace, workload=workload)


def _similar(event: HealingEvent) -> list[Recollection]:
    from knowledge import memory

    try:
        found = memory.recall(
            after_diagnosis(event, Diagnosis.from_json(event.diagnosis)),
            near=(event.cluster, event.target_namespace),
            max_local_events=event.policy_spec.max_local_events,
            limit=8,
            timeout_seconds=_RECALL_SECONDS,
        )
    except Exception:  # memory is a help, not a condition
        log.warning("recall failed", event_name=event.name, exc_info=True)
        return []
    kept = [one for one in found if one.similarity >= _SIMILAR and one.event_ref != event.name]
    memory.note_uses(event.name, [(one.ref, one.similarity, "weighed when planning") for one in kept])
    return kept


def _of_similar(similar: Sequence[Recollection], event: HealingEvent) -> dict[str, Record]:
    """Without a cause, only what healed very similar events of this workload is worth an argument."""

    tried: dict[str, list[Tried]] = defaultdict(list)
    for one in similar:
        is_same = bool(one.fingerprint) and one.fingerprint == event.fingerprint
        if one.similarity < _SAME or not is_same or one.imported_from:
            continue
        for strategy in one.strategies:
            if strategy.outcome != "refused":
                worked = strategy.strategy == one.worked
                tried[strategy.strategy].append(
                    Tried(worked, one.occurred_at, is_here=True, is_same_workload=True, weight=0.5)
                )
    return {key: _record(trials, shared_clock.now(), ()) for key, trials in tried.items()}


def _not_yet_remembered(event: HealingEvent, cause: str, now: datetime) -> list[Strategy]:
    rows = Strategy.objects.filter(
        event__cause=cause,
        event__knowledge_ref="",
        state__in=(StrategyState.SUCCEEDED, StrategyState.FAILED, StrategyState.UNDONE),
        created_at__gte=now - _REMEMBERED,
    ).exclude(event=event)
    return list(rows.select_related("event").order_by("-created_at")[:_AT_MOST])


def _tried(strategy: Strategy, event: HealingEvent) -> Tried:
    other = strategy.event
    is_here = (other.cluster, other.target_namespace) == (event.cluster, event.target_namespace)
    workload = f"{other.target_kind}/{other.target_name}"
    return Tried(
        succeeded=strategy.state == StrategyState.SUCCEEDED,
        at=other.healed_at or strategy.applied_at or strategy.created_at,
        is_here=is_here,
        is_same_workload=is_here and workload == f"{event.target_kind}/{event.target_name}",
        workload=workload,
    )


def bad_revisions(event: HealingEvent) -> dict[tuple[str, str, str], tuple[int, ...]]:
    """Revisions that we rolled away from (and healed by it), or that a rollback of ours to them did not heal."""
    found: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    rows = ActionRun.objects.filter(
        event__cluster=event.cluster,
        event__target_namespace=event.target_namespace,
        action=ActionName.ROLLBACK,
        strategy__isnull=False,
    ).select_related("strategy")
    for row in rows.order_by("-pk")[:200]:
        strategy = row.strategy
        if strategy is None:
            continue
        plan = Plan.from_json(row.pre_state["plan"])
        key = (plan.target.kind, plan.target.namespace, plan.target.name)
        if strategy.state == StrategyState.SUCCEEDED:
            found[key].add(int(plan.pre_state["fromRevision"]))
        elif row.state in (ActionState.UNDONE, ActionState.UNDO_FAILED):
            found[key].add(int(plan.pre_state["toRevision"]))
    return {key: tuple(sorted(numbers)) for key, numbers in found.items()}
