"""Events as rows of the list: which section each belongs to, and what a row shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.conf import settings
from django.db.models import F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.utils import timezone

from healing.access import Capability, Grants
from healing.clocks import WoundClock, healing_seconds, wound_clocks
from healing.event_filters import EventFilter
from healing.lifecycle import TERMINAL, Phase
from healing.models import Approval, ApprovalState, HealingEvent, Strategy, StrategyState, TimelineEntry

FINISHED_SHOWN = 20
#: Of what an event said, so many of the last sentences.
TRAIL_SHOWN = 2

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
class Slots:
    """What a page shows, and how many there are of each section, shown or not."""

    wanted: list[Slot]
    counts: dict[str, int]


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
    #: what it said last, the newest last
    trail: list[TimelineEntry]
    may_decide: bool
    now: datetime
    #: the event's cluster; empty where there is only one
    cluster: str = ""

    #: who has agreed already, where several people have to
    votes: Sequence[str] = ()

    @property
    def held(self) -> bool:
        """Whether somebody has stopped the question for a while."""
        held_until = self.approval.held_until if self.approval else None
        return held_until is not None and held_until > self.now

    @property
    def anchor(self) -> str:
        """Id of the row's element."""
        return f"event-{self.event.name}"


def section_of(phase: str, *, may_decide: bool = True) -> Section:
    """Waiting for a person, live, or over. What others have to decide on is live to everybody else."""
    if phase in TERMINAL:
        return Section.FINISHED
    return Section.WAITING if phase == Phase.AWAITING_APPROVAL and may_decide else Section.LIVE


def slots(filters: EventFilter, grants: Grants, cap: int) -> Slots:
    """What the page shows, in its order: what waits (first to expire first), what is live and what is over
    (newest first). One light query each, so that it can be asked after every doorbell. ``cap``: rows of the first two
    sections; how many there are beyond is counted."""
    events = filters.apply(HealingEvent.objects.filter(grants.places(Capability.VIEW)))
    columns = ("pk", "name", "phase", "status", "seq", "cluster", "target_namespace")
    expiry = Approval.objects.filter(event=OuterRef("pk"), state=ApprovalState.OPEN).values("expires_at")[:1]
    is_mine = Q(phase=Phase.AWAITING_APPROVAL)
    if grants.may_somewhere(Capability.DECIDE):
        is_mine &= grants.places(Capability.DECIDE)
    waiting = events.filter(is_mine).order_by(Subquery(expiry), "pk")
    live = events.filter(finished_at__isnull=True).exclude(is_mine).order_by("-detected_at", "-pk")
    over = events.filter(finished_at__isnull=False).order_by("-finished_at", "-pk")
    wanted, counts = [], {}
    for section, found, most in (
        (Section.WAITING, waiting, cap),
        (Section.LIVE, live, cap),
        (Section.FINISHED, over, FINISHED_SHOWN),
    ):
        rows = list(found.values_list(*columns)[:most])
        counts[section.value] = len(rows) if len(rows) < most or section is Section.FINISHED else found.count()
        for pk, name, phase, status, seq, cluster, namespace in rows:
            mine = decides_at(grants, cluster, namespace)
            wanted.append(Slot(pk, name, section_of(phase, may_decide=mine), row_version(seq, phase, status)))
    return Slots(wanted, counts)


def decides_at(grants: Grants, cluster: str, namespace: str) -> bool:
    """Whether a question there is for this person. Who may decide nowhere watches all of them wait."""
    if not grants.may_somewhere(Capability.DECIDE):
        return True
    return grants.may(Capability.DECIDE, cluster=cluster, namespace=namespace)


def row_version(seq: int, phase: str, status: str) -> str:
    """``seq`` alone is not enough: a claim changes the phase without a timeline entry."""
    return f"{seq}.{phase}.{status}"


def load_rows(pks: Sequence[int], grants: Grants) -> dict[int, Row]:
    """Full rows by primary key, in five queries however many there are."""
    if not pks:
        return {}
    events = (
        HealingEvent.objects.filter(pk__in=pks)
        .defer("diagnosis", "policy_snapshot", "signals")
        .prefetch_related("phase_runs", *_people_prefetches())
    )
    said = TimelineEntry.objects.filter(event__in=pks, seq__gt=F("event__seq") - TRAIL_SHOWN).order_by("seq")
    trails: dict[int, list[TimelineEntry]] = {}
    for entry in said.only("event_id", "seq", "at", "message", "actor_kind"):
        trails.setdefault(entry.event_id, []).append(entry)
    return {event.pk: _row(event, trails.get(event.pk, []), grants) for event in events}


def finished_page(
    filters: EventFilter, grants: Grants, before: HealingEvent | None, size: int = FINISHED_SHOWN
) -> tuple[list[Row], bool]:
    """Older finished events, newest first, and whether there are more."""
    seen = HealingEvent.objects.filter(grants.places(Capability.VIEW), finished_at__isnull=False)
    events = filters.apply(seen).order_by("-finished_at", "-pk")
    if before is not None and before.finished_at is not None:
        earlier = events.filter(finished_at__lt=before.finished_at)
        events = earlier | events.filter(finished_at=before.finished_at, pk__lt=before.pk)
    pks = list(events.values_list("pk", flat=True)[: size + 1])
    rows = load_rows(pks[:size], grants)
    return [rows[pk] for pk in pks[:size] if pk in rows], len(pks) > size


def _people_prefetches() -> Iterable[Prefetch[str, QuerySet[Strategy], str] | Prefetch[str, QuerySet[Approval], str]]:
    yield Prefetch("strategies", Strategy.objects.filter(state__in=FOLLOWED).defer("steps", "arguments"), "followed")
    open_approvals = Approval.objects.filter(state=ApprovalState.OPEN).select_related("strategy")
    open_approvals = open_approvals.prefetch_related("votes")
    yield Prefetch("approvals", open_approvals, "open_approvals")


def _votes(approval: Approval) -> list[str]:
    return [vote.name for vote in approval.votes.all() if vote.digest == approval.digest]


def _row(event: HealingEvent, trail: list[TimelineEntry], grants: Grants) -> Row:
    now = timezone.now()
    may_decide = decides_at(grants, event.cluster, event.target_namespace)
    clocks = wound_clocks(event, event.phase_runs.all(), now)
    approvals: list[Approval] = event.open_approvals  # type: ignore[attr-defined]  # put there by the prefetch
    followed: list[Strategy] = event.followed  # type: ignore[attr-defined]  # put there by the prefetch
    return Row(
        event=event,
        section=section_of(event.phase, may_decide=may_decide),
        version=row_version(event.seq, event.phase, event.status),
        clocks=clocks,
        total_seconds=healing_seconds(event, clocks, now),
        strategy=approvals[0].strategy if approvals else max(followed, key=lambda s: (s.attempt, s.pk), default=None),
        approval=approvals[0] if approvals else None,
        trail=trail,
        may_decide=may_decide,
        votes=_votes(approvals[0]) if approvals else [],
        now=now,
        cluster=event.cluster if len(settings.CLUSTERS) > 1 else "",
    )
