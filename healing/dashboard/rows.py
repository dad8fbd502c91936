"""Events as rows of the list: which section each belongs to, and what a row shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.conf import settings
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.utils import timezone

from healing.clocks import WoundClock, healing_seconds, wound_clocks
from healing.event_filters import EventFilter
from healing.lifecycle import TERMINAL, Phase
from healing.models import Approval, ApprovalState, HealingEvent, Strategy, StrategyState, TimelineEntry

FINISHED_SHOWN = 20
OPEN_SHOWN = 1000

#: States in which a strategy is the one being followed, not merely an option.
FOLLOWED = (
    StrategyState.CHOSEN,
    StrategyState.APPLIED,
    StrategyState.SUCCEEDED,
    StrategyState.FAILED,
    StrategyState.UNDONE,
)


class Section(StrEnum):
    """Where on the page a row stands."""

    WAITING = "waiting"
    LIVE = "live"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Slot:
    """A row's place and version; a row is sent again when its version differs from the one on the screen."""

    pk: int
    name: str
    section: Section
    version: str


@dataclass(frozen=True, slots=True)
class Row:
    """Everything a row's template needs."""

    event: HealingEvent
    section: Section
    version: str
    clocks: list[WoundClock]
    total_seconds: float
    strategy: Strategy | None
    approval: Approval | None
    now_doing: str
    now: datetime
    #: the event's cluster; empty where there is only one
    cluster: str = ""

    @property
    def anchor(self) -> str:
        """Id of the row's element."""
        return f"event-{self.event.name}"


def section_of(phase: str) -> Section:
    """Waiting for a person, live, or over."""
    if phase in TERMINAL:
        return Section.FINISHED
    return Section.WAITING if phase == Phase.AWAITING_APPROVAL else Section.LIVE


def slots(filters: EventFilter) -> list[Slot]:
    """What the page shows, in its order: what waits (first to expire first), what is live and what is over
    (newest first). One light query each, so that it can be asked after every doorbell."""
    events = filters.apply(HealingEvent.objects.all())
    columns = ("pk", "name", "phase", "status", "seq")
    expiry = Approval.objects.filter(event=OuterRef("pk"), state=ApprovalState.OPEN).values("expires_at")[:1]
    waiting = events.filter(phase=Phase.AWAITING_APPROVAL).order_by(Subquery(expiry), "pk")
    live = (
        events.filter(finished_at__isnull=True).exclude(phase=Phase.AWAITING_APPROVAL).order_by("-detected_at", "-pk")
    )
    over = events.filter(finished_at__isnull=False).order_by("-finished_at", "-pk")
    found = [*waiting.values_list(*columns)[:OPEN_SHOWN], *live.values_list(*columns)[:OPEN_SHOWN]]
    found += over.values_list(*columns)[:FINISHED_SHOWN]
    return [
        Slot(pk, name, section_of(phase), row_version(seq, phase, status)) for pk, name, phase, status, seq in found
    ]


def row_version(seq: int, phase: str, status: str) -> str:
    """``seq`` alone is not enough: a claim changes the phase without a timeline entry."""
    return f"{seq}.{phase}.{status}"


def load_rows(pks: Sequence[int]) -> dict[int, Row]:
    """Full rows by primary key, in four queries however many there are."""
    last = TimelineEntry.objects.filter(event=OuterRef("pk")).order_by("-seq").values("message")[:1]
    events = (
        HealingEvent.objects.filter(pk__in=pks)
        .defer("diagnosis", "policy_snapshot", "signals")
        .annotate(last_message=Subquery(last))
        .prefetch_related("phase_runs", *_people_prefetches())
    )
    return {event.pk: _row(event) for event in events}


def finished_page(
    filters: EventFilter, before: HealingEvent | None, size: int = FINISHED_SHOWN
) -> tuple[list[Row], bool]:
    """Older finished events, newest first, and whether there are more."""
    events = filters.apply(HealingEvent.objects.filter(finished_at__isnull=False)).order_by("-finished_at", "-pk")
    if before is not None and before.finished_at is not None:
        earlier = events.filter(finished_at__lt=before.finished_at)
        events = earlier | events.filter(finished_at=before.finished_at, pk__lt=before.pk)
    pks = list(events.values_list("pk", flat=True)[: size + 1])
    rows = load_rows(pks[:size])
    return [rows[pk] for pk in pks[:size] if pk in rows], len(pks) > size


def _people_prefetches() -> Iterable[Prefetch[str, QuerySet[Strategy], str] | Prefetch[str, QuerySet[Approval], str]]:
    yield Prefetch("strategies", Strategy.objects.filter(state__in=FOLLOWED).defer("steps", "arguments"), "followed")
    open_approvals = Approval.objects.filter(state=ApprovalState.OPEN).select_related("strategy")
    yield Prefetch("approvals", open_approvals, "open_approvals")


def _row(event: HealingEvent) -> Row:
    now = timezone.now()
    clocks = wound_clocks(event, event.phase_runs.all(), now)
    approvals: list[Approval] = event.open_approvals  # type: ignore[attr-defined]  # put there by the prefetch
    followed: list[Strategy] = event.followed  # type: ignore[attr-defined]  # put there by the prefetch
    return Row(
        event=event,
        section=section_of(event.phase),
        version=row_version(event.seq, event.phase, event.status),
        clocks=clocks,
        total_seconds=healing_seconds(event, clocks, now),
        strategy=approvals[0].strategy if approvals else max(followed, key=lambda s: (s.attempt, s.pk), default=None),
        approval=approvals[0] if approvals else None,
        now_doing=event.last_message or "",  # type: ignore[attr-defined]  # annotated above
        now=now,
        cluster=event.cluster if len(settings.CLUSTERS) > 1 else "",
    )
