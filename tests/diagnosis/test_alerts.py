"""Alerts that fire raise the confidence of what they tell of, and of nothing else."""

from __future__ import annotations

from healing.diagnosis.catalogue import CAUSES
from healing.diagnosis.reasoner import diagnose
from tests.diagnosis.world import World, container, crashed


def crashing() -> World:
    world = World()
    new, old = [container(image="r/cart:2")], [container(image="r/cart:1")]
    world.deployment("cart", new, before=old, failing=crashed(2))
    world.log(world.pods("cart", 2)[0], "panic: runtime error\n\ngoroutine 1 [running]:", previous=True)
    return world


def alert(world: World, name: str, **labels: str) -> None:
    world.snapshot.alerts.append({"labels": {"alertname": name, "namespace": "shop", **labels}, "state": "firing"})


def confidence(world: World) -> tuple[str, float, int]:
    best = diagnose(world.snapshot).best
    assert best is not None
    return best.cause, best.confidence, len(best.evidence)


def test_an_alert_of_the_same_trouble_raises_confidence_and_is_evidence() -> None:
    alone, told = crashing(), crashing()
    alert(told, "KubePodCrashLooping", pod=told.pods("cart", 2)[0]["metadata"]["name"])
    cause, before, evidence = confidence(alone)
    assert confidence(told)[0] == cause == "BadRollout"
    assert confidence(told)[1] > before
    assert confidence(told)[2] == evidence + 1


def test_an_alert_of_another_trouble_or_another_object_does_not() -> None:
    alone, other = crashing(), crashing()
    other.deployment("prices")
    alone.deployment("prices")
    alert(other, "CertificateExpiresSoon", deployment="cart")
    alert(other, "KubePodCrashLooping", deployment="prices")
    assert confidence(other)[:2] == confidence(alone)[:2]


def test_an_alert_alone_does_not_prove_itself() -> None:
    """What only an alert suggests stays a guess, however often it fires."""
    world = World()
    world.deployment("cart")
    alert(world, "HighLatency", deployment="cart")
    best = diagnose(world.snapshot).best
    assert best is not None
    assert best.confidence <= 0.5


def test_every_cause_an_alert_tells_of_is_in_the_catalogue() -> None:
    from healing.diagnosis.alerts import _SYMPTOM_OF

    assert {c for _, causes in _SYMPTOM_OF for c in causes} <= CAUSES.keys()
