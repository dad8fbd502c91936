"""What is remembered of ConfigMaps, and who is believed."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from healing.actions import known_good, known_states
from healing.models import KnownState
from healing.policy_changes import rows
from tests.actions import events
from tests.actions.live import Live, Namespace

pytestmark = pytest.mark.django_db


def value(ns: Namespace, name: str, key: str) -> known_good.KnownValue | None:
    return known_good.value_of(ns.cluster, ns.get("ConfigMap", name), key, timeout_seconds=5)


def test_all_of_the_policies_namespaces_are_remembered_once(live: Live, ns: Namespace) -> None:
    ns.config_map("a", {"X": "1"})
    other = live.namespace()
    other.config_map("b", {"Y": "1"})
    events.policy(ns.name)
    assert known_states.remember_all(lambda _: live.ports, "default") >= 1
    assert known_states.remember_all(lambda _: live.ports, "default") == 0
    assert KnownState.objects.get(kind="ConfigMap").state["data"] == {"X": "1"}


def test_a_policy_that_was_refused_keeps_nobody_from_being_remembered(live: Live, ns: Namespace) -> None:
    ns.config_map("a", {"X": "1"})
    broken = {
        "kind": "SelfHealingPolicy",
        "metadata": {"namespace": ns.name, "name": "broken", "uid": "u", "generation": 1},
    }
    assert rows.store("default", {**broken, "spec": {"targetNamespaces": "*"}}).error
    events.policy(ns.name)
    assert known_states.remember_all(lambda _: live.ports, "default") >= 1
    assert KnownState.objects.get(kind="ConfigMap").state["data"] == {"X": "1"}


def test_the_newest_other_value_counts(live: Live, ns: Namespace) -> None:
    ns.config_map("a", {"X": "1"})
    now = timezone.now()
    for number in (1, 2, 3):
        ns.cluster.patch("ConfigMap", ns.name, "a", {"data": {"X": str(number)}})
        known_states.remember("default", ns.get("ConfigMap", "a"), now + timedelta(seconds=number))
    found = value(ns, "a", "X")
    assert found is not None
    assert (found.value, found.is_same_object) == ("2", True)
    ns.cluster.patch("ConfigMap", ns.name, "a", {"data": {"X": None}})
    found = value(ns, "a", "X")
    assert found is not None
    assert found.value == "3"
    assert value(ns, "a", "NEVER") is None


def test_only_a_few_generations_are_kept(live: Live, ns: Namespace) -> None:
    ns.config_map("a", {"X": "0"})
    now = timezone.now()
    for number in range(1, 9):
        ns.cluster.patch("ConfigMap", ns.name, "a", {"data": {"X": str(number)}})
        known_states.remember("default", ns.get("ConfigMap", "a"), now + timedelta(seconds=number))
    assert sorted(known.state["data"]["X"] for known in KnownState.objects.all()) == ["4", "5", "6", "7", "8"]


def test_what_was_last_applied_is_surest(live: Live, ns: Namespace) -> None:
    ref = ns.config_map("a", {"X": "now"})
    known_states.remember("default", {**ns.get("ConfigMap", "a"), "data": {"X": "seen"}}, timezone.now())
    applied = json.dumps({"data": {"X": "applied"}})
    key = "kubectl.kubernetes.io/last-applied-configuration"
    ns.cluster.patch("ConfigMap", ns.name, ref.name, {"metadata": {"annotations": {key: applied}}})
    found = value(ns, "a", "X")
    assert found is not None
    assert found.value == "applied"


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", '{"data": 3}', '{"data": {"X": 3}}', '"text"'])
def test_an_annotation_that_makes_no_sense_says_nothing(live: Live, ns: Namespace, raw: str) -> None:
    ref = ns.config_map("a", {"Y": "1"})
    key = "kubectl.kubernetes.io/last-applied-configuration"
    ns.cluster.patch("ConfigMap", ns.name, ref.name, {"metadata": {"annotations": {key: raw}}})
    assert value(ns, "a", "X") is None
