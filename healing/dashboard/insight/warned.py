"""How far forecasts could be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from healing.access import Capability, Grants
from healing.dashboard.insight.percentiles import Spread, spread_of
from healing.dashboard.insight.scope import Scope
from healing.models import ProactiveWarning, WarningState

_S = WarningState


@dataclass(frozen=True, slots=True)
class Warned:
    """Warnings that ended in the period; ``lead``: how long before it happened the warning stood, in seconds."""

    came_true: int
    prevented: int
    cleared: int
    dismissed: int
    lead: Spread

    @property
    def closed(self) -> int:
        return self.came_true + self.prevented + self.cleared + self.dismissed

    @property
    def right(self) -> int:
        """It happened, or was kept from happening."""
        return self.came_true + self.prevented


def warned(scope: Scope, grants: Grants) -> Warned:
    """Count. What was seen once only was never shown and does not count."""
    places = grants.places(Capability.VIEW, namespace="namespace")
    place = {"cluster": scope.cluster, "namespace": scope.namespace}
    rows = ProactiveWarning.objects.filter(
        places,
        Q(closed_at__gte=scope.start, closed_at__lt=scope.end, looks__gt=1),
        **{name: value for name, value in place.items() if value},
    )
    found = list(rows.order_by().values_list("state", "opened_at", "closed_at"))
    states = [state for state, _, _ in found]
    leads = [(closed - opened).total_seconds() for state, opened, closed in found if state == _S.CAME_TRUE and closed]
    return Warned(
        came_true=states.count(_S.CAME_TRUE),
        prevented=states.count(_S.PREVENTED),
        cleared=states.count(_S.CLEARED),
        dismissed=states.count(_S.DISMISSED),
        lead=spread_of(leads),
    )
