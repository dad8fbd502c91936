"""What memory changes, through the engine with the real phases, against the sandbox.

The program needs more memory than it is given; the diagnosis is told to be a leak, so that a restart looks best.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import containment, learning
from healing.lifecycle import Outcome, Phase
from healing.models import HealingEvent, StrategyState
from healing.ports import ObjectRef
from healing.ports.errors import NotFound
from knowledge.index import Index
from knowledge.models import KnowledgeEntry, Trial, Use
from knowledge.tasks import index_pending
from tests.actions import events
from tests.actions.live import Live, Namespace, until
from tests.actions.story import Story, finding

pytestmark = pytest.mark.django_db

TOO_LITTLE = {"limits": {"memory": "5Mi"}}
POLICY: dict[str, Any] = {
    "limits": {"cooldownSeconds": 0, "circuitBreakerFailures": 0, "maxAttempts": 3},
    "verification": {"timeoutSeconds": 20, "stableSeconds": 2},
    "approval": {"mode": "never"},
    "decisionThreshold": 0.0,
    "confidenceThreshold": 0.0,
}


def out_of_memory(ns: Namespace) -> ObjectRef:
    """A workload that is new, without a former revision to go back to, and out of memory."""
    ref = ns.deployment("shop", replicas=1, image="nginx:1.25", resources=TOO_LITTLE)
    until(lambda: was_killed(ns), "an OOM kill", 60)
    return ref


def was_killed(ns: Namespace) -> bool:
    states = [
        state.get("terminated", {}).get("reason")
        for pod in ns.pods("shop")
        for status in pod["status"].get("containerStatuses") or ()
        for state in (status.get("lastState") or {}, status.get("state") or {})
    ]
    return "OOMKilled" in states


def remove(ns: Namespace, ref: ObjectRef) -> None:
    ns.cluster.delete(ref.kind, ref.namespace, ref.name)

    def is_gone() -> bool:
        try:
            ns.get(ref.kind, ref.name)
        except NotFound:
            return not ns.pods_of_all()
        return False

    until(is_gone, "the workload is gone")


def heal(live: Live, ref: ObjectRef, **policy: Any) -> Story:
    event = events.event(ref, "OOMKilled", **{**POLICY, **policy})
    told = Story(event, live.ports, finding(event, "MemoryLeak", container="web"))
    told.handlers[Phase.LEARNING] = containment.settling(learning.run)
    told.through(120)
    return told


def yesterday(event: HealingEvent) -> None:
    """The event and what was learned from it are a day old: only memory still knows of it."""
    day = timedelta(days=1)
    HealingEvent.objects.filter(pk=event.pk).update(
        detected_at=event.detected_at - day,
        healed_at=event.healed_at and event.healed_at - day,
        # Else the next event waits to see whether this healing helps it too.
        finished_at=event.finished_at and event.finished_at - day,
    )
    Trial.objects.update(at=timezone.now() - day)
    KnowledgeEntry.objects.update(occurred_at=timezone.now() - day)


def tried(event: HealingEvent) -> list[str]:
    done = (StrategyState.SUCCEEDED, StrategyState.FAILED, StrategyState.UNDONE)
    return list(event.strategies.filter(state__in=done).order_by("attempt").values_list("key", flat=True))


def argued(event: HealingEvent) -> set[str]:
    return set(event.strategies.filter(attempt=1).exclude(key="ask-a-person").values_list("key", flat=True))


def rounds(event: HealingEvent) -> int:
    """How often something was done to the cluster and then had to prove itself, which is what a healing's time goes
    into."""
    return event.timeline.filter(kind="executed").count()


def seconds(event: HealingEvent) -> float:
    """From detected to healed."""
    assert event.healed_at is not None
    return (event.healed_at - event.detected_at).total_seconds()


def seconds_in_vain(event: HealingEvent) -> float:
    """What went into strategies that failed: from their first change of the cluster until they were given up."""
    lost, since = 0.0, None
    for entry in event.timeline.all():
        if entry.kind == "applied" and since is None:
            since = entry.at
        elif entry.kind == "strategy-failed" and since is not None:
            lost, since = lost + (entry.at - since).total_seconds(), None
        elif entry.kind == "verified":
            since = None
    return lost


def timed(told: Story) -> str:
    return "\n".join(f"{e.at:%H:%M:%S} {e.phase} {e.kind}: {e.message}" for e in told.event.timeline.all())


@pytest.mark.timeout(240)
def test_the_second_time_it_is_healed_with_fewer_candidates_and_faster(
    live: Live, ns: Namespace, qdrant: Index, says: Callable[[str], None]
) -> None:
    ref = out_of_memory(ns)
    first = heal(live, ref)
    assert first.event.outcome == Outcome.HEALED, first.told
    assert tried(first.event) == ["restart", "raise-memory"], first.told
    candidates = argued(first.event)
    in_vain = seconds_in_vain(first.event)

    def once_more(last: Story) -> Story:
        index_pending()
        yesterday(last.event)
        remove(ns, ref)
        return heal(live, out_of_memory(ns))

    second = once_more(first)
    assert second.event.outcome == Outcome.HEALED, second.told
    assert tried(second.event) == ["raise-memory"], second.told
    assert argued(second.event) < candidates
    assert (rounds(first.event), rounds(second.event)) == (2, 1), f"{timed(first)}\n---\n{timed(second)}"
    assert not second.event.timeline.filter(kind="waiting").exists(), second.told  # for nobody else's healing
    # and people can see why
    (chosen,) = second.event.strategies.filter(state=StrategyState.SUCCEEDED)
    (said,) = [a for a in chosen.arguments if a["topic"] == "memory"]
    assert "worked 1 of 1 here, 1 of 1 on this workload" in said["text"]
    assert first.event.name in said["text"]
    assert said["weight"] > 0
    note = second.event.timeline.get(kind="candidates")
    assert [d["key"] for d in note.data["dropped"] if d["reason"].startswith("memory:")] == ["restart"]
    assert Use.objects.filter(event_ref=second.event.name, entry__event_ref=first.event.name).exists()

    # It is faster by what the first one did in vain: most of that, so that a start with cold caches is not what counts.
    assert seconds_in_vain(second.event) == 0.0 < in_vain, timed(first)
    slow = seconds(first.event)
    took = [seconds(second.event)]
    while slow - took[-1] < in_vain / 2 and len(took) < 3:
        # A machine with other work may take seconds from one healing; memory is there for the next one too.
        second = once_more(second)
        assert (tried(second.event), rounds(second.event)) == (["raise-memory"], 1), second.told
        took.append(seconds(second.event))
    says(
        f"memory: first healed in {slow:.1f} s, {in_vain:.1f} s of it in vain; then in "
        + ", ".join(f"{s:.1f} s" for s in took)
    )
    assert slow - min(took) >= in_vain / 2, f"{timed(first)}\n---\n{timed(second)}"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("remembers", [True, False], ids=["remembered", "forgotten"])
def test_a_recorded_failure_makes_it_choose_differently(
    live: Live,
    ns: Namespace,
    qdrant: Index,
    remembers: bool,  # noqa: FBT001
) -> None:
    ref = out_of_memory(ns)
    once = {**POLICY["limits"], "maxAttempts": 1}
    first = heal(live, ref, limits=once)
    assert (first.event.outcome, tried(first.event)) == (Outcome.ESCALATED, ["restart"]), first.told
    yesterday(first.event)
    if not remembers:
        KnowledgeEntry.objects.all().delete()

    second = heal(live, ref, limits=once)
    assert tried(second.event) == (["raise-memory"] if remembers else ["restart"]), second.told
    against = [a for a in second.event.strategies.get(key="restart").arguments if a["topic"] == "memory"]
    assert (against[0]["weight"] < -1) is remembers
    assert ("0 of 1" in against[0]["text"]) is remembers
