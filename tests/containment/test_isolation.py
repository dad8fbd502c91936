"""Isolation of more than one pod, of pods that nobody replaces, in networks that enforce nothing; and its end when
nobody remembers it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from healing import containment
from healing.containment import network
from healing.models import ActionRun, ActionState, Isolation
from healing.phase import Note
from healing.ports import ObjectRef, Ports
from healing.ports.cluster import Object
from tests.actions.counting import Counting, Killed
from tests.actions.live import Live, Namespace, until
from tests.actions.numbers import LIMITS, Numbers
from tests.containment.test_containment import answers_badly, contain, endpoints, of_kind

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_known_of_the_network() -> Iterator[None]:
    network.forget()
    yield
    network.forget()


def quarantined(ns: Namespace) -> list[Object]:
    return ns.list("Pod", label_selector="recist.io/quarantine")


def name_of(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def test_two_of_five_are_isolated_each_with_a_policy_and_released_each_by_itself(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=5))
    service = ns.service("web", {"app": "web"})
    bad = ns.pods()[:2]
    names = {name_of(pod) for pod in bad}
    event = answers_badly(ref, bad)
    notes = contain(event, live.ports)
    assert len(of_kind(notes, "contained")) == 2, notes
    assert {name_of(pod) for pod in quarantined(ns)} == names
    assert len(ns.list("NetworkPolicy")) == 2
    for isolation in Isolation.objects.all():
        policy = ns.get("NetworkPolicy", isolation.policy_name)
        wanted = policy["spec"]["podSelector"]["matchLabels"].items()
        assert [name_of(p) for p in quarantined(ns) if wanted <= p["metadata"]["labels"].items()] == [
            isolation.pod_name
        ]
    until(lambda: not names & endpoints(ns, service), "no traffic to them")
    first = Isolation.objects.order_by("pk")[0]
    Isolation.objects.filter(pk=first.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert containment.release_due("default", lambda _: live.ports, lambda *_: None) == 1
    until(lambda: {name_of(p) for p in quarantined(ns)} == names - {first.pod_name}, "one is released")
    assert [name_of(p) for p in ns.list("NetworkPolicy")] == [Isolation.objects.get(released_at=None).policy_name], (
        "the other one's policy stays"
    )


def test_a_budget_allows_one_of_the_two(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=5))
    spec = {"minAvailable": 4, "selector": {"matchLabels": {"app": "web"}}}
    ns.create("PodDisruptionBudget", {"apiVersion": "policy/v1", "metadata": {"name": "web"}, "spec": spec})
    until(lambda: (ns.get("PodDisruptionBudget", "web").get("status") or {}).get("disruptionsAllowed") == 1, "status")
    notes = contain(answers_badly(ref, ns.pods()[:2]), live.ports)
    assert len(of_kind(notes, "contained")) == 1
    assert any("allows 1 at a time" in text for text in of_kind(notes, "not-contained")), notes
    assert Isolation.objects.count() == 1


def test_a_pod_of_a_stateful_set_is_kept_and_gets_its_traffic_back(live: Live, ns: Namespace) -> None:
    ref = ns.stateful_set(replicas=3)
    until(lambda: ns.get("StatefulSet", "web")["status"].get("readyReplicas") == 3, "ready")
    bad = ns.pods()[0]
    before = bad["metadata"]["labels"]
    event = answers_badly(ref, [bad])
    assert of_kind(contain(event, live.ports), "contained")
    live_pod = ns.get("Pod", name_of(bad))
    assert live_pod["metadata"]["uid"] == bad["metadata"]["uid"], "it is not replaced"
    assert before.items() <= live_pod["metadata"]["labels"].items(), "its StatefulSet goes on knowing it"
    assert len(ns.list("NetworkPolicy")) == 1
    later = timezone.now() + timedelta(hours=1)
    assert containment.release_due("default", lambda _: live.ports, lambda *_: None, later) == 1
    assert not ns.list("NetworkPolicy")
    assert ns.get("Pod", name_of(bad))["metadata"]["labels"] == before


def test_a_label_that_only_services_select_takes_it_out_of_them(live: Live, ns: Namespace) -> None:
    ref = ns.stateful_set(replicas=3)
    until(lambda: ns.get("StatefulSet", "web")["status"].get("readyReplicas") == 3, "ready")
    for pod in ns.pods():
        ns.cluster.patch("Pod", ns.name, name_of(pod), {"metadata": {"labels": {"serves": "yes"}}})
    service = ns.service("web", {"app": "web", "serves": "yes"})
    until(lambda: len(endpoints(ns, service)) == 3, "all serve")
    bad = ns.pods()[0]
    event = answers_badly(ref, [bad])
    assert of_kind(contain(event, live.ports), "contained")
    until(lambda: name_of(bad) not in endpoints(ns, service), "it is out of its Service")
    later = timezone.now() + timedelta(hours=1)
    assert containment.release_due("default", lambda _: live.ports, lambda *_: None, later) == 1
    until(lambda: name_of(bad) in endpoints(ns, service), "it is in again")


@pytest.fixture
def flannel(live: Live) -> Iterator[None]:
    """A cluster whose network only connects."""
    body = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "kube-flannel-ds"},
        "spec": {
            "selector": {"matchLabels": {"app": "flannel"}},
            "template": {
                "metadata": {"labels": {"app": "flannel"}},
                "spec": {"containers": [{"name": "kube-flannel", "image": "registry.local/web:1.0"}]},
            },
        },
    }
    live.cluster.create("DaemonSet", "kube-system", body)
    yield
    live.cluster.delete("DaemonSet", "kube-system", "kube-flannel-ds")


def test_where_nothing_is_enforced_what_cannot_be_detached_is_left_and_it_is_said(
    live: Live, ns: Namespace, flannel: None
) -> None:
    ref = ns.stateful_set(replicas=3)
    until(lambda: ns.get("StatefulSet", "web")["status"].get("readyReplicas") == 3, "ready")
    notes = contain(answers_badly(ref, ns.pods()[:1]), live.ports)
    (text,) = of_kind(notes, "not-contained")
    assert "Flannel" in text
    assert "would not replace it" in text
    assert not quarantined(ns)
    assert not Isolation.objects.exists()


def test_where_nothing_is_enforced_a_pod_is_detached_whatever_the_mode(
    live: Live, ns: Namespace, flannel: None
) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3))
    service = ns.service("web", {"app": "web"})
    bad = ns.pods()[0]
    event = answers_badly(ref, [bad], containment={"mode": "hard"})
    notes = contain(event, live.ports)
    (text,) = of_kind(notes, "contained")
    assert "does not enforce" in text
    isolation = Isolation.objects.get()
    assert (isolation.mode, isolation.enforcement) == ("soft", "notEnforced")
    assert "Flannel" in isolation.network
    until(lambda: name_of(bad) not in endpoints(ns, service), "no traffic to it all the same")


@pytest.mark.parametrize(
    ("cores", "memory_bytes", "says"),
    [(0.2, 2**26, ""), (0.9, 2**20, "10% of their cpu free"), (0.1, 120 * 2**20, "of their memory free")],
)
def test_neighbours_are_asked_whether_they_have_room(
    live: Live, ns: Namespace, cores: float, memory_bytes: float, says: str
) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3, resources=LIMITS))
    pods = ns.pods()
    numbers: Any = Numbers(cores, memory_bytes, pods)
    event = answers_badly(ref, pods[:1], containment={"neighborCapacityThreshold": 0.3})
    notes = contain(event, Ports("default", live.cluster, numbers, None))
    if says:
        (text,) = of_kind(notes, "not-contained")
        assert says in text
        assert "neighborCapacityThreshold" in text
        assert not quarantined(ns)
    else:
        assert "80% of their cpu and 50% of their memory free" in of_kind(notes, "contained")[0]


def test_neighbours_that_nobody_can_ask_are_not_burdened(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3, resources=LIMITS))
    event = answers_badly(ref, ns.pods()[:1], containment={"neighborCapacityThreshold": 0.3})
    notes = contain(event, Ports("default", live.cluster, None, None))
    assert any("no metrics source" in text for text in of_kind(notes, "not-contained"))
    assert not quarantined(ns)


def strays(live: Live, hours: float) -> tuple[int, list[tuple[int, Note]]]:
    said: list[tuple[int, Note]] = []
    at = timezone.now() + timedelta(hours=hours)
    done = containment.release_strays("default", lambda _: live.ports, lambda pk, note: said.append((pk, note)), at)
    return done, said


@pytest.fixture
def tidy(live: Live) -> None:
    """What other tests have left behind in the cluster is gone."""
    strays(live, 1000)


def test_a_pod_that_the_database_has_forgotten_is_removed_when_its_time_is_over(
    live: Live, ns: Namespace, tidy: None
) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3))
    bad = ns.pods()[0]
    event = answers_badly(ref, [bad])
    contain(event, live.ports)
    assert strays(live, 1)[0] == 0, "there is a row that looks after it"
    Isolation.objects.all().delete()
    ActionRun.objects.all().delete()
    assert strays(live, 0)[0] == 0, "it may be another installation's until then"
    done, said = strays(live, 1)
    assert done == 2
    assert [pk for pk, _ in said] == [event.pk, event.pk]
    until(lambda: not quarantined(ns) and not ns.list("NetworkPolicy"), "nothing of ours is left")
    assert strays(live, 1)[0] == 0


def test_a_forgotten_pod_that_was_kept_gets_back_what_it_lost(live: Live, ns: Namespace, tidy: None) -> None:
    ref = ns.stateful_set(replicas=3)
    until(lambda: ns.get("StatefulSet", "web")["status"].get("readyReplicas") == 3, "ready")
    for pod in ns.pods():
        ns.cluster.patch("Pod", ns.name, name_of(pod), {"metadata": {"labels": {"serves": "yes"}}})
    ns.service("web", {"app": "web", "serves": "yes"})
    bad = ns.pods()[0]
    before = bad["metadata"]["labels"]
    event = answers_badly(ref, [bad])
    contain(event, live.ports)
    event.delete()
    assert strays(live, 1)[0] == 2
    after = ns.get("Pod", name_of(bad))["metadata"]
    assert after["labels"] == before
    assert not any(key.startswith("recist.io/") for key in after.get("annotations") or {})


def test_a_policy_of_the_cluster_that_a_strategy_put_back_is_no_stray(live: Live, ns: Namespace, tidy: None) -> None:
    body = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "default-deny", "labels": {"recist.io/event": "he-old"}},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    ns.create("NetworkPolicy", body)
    assert strays(live, 1000)[0] == 0
    assert ns.list("NetworkPolicy")


def test_killed_between_two_pods_both_are_isolated_once(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=5))
    event = answers_badly(ref, ns.pods()[:2])
    counting = Counting(live.cluster)
    ports = Ports("default", counting, None, None)  # type: ignore[arg-type]
    for writes in (1, 2, 3):
        counting.die_after = writes
        with pytest.raises(Killed):
            contain(event, ports)
    contain(event, ports)
    assert counting.written == 4
    assert Isolation.objects.filter(released_at=None).count() == 2
    assert set(ActionRun.objects.values_list("state", flat=True)) == {ActionState.APPLIED}


class SlowLogs:
    """A cluster whose kubelets answer late: once the pod is isolated."""

    def __init__(self, cluster: Any) -> None:
        self._cluster, self._has_acted = cluster, threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def patch(self, *args: Any, **kwargs: Any) -> Any:
        patched = self._cluster.patch(*args, **kwargs)
        if not kwargs.get("dry_run"):
            self._has_acted.set()
        return patched

    def pod_logs(self, *args: Any, **kwargs: Any) -> str:
        self._has_acted.wait(30)
        return str(self._cluster.pod_logs(*args, **kwargs))


def test_a_slow_log_does_not_hold_containment_up_and_is_kept_all_the_same(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(replicas=3))
    event = answers_badly(ref, ns.pods()[:1])
    slow: Any = SlowLogs(live.cluster)
    notes = contain(event, Ports("default", slow, None, None))
    kinds = [note.kind for note in notes]
    assert kinds.index("evidence-saved") < kinds.index("contained") < kinds.index("evidence-added")
    (saved,) = [note for note in notes if note.kind == "evidence-saved"]
    assert saved.data["logs"] == {}
    (added,) = [note for note in notes if note.kind == "evidence-added"]
    assert "web" in added.data["logs"]


@pytest.mark.usefixtures("logs_are_waited_for")
def test_of_a_container_that_has_restarted_both_logs_are_kept(live: Live, ns: Namespace) -> None:
    ref = ns.deployment(command=["sh", "-c", "echo first words; exit 3"])
    until(lambda: ns.waits_with("CrashLoopBackOff"), "a crash loop", 60)
    from tests.actions import events

    notes = contain(events.event(ref, subject=ObjectRef.of(ns.pods()[0], "Pod")), live.ports)
    saved = next(note for note in notes if note.kind == "evidence-saved")
    assert set(saved.data["logs"]) == {"web", "web (previous)"}
    assert "first words" in saved.data["logs"]["web (previous)"]["text"]
