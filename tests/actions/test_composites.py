"""Several actions in a row: done in order, and undone in reverse from wherever they fail."""

from __future__ import annotations

from typing import Any

import pytest

from healing.actions import registry
from healing.lifecycle import Phase
from healing.metacognition import execution
from healing.metacognition.proposals import digest_of
from healing.models import ActionState, HealingEvent, Strategy, StrategyState
from healing.phase import Note
from healing.ports import ObjectRef, Ports
from healing.ports.errors import Forbidden
from tests.actions import events
from tests.actions.counting import Counting
from tests.actions.live import Live, Namespace, until

pytestmark = pytest.mark.django_db

ACTIONS = ["updateConfig", "raiseQuota", "scale"]


def chosen(ns: Namespace, ref: ObjectRef, cluster: Counting) -> tuple[HealingEvent, Strategy]:
    """A key of a ConfigMap, then a quota, then replicas."""
    ns.config_map("web-v1", {"REGION": "eu"})
    config = ns.config_map("web-v2", {"MODE": "b"})
    quota = ns.create(
        "ResourceQuota", {"apiVersion": "v1", "metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "50"}}}
    )
    wanted: list[tuple[str, ObjectRef, dict[str, Any]]] = [
        ("updateConfig", config, {"keys": ["REGION"]}),
        ("raiseQuota", quota, {"hard": {"configmaps": "60"}}),
        ("scale", ref, {"replicas": 3}),
    ]
    event = events.event(ref, allowedActions=ACTIONS, approval={"mode": "never"})
    plans = [registry.make_plan(cluster, *step, timeout_seconds=5) for step in wanted]
    steps = [
        {"action": a, "target": t.as_json(), "parameters": p, "plan": plan.as_json(), "digest": plan.digest}
        for (a, t, p), plan in zip(wanted, plans, strict=True)
    ]
    strategy = Strategy.objects.create(
        event=event,
        attempt=event.attempt,
        key="three",
        title="Three things",
        origin="causes",
        steps=steps,
        state=StrategyState.CHOSEN,
        digest=digest_of(steps),
    )
    return events.put(event, Phase.HEALING), strategy


def state(ns: Namespace) -> tuple[Any, Any, Any]:
    return (
        ns.get("ConfigMap", "web-v2")["data"].get("REGION"),
        ns.get("ResourceQuota", "q")["spec"]["hard"]["configmaps"],
        ns.get("Deployment", "web")["spec"]["replicas"],
    )


@pytest.mark.parametrize(
    ("verb", "kind"), [("patch", "ResourceQuota"), ("patch", "Deployment"), ("patch", "ConfigMap")]
)
def test_rights_of_all_steps_and_their_undoing_are_asked_before_the_first(
    live: Live, ns: Namespace, verb: str, kind: str
) -> None:
    ref = ns.deployment(image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ErrImagePull") or ns.waits_with("ImagePullBackOff"), "a fault")
    cluster = Denied(live.cluster, verb, kind)
    event, strategy = chosen(ns, ref, cluster)
    before = state(ns)
    ports = Ports("default", cluster, live.metrics, live.logs)  # type: ignore[arg-type]
    notes: list[Note] = []
    result = execution.execute(events.context(event, ports, notes))
    assert result.next == Phase.PLANNING
    told = " ".join(note.message for note in [*notes, *result.notes])
    assert f"we may not {verb} a {kind}" in told
    assert "Nothing was done." in told
    assert state(ns) == before
    assert cluster.written == 0
    assert not strategy.actions.exists()


class Denied(Counting):
    """Says that one thing may not be done, as RBAC's own answer would."""

    def __init__(self, cluster: Any, verb: str, kind: str) -> None:
        super().__init__(cluster)
        self._denied = verb, kind

    def can_i(self, verb: str, kind: str, namespace: str = "", **more: Any) -> bool:
        return (verb, kind) != self._denied


@pytest.mark.parametrize("position", [0, 1, 2])
def test_where_one_fails_those_before_are_undone_in_reverse(live: Live, ns: Namespace, position: int) -> None:
    ref = ns.deployment(image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ErrImagePull") or ns.waits_with("ImagePullBackOff"), "a fault")
    cluster = Counting(live.cluster)
    event, strategy = chosen(ns, ref, cluster)
    before = state(ns)
    cluster.fail_before = (position, Forbidden("not any more", status=403))
    ports = Ports("default", cluster, live.metrics, live.logs)  # type: ignore[arg-type]
    result = execution.execute(events.context(event, ports))
    assert result.next == Phase.PLANNING
    assert state(ns) == before
    rows = list(strategy.actions.order_by("pk"))
    assert [row.action for row in rows] == ACTIONS[: position + 1]
    assert [row.state for row in rows] == [ActionState.UNDONE] * position + [ActionState.FAILED]
    undone = [row.undone_at for row in rows[:position]]
    assert undone == sorted(undone, reverse=True)
    assert cluster.written == 2 * position  # each once, and back


def test_all_of_them_in_order(live: Live, ns: Namespace) -> None:
    ref = ns.deployment(image="registry.local/web:does-not-exist")
    until(lambda: ns.waits_with("ErrImagePull") or ns.waits_with("ImagePullBackOff"), "a fault")
    cluster = Counting(live.cluster)
    event, strategy = chosen(ns, ref, cluster)
    ports = Ports("default", cluster, live.metrics, live.logs)  # type: ignore[arg-type]
    assert execution.execute(events.context(event, ports)).next == Phase.VERIFYING
    assert state(ns) == ("eu", "60", 3)
    assert [row.action for row in strategy.actions.order_by("applied_at")] == ACTIONS
