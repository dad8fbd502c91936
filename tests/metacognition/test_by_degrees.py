"""More replicas that did not help are tried again only where by now more of them are wanted."""

from __future__ import annotations

import pytest

from healing.findings import Finding
from healing.metacognition.candidates import candidates_for
from healing.models import Strategy, StrategyState
from tests.actions.live import Live, Namespace
from tests.metacognition.test_fresh_starts import case

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("state", "suggested", "wanted"),
    [
        pytest.param(StrategyState.UNDONE, 3, None, id="as many as were tried"),
        pytest.param(StrategyState.FAILED, 2, None, id="fewer than were tried"),
        pytest.param(StrategyState.UNDONE, 7, 6, id="more, as far as one step goes"),
        pytest.param(StrategyState.PROPOSED, 3, 3, id="it was only proposed"),
    ],
)
def test_more_of_what_was_not_enough(
    live: Live, ns: Namespace, state: StrategyState, suggested: int, wanted: int | None
) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=2))
    found = Finding("TrafficSpike", ref, 0.9, "", facts={"suggested_replicas": suggested})
    of = case(live, ref, found)
    steps = [{"action": "scale", "target": ref.as_json(), "parameters": {"replicas": 3}, "plan": {}}]
    Strategy.objects.create(event=of.event, attempt=1, key="scale-out", title="x", state=state, steps=steps, digest="")
    offered, dropped = candidates_for(of)
    replicas = [one.blueprint.steps[0].parameters["replicas"] for one in offered if one.key == "scale-out"]
    assert replicas == ([] if wanted is None else [wanted])
    assert ("scale-out" in {one.key for one in dropped}) is (wanted is None)


def test_what_has_no_degrees_is_not_tried_twice(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    of = case(live, ref, Finding("MemoryLeak", ref, 0.9, ""))
    Strategy.objects.create(
        event=of.event, attempt=1, key="restart", title="x", state=StrategyState.UNDONE, steps=[], digest=""
    )
    _, dropped = candidates_for(of)
    assert "did not help" in next(one.reason for one in dropped if one.key == "restart")
