"""What was tried before against the same cause, here and elsewhere, and how it ended: read from the record."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from healing.actions.base import Plan
from healing.models import ActionRun, ActionState, HealingEvent, Strategy, StrategyState
from healing.policies.spec import ActionName

_REMEMBERED = timedelta(days=180)
_AT_MOST = 500


@dataclass(slots=True)
class Record:
    """How often a strategy healed and how often it did not."""

    healed: int = 0
    failed: int = 0
    healed_here: int = 0
    failed_here: int = 0
    #: the newest success on this very workload
    last_healed_here: datetime | None = None


@dataclass(frozen=True, slots=True)
class Experience:
    """By strategy key, for one cause."""

    cause: str
    records: dict[str, Record] = field(default_factory=dict)

    def of(self, strategy: str) -> Record:
        """An empty record where nothing is known."""
        return self.records.get(strategy, Record())

    @property
    def proven(self) -> list[str]:
        """Strategies that healed this cause more often than not, best first."""
        good = [(r.healed - r.failed, key) for key, r in self.records.items() if r.healed > r.failed]
        return [key for _, key in sorted(good, reverse=True)]


def recall(event: HealingEvent, cause: str, now: datetime) -> Experience:
    """What the database remembers about this cause."""
    records: dict[str, Record] = defaultdict(Record)
    if not cause:
        return Experience(cause)
    done = (
        Strategy.objects.filter(
            event__cause=cause,
            state__in=(StrategyState.SUCCEEDED, StrategyState.FAILED, StrategyState.UNDONE),
            created_at__gte=now - _REMEMBERED,
        )
        .exclude(event=event)
        .select_related("event")
        .order_by("-created_at")[:_AT_MOST]
    )
    for strategy in done:
        record, here = records[strategy.key], _same_workload(strategy.event, event)
        if strategy.state == StrategyState.SUCCEEDED:
            record.healed += 1
            record.healed_here += here
            if here and record.last_healed_here is None:
                record.last_healed_here = strategy.event.healed_at
        else:
            record.failed += 1
            record.failed_here += here
    return Experience(cause, dict(records))


def _same_workload(one: HealingEvent, other: HealingEvent) -> bool:
    return (one.cluster, one.target_kind, one.target_namespace, one.target_name) == (
        other.cluster,
        other.target_kind,
        other.target_namespace,
        other.target_name,
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
