"""What was done is taken back by a person: on a real cluster, once, by who may, and never over somebody's change."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from healing import engine, learning
from healing.actions import registry
from healing.actions.runner import Runner
from healing.approvals import takeover, undo
from healing.approvals.errors import DecisionError, NotAllowed
from healing.deadline import Deadline
from healing.lifecycle import Outcome, Phase
from healing.models import ActionRun, ActionState, AuditEntry, HealingEvent, Strategy, StrategyState, TimelineEntry
from healing.ports import ObjectRef
from knowledge import teaching
from knowledge.memory import remember, success
from knowledge.models import KnowledgeEntry, Trial
from tests.actions import events
from tests.actions.live import Live, Namespace, live, ns
from tests.people import person

__all__ = ["live", "ns"]

pytestmark = pytest.mark.django_db


def scaled(ns: Namespace, ref: ObjectRef, event: HealingEvent, replicas: int) -> ActionRun:
    """A strategy of one step, carried out."""
    strategy = Strategy.objects.create(
        event=event,
        attempt=1,
        key=f"scale-{replicas}",
        title=f"Scale to {replicas}",
        origin="causes",
        state=StrategyState.SUCCEEDED,
    )
    plan = registry.make_plan(ns.cluster, "scale", ref, {"replicas": replicas}, timeout_seconds=5)
    runner = Runner(ns.cluster, Deadline.after(60), lambda: None)
    return runner.apply(event, plan, key=f"{event.name}/{replicas}", strategy=strategy)


@pytest.fixture
def ref(ns: Namespace) -> ObjectRef:
    return ns.deployment(replicas=1)


@pytest.fixture
def event(ref: ObjectRef) -> HealingEvent:
    made = events.event(ref)
    return events.put(made, Phase.COMPLETED, outcome=Outcome.HEALED, finished_at=timezone.now())


def replicas(ns: Namespace) -> int:
    return int(ns.get("Deployment", "web")["spec"]["replicas"])


def carry_out(ns: Namespace) -> int:
    return undo.carry_out("default", ns.cluster, engine.add_note)


def test_what_was_done_is_put_back_once_and_told(
    live: Live, ns: Namespace, ref: ObjectRef, event: HealingEvent, alice: User, bob: User
) -> None:
    row = scaled(ns, ref, event, 3)
    assert replicas(ns) == 3
    undo.ask(row.pk, by=alice, reason="it only cost money")
    with pytest.raises(undo.AlreadyTakenBack, match="alice"):
        undo.ask(row.pk, by=bob, reason="me too")
    assert undo.clusters_with_asked() == {"default"}
    assert carry_out(ns) == 1
    assert carry_out(ns) == 0
    assert replicas(ns) == 1
    row.refresh_from_db()
    assert row.state == ActionState.UNDONE
    assert row.strategy is not None
    row.strategy.refresh_from_db()
    assert (row.strategy.state, "alice" in row.strategy.state_reason) == (StrategyState.UNDONE, True)
    told = TimelineEntry.objects.filter(event=event).order_by("seq").values_list("kind", "actor_kind", "message")
    assert [kind for kind, _, _ in told][-2:] == ["undo-asked", "undone"]
    assert "it only cost money" in list(told)[-2][2]
    entry = AuditEntry.objects.get(action="action.undo-asked")
    assert (entry.actor, entry.target) == ("alice", event.name)
    with pytest.raises(undo.AlreadyTakenBack, match="already"):
        undo.ask(row.pk, by=bob, reason="again")


def test_the_memory_learns_that_the_fix_was_no_good_there(
    live: Live, ns: Namespace, ref: ObjectRef, event: HealingEvent, alice: User
) -> None:
    row = scaled(ns, ref, event, 3)
    assert row.strategy is not None
    events.put(event, Phase.COMPLETED, cause="PodLoadTooHigh", fingerprint="f")
    entry = KnowledgeEntry.objects.get(ref=remember(learning.experience_of(event, Outcome.HEALED)))
    before = success("PodLoadTooHigh", row.strategy.key, namespace=ns.name, cluster="default")
    assert (before.here_succeeded, before.here_tried) == (1, 1)
    undo.ask(row.pk, by=alice, reason="the load was somebody's test, password=hunter2")
    assert carry_out(ns) == 1
    after = success("PodLoadTooHigh", row.strategy.key, namespace=ns.name, cluster="default")
    assert (after.here_succeeded, after.here_tried) == (0, 1)
    assert after.log_odds < 0 < before.log_odds
    entry.refresh_from_db()
    assert [tried["outcome"] for tried in entry.strategies] == ["undone"]
    assert "alice took back 'Scale to 3': the load was somebody's test" in entry.person_changed
    assert "hunter2" not in entry.person_changed + str(entry.strategies)
    assert AuditEntry.objects.get(action="memory.taught").actor == "alice"
    assert "counts it as a fix that failed" in TimelineEntry.objects.filter(event=event).latest("seq").message
    # What people say of the entry later changes nothing of that.
    teaching.teach(entry.ref, about="cause", is_right=True, by="bob")
    assert success("PodLoadTooHigh", row.strategy.key, namespace=ns.name, cluster="default").here_succeeded == 0


def test_what_is_taken_back_before_it_is_remembered_is_remembered_like_that(
    live: Live, ns: Namespace, ref: ObjectRef, event: HealingEvent, alice: User
) -> None:
    row = scaled(ns, ref, event, 3)
    assert row.strategy is not None
    stale = learning.experience_of(event, Outcome.HEALED)
    undo.ask(row.pk, by=alice, reason="no good")
    carry_out(ns)
    remember(stale)  # read before, written after
    assert teaching.taken_back(event.name, row.strategy.key, why="alice took it back.")
    assert not teaching.taken_back(event.name, row.strategy.key, why="alice took it back.")
    assert not Trial.objects.get(entry__event_ref=event.name).succeeded
    assert [t.outcome for t in learning.experience_of(event, Outcome.HEALED).strategies] == ["undone"]


def test_what_somebody_has_changed_since_is_not_overwritten(
    live: Live, ns: Namespace, ref: ObjectRef, event: HealingEvent, alice: User
) -> None:
    row = scaled(ns, ref, event, 3)
    ns.cluster.patch("Deployment", ns.name, "web", {"spec": {"replicas": 5}})
    undo.ask(row.pk, by=alice, reason="no longer needed")
    assert carry_out(ns) == 1
    row.refresh_from_db()
    assert (row.state, replicas(ns)) == (ActionState.UNDO_FAILED, 5)
    last = TimelineEntry.objects.filter(event=event).latest("seq")
    assert last.kind == "undo-failed"
    assert "web" in last.message


def test_the_last_step_goes_first(live: Live, ns: Namespace, ref: ObjectRef, event: HealingEvent, alice: User) -> None:
    first, second = scaled(ns, ref, event, 2), scaled(ns, ref, event, 4)
    with pytest.raises(DecisionError, match="Take back first"):
        undo.ask(first.pk, by=alice, reason="why not")
    undo.ask(second.pk, by=alice, reason="why not")
    carry_out(ns)
    undo.ask(first.pk, by=alice, reason="why not")
    carry_out(ns)
    assert replicas(ns) == 1


def test_only_who_may_and_never_while_recist_is_at_work(
    live: Live, ns: Namespace, ref: ObjectRef, event: HealingEvent, alice: User, olga: User
) -> None:
    row = scaled(ns, ref, event, 3)
    with pytest.raises(NotAllowed):
        undo.ask(row.pk, by=olga, reason="because")
    with pytest.raises(NotAllowed):
        undo.ask(row.pk, by=person("elsewhere", "admin", namespace="media"), reason="because")
    with pytest.raises(DecisionError, match="Say why"):
        undo.ask(row.pk, by=alice, reason="  ")
    events.put(event, Phase.VERIFYING, finished_at=None, outcome="")
    with pytest.raises(DecisionError, match="still at work"):
        undo.ask(row.pk, by=alice, reason="because")
    row.refresh_from_db()
    assert row.state == ActionState.APPLIED
    takeover.take_over(event.pk, by=alice)
    undo.ask(row.pk, by=alice, reason="in my hands now")
    carry_out(ns)
    assert replicas(ns) == 1


def test_the_page_offers_it_to_who_may(
    live: Live, ns: Namespace, ref: ObjectRef, event: HealingEvent, alice: User, olga: User
) -> None:
    row = scaled(ns, ref, event, 3)
    client = Client()
    client.force_login(olga)
    page, address = f"/events/{event.name}/", f"/events/{event.name}/actions/{row.pk}/undo/"
    assert f'id="undo-{row.pk}"' not in client.get(page).content.decode()
    assert client.post(address, {f"why-{row.pk}": "because"}).status_code == 403
    client.force_login(alice)
    assert f'id="undo-{row.pk}"' in client.get(page).content.decode()
    assert client.post(address, {}).status_code == 422
    assert client.post(address, {f"why-{row.pk}": "because"}).status_code == 302
    assert client.post(address, {f"why-{row.pk}": "because"}).status_code == 409
    text = client.get(page).content.decode()
    assert "alice has asked to take this back" in text
    assert client.post(f"/events/{event.name}/actions/{row.pk + 1}/undo/", {}).status_code == 404


def test_the_api_takes_back_once_for_one_key(
    live: Live, ns: Namespace, ref: ObjectRef, event: HealingEvent, alice: User
) -> None:
    alice.set_password("correct horse battery")
    alice.save()
    row = scaled(ns, ref, event, 3)
    address = f"/api/v1/events/{event.name}/actions/{row.pk}/undo"

    key = {
        "Authorization": f"Basic {b64encode(b'alice:correct horse battery').decode()}",
        "Idempotency-Key": "take-back-1",
    }

    def call(body: dict[str, str], **headers: str) -> tuple[int, dict[str, object]]:
        answer = Client().post(address, json.dumps(body), content_type="application/json", headers={**key, **headers})
        return answer.status_code, answer.json()

    status, item = call({"reason": "because"})
    assert (status, item["id"], item["state"]) == (200, row.pk, "undoing")
    assert call({"reason": "because"})[0] == 200, "the same key: answered as the first time"
    status, problem = call({"reason": "because"}, **{"Idempotency-Key": "take-back-2"})
    assert (status, problem["type"]) == (409, "already-taken-back")
    assert AuditEntry.objects.filter(action="action.undo-asked").count() == 1
