"""What people were asked, how long that took, and where they saw it differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from healing.access import Capability, Grants
from healing.dashboard.insight.percentiles import Spread, spread_of
from healing.dashboard.insight.scope import Scope
from healing.models import Approval, ApprovalState

_S = ApprovalState
#: They said no, or something else.
DIFFERENTLY = (_S.OVERRIDDEN, _S.REJECTED, _S.EDITED, _S.TAKEN)
_DECIDED = (_S.APPROVED, *DIFFERENTLY)
_MOST_SHOWN = 10
_COUNTS = {str(state): Count("id", filter=Q(state=state)) for state in _S}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One kind of proposal for one cause: of ``decided`` people saw ``differently`` so many. ``last``: what was said
    the last time, by whom and about which event."""

    cause: str
    strategy: str
    decided: int
    overridden: int
    rejected: int
    edited: int
    taken: int
    last: Approval | None = None

    @property
    def differently(self) -> int:
        return self.overridden + self.rejected + self.edited + self.taken

    @property
    def share(self) -> float:
        return self.differently / self.decided


@dataclass(frozen=True, slots=True)
class People:
    """Questions put to people in the period; ``waiting``: how long until they answered, without holds."""

    asked: int
    approved: int
    overridden: int
    rejected: int
    edited: int
    taken: int
    expired: int
    waiting: Spread
    disagreements: Sequence[Disagreement]

    @property
    def decided(self) -> int:
        return self.approved + self.differently

    @property
    def differently(self) -> int:
        return self.overridden + self.rejected + self.edited + self.taken

    @property
    def agreed_share(self) -> float | None:
        return self.approved / self.decided if self.decided else None


def people(scope: Scope, grants: Grants) -> People:
    """Count."""
    asked = _asked(scope, grants)
    counts = asked.order_by().aggregate(asked=Count("id"), **_COUNTS)
    decided = asked.filter(state__in=_DECIDED, decided_at__isnull=False)
    answered = decided.order_by().values_list("created_at", "decided_at", "held_seconds")
    waits = [max(0.0, (end - start).total_seconds() - held) for start, end, held in answered if end is not None]
    return People(
        asked=counts["asked"],
        approved=counts[_S.APPROVED],
        overridden=counts[_S.OVERRIDDEN],
        rejected=counts[_S.REJECTED],
        edited=counts[_S.EDITED],
        taken=counts[_S.TAKEN],
        expired=counts[_S.EXPIRED],
        waiting=spread_of(waits),
        disagreements=_disagreements(decided),
    )


def _asked(scope: Scope, grants: Grants) -> QuerySet[Approval]:
    places = grants.places(Capability.VIEW, cluster="event__cluster", namespace="event__target_namespace")
    wanted = {"event__cluster": scope.cluster, "event__target_namespace": scope.namespace}
    return Approval.objects.filter(
        places,
        created_at__gte=scope.start,
        created_at__lt=scope.end,
        **{name: value for name, value in wanted.items() if value},
    )


def _disagreements(decided: QuerySet[Approval]) -> list[Disagreement]:
    """The most frequent first."""
    kinds = (
        decided.order_by()
        .values(cause=F("event__cause"), strategy_key=F("strategy__key"))
        .annotate(decided=Count("id"), differently=Count("id", filter=Q(state__in=DIFFERENTLY)), **_COUNTS)
        .filter(differently__gt=0)
        .order_by("-differently", "cause", "strategy_key")[:_MOST_SHOWN]
    )
    rows: list[dict[str, Any]] = [dict(row) for row in kinds]
    which = Q(pk__in=())
    for row in rows:
        which |= Q(event__cause=row["cause"], strategy__key=row["strategy_key"])
    last: dict[tuple[str, str], Approval] = {}
    newest = decided.filter(which, state__in=DIFFERENTLY).select_related("event", "strategy", "chosen")
    for approval in newest.order_by("-decided_at")[:200]:
        last.setdefault((approval.event.cause, approval.strategy.key), approval)
    return [
        Disagreement(
            cause=row["cause"],
            strategy=row["strategy_key"],
            decided=row["decided"],
            overridden=row[_S.OVERRIDDEN],
            rejected=row[_S.REJECTED],
            edited=row[_S.EDITED],
            taken=row[_S.TAKEN],
            last=last.get((row["cause"], row["strategy_key"])),
        )
        for row in rows
    ]
