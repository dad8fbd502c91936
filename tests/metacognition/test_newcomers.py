"""Which pods are a strategy's doing, where all happens within one second."""

from __future__ import annotations

import pytest

from healing.metacognition import newcomers
from healing.ports.cluster import ObjectRef
from tests.actions.live import Live, Namespace, until

pytestmark = pytest.mark.django_db


def test_pods_of_the_same_second_are_told_apart_by_who_was_there(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=2))
    before = newcomers.youngest(live.ports, [ref, ref], timeout_seconds=5)
    there = ns.pods()
    assert [newcomers.is_newcomer(pod, ref, before) for pod in there] == [False, False]
    twin = {"metadata": {**there[0]["metadata"], "uid": "another"}}
    (known,) = before.values()
    twin["metadata"]["creationTimestamp"] = known["at"]
    assert newcomers.is_newcomer(twin, ref, before) is True
    older = {"metadata": {**twin["metadata"], "creationTimestamp": "2020-01-01T00:00:00Z"}}
    assert newcomers.is_newcomer(older, ref, before) is False
    ns.cluster.patch(ref.kind, ns.name, ref.name, {"spec": {"replicas": 3}})
    until(lambda: len(ns.pods()) == 3, "a third pod")
    assert sum(bool(newcomers.is_newcomer(pod, ref, before)) for pod in ns.pods()) == 1


def test_what_nobody_looked_at_is_not_guessed(live: Live, ns: Namespace) -> None:
    missing = ObjectRef("Deployment", ns.name, "nobody")
    assert newcomers.youngest(live.ports, [missing, ObjectRef("Service", ns.name, "web")], timeout_seconds=5) == {}
    ref = ns.rolled_out(ns.deployment())
    assert newcomers.is_newcomer(ns.pods()[0], ref, {}) is None
    ns.cluster.patch(ref.kind, ns.name, ref.name, {"spec": {"replicas": 0}})
    until(lambda: not ns.pods(), "no pod is left")
    empty = newcomers.youngest(live.ports, [ref], timeout_seconds=5)
    ns.cluster.patch(ref.kind, ns.name, ref.name, {"spec": {"replicas": 1}})
    until(lambda: len(ns.pods()) == 1, "a pod")
    assert newcomers.is_newcomer(ns.pods()[0], ref, empty) is True
