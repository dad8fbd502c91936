"""Which earlier revision was good."""

from __future__ import annotations

import pytest

from healing.actions import revisions
from healing.actions.base import CannotPlan
from healing.actions.reading import Workload
from healing.ports import ObjectRef
from tests.actions.live import Live, Namespace, until

CRASH = ["sh", "-c", "exit 3"]


def read(ns: Namespace, ref: ObjectRef) -> Workload:
    return Workload.read(ns.cluster, ref, timeout_seconds=5)


def last_good(ns: Namespace, ref: ObjectRef, avoid: tuple[int, ...] = ()) -> revisions.GoodRevision:
    return revisions.last_good(ns.cluster, read(ns, ref), avoid=avoid, timeout_seconds=5)


def revision(ns: Namespace, ref: ObjectRef, number: int) -> None:
    def reached() -> bool:
        annotations = ns.get("Deployment", ref.name)["metadata"].get("annotations") or {}
        return annotations.get(revisions.REVISION) == str(number)

    until(reached, f"revision {number}")


def test_the_one_that_serves_wins_over_a_newer_bad_one(live: Live, ns: Namespace) -> None:
    """Two bad releases in a row: the one before the last is not good either."""
    probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}
    ref = ns.rolled_out(ns.deployment(readinessProbe=probe))
    ns.patch_container(ref, command=CRASH)
    revision(ns, ref, 2)
    ns.patch_container(ref, command=["sh", "-c", "exit 4"])
    revision(ns, ref, 3)
    until(lambda: ns.waits_with("CrashLoopBackOff"), "a crash loop", 60)
    good = last_good(ns, ref)
    assert good.revision.number == 1
    assert good.is_serving


def test_without_any_that_serves_the_one_that_caused_warnings_is_passed_over(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(spec={"strategy": {"type": "Recreate"}}))
    for number, command in ((2, CRASH), (3, ["sh", "-c", "exit 4"])):
        ns.patch_container(ref, command=command)
        revision(ns, ref, number)
        until(lambda: ns.waits_with("CrashLoopBackOff"), "a crash loop", 60)
    good = last_good(ns, ref)
    assert (good.revision.number, good.is_serving) == (1, False)


def test_a_revision_whose_configuration_is_gone_is_no_way_back(live: Live, ns: Namespace) -> None:
    ns.config_map("old", {"A": "1"})
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "old", "key": "A"}}}]
    ref = ns.rolled_out(ns.deployment(spec={"strategy": {"type": "Recreate"}}, env=env))
    ns.patch_container(ref, env=[{"name": "A", "value": "2", "valueFrom": None}], image="registry.local/web:2.0")
    revision(ns, ref, 2)
    ns.cluster.delete("ConfigMap", ns.name, "old")
    until(lambda: not revisions.of_workload(ns.cluster, read(ns, ref), timeout_seconds=5)[1].is_serving, "it stops")
    with pytest.raises(CannotPlan, match="ConfigMap old does not exist"):
        last_good(ns, ref)


def test_what_our_history_calls_bad_is_avoided(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=1))
    for number in (2, 3):
        ns.patch_container(ref, env=[{"name": "RELEASE", "value": str(number)}])
        revision(ns, ref, number)
        ns.rolled_out(ref)
    assert last_good(ns, ref).revision.number == 2
    assert last_good(ns, ref, avoid=(2,)).revision.number == 1


def test_a_restart_is_no_earlier_revision(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    stamp = {"kubectl.kubernetes.io/restartedAt": "2026-11-23T00:00:00Z"}
    ns.cluster.patch("Deployment", ns.name, "web", {"spec": {"template": {"metadata": {"annotations": stamp}}}})
    revision(ns, ref, 2)
    with pytest.raises(CannotPlan, match="no earlier revision"):
        last_good(ns, ref)


def test_a_template_changed_while_paused_is_the_next_revision(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment())
    ns.cluster.patch("Deployment", ns.name, "web", {"spec": {"paused": True}})
    ns.patch_container(ref, image="registry.local/web:2.0")
    kept = revisions.of_workload(ns.cluster, read(ns, ref), timeout_seconds=5)
    now = revisions.current(read(ns, ref), kept)
    assert (now.number, now.name) == (2, revisions.UNRELEASED)
    assert last_good(ns, ref).revision.number == 1
