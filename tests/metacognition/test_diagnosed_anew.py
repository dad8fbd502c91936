"""What was treated in vain is diagnosed anew, once for each treatment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from healing.lifecycle import Phase
from healing.metacognition.planning import _was_treated_in_vain
from healing.models import Strategy, StrategyState
from healing.ports import ObjectRef
from tests.actions import events

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.mark.parametrize(
    ("state", "applied_seconds_ago", "diagnosed_seconds_ago", "anew"),
    [
        (StrategyState.UNDONE, 120, 130, True),
        (StrategyState.FAILED, 120, 130, True),
        (StrategyState.UNDONE, 120, 10, False),  # it has been, since
        (StrategyState.UNDONE, 5, 20, False),  # it was taken back at once: there is nothing else to see yet
        (StrategyState.REFUSED, 120, 130, False),
        (StrategyState.UNDONE, None, 130, False),  # never carried out
    ],
)
def test_when(state: StrategyState, applied_seconds_ago: int | None, diagnosed_seconds_ago: int, *, anew: bool) -> None:
    event = events.event(ObjectRef("Deployment", "shop", "web", "u1"))
    events.put(event, Phase(event.phase), attempt=2, diagnosed_at=NOW - timedelta(seconds=diagnosed_seconds_ago))
    applied = None if applied_seconds_ago is None else NOW - timedelta(seconds=applied_seconds_ago)
    Strategy.objects.create(
        event=event, attempt=1, key="restart", title="Restart", origin="causes", steps=[], state=state,
        applied_at=applied,
    )  # fmt: skip
    assert _was_treated_in_vain(event, NOW) == anew
