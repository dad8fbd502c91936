"""HealingEvent resources against the sandbox's API."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.utils import timezone

from healing import mirror, retention
from healing.cluster.config import ClusterConfig
from healing.cluster.crds import DIRECTORY
from healing.cluster.kubernetes import KubernetesCluster
from healing.engine import open_event
from healing.faults import Fault, Severity, SignalSource
from healing.lifecycle import Outcome, Phase
from healing.models import HealingEvent, TimelineEntry
from healing.policies.crds import definitions
from healing.ports import Ports
from healing.ports.cluster import ObjectRef
from healing.ports.errors import NotFound
from tests.cluster.sandbox import RunningSandbox
from tests.cluster.server import Answer, running
from tests.parts.kubectl import Kubectl

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh() -> None:
    cache.clear()
    mirror._paused_until.clear()


def event_in(namespace: str, kind: str = "Deployment") -> HealingEvent:
    fault = Fault(
        cluster="default",
        target=ObjectRef(kind, namespace if kind != "Node" else "", "web", "u-1"),
        symptom="CrashLoopBackOff",
        message="Container api keeps crashing.",
        severity=Severity.HIGH,
        source=SignalSource.WATCH,
        observed_at=timezone.now(),
        subject=ObjectRef("Pod", namespace, "web-1", "u-2"),
    )
    event, is_new = open_event(fault, None)
    assert is_new
    return event


def test_a_row_becomes_a_resource_and_follows_it_to_its_end(live: KubernetesCluster, namespace: str) -> None:
    event, ports = event_in(namespace), Ports("default", live)
    assert mirror.mirror_event(event.pk, ports)
    found = live.get("HealingEvent", namespace, event.name)
    assert found["spec"]["target"] == {"kind": "Deployment", "namespace": namespace, "name": "web", "uid": "u-1"}
    assert found["status"]["phase"] == "Pending"
    assert found["status"]["reason"] == "CrashLoopBackOff"
    assert found["status"]["timeline"][0]["message"] == "Container api keeps crashing."
    assert HealingEvent.objects.get(pk=event.pk).mirrored_seq == event.seq

    now = timezone.now()
    TimelineEntry.objects.create(
        event=event, seq=2, at=now, phase=Phase.LEARNING, kind="healed", message="It is healed."
    )
    HealingEvent.objects.filter(pk=event.pk).update(
        seq=2,
        phase=Phase.COMPLETED,
        outcome=Outcome.HEALED,
        cause="BadRolloutRevision",
        confidence=0.9,
        finished_at=event.detected_at + timedelta(seconds=40),
        waited_seconds=8,
    )
    assert mirror.mirror_event(event.pk, ports)
    status = live.get("HealingEvent", namespace, event.name)["status"]
    assert (status["phase"], status["outcome"], status["reason"]) == ("Completed", "healed", "BadRolloutRevision")
    assert (status["duration"], status["durationSeconds"], status["waitedSeconds"]) == ("32s", 32, 8)
    assert [entry["seq"] for entry in status["timeline"]] == [1, 2]
    assert {c["type"]: c["status"] for c in status["conditions"]}["Healed"] == "True"


def test_an_event_of_a_node_is_kept_in_our_own_namespace(
    live: KubernetesCluster, namespace: str, settings: Any
) -> None:
    settings.POD_NAMESPACE = namespace
    event = event_in(namespace, kind="Node")
    assert mirror.mirror_event(event.pk, Ports("default", live))
    assert live.get("HealingEvent", namespace, event.name)["status"]["target"] == "Node web"


def test_writing_twice_costs_nothing_and_what_was_deleted_is_rebuilt(live: KubernetesCluster, namespace: str) -> None:
    event, ports = event_in(namespace), Ports("default", live)
    mirror.mirror_event(event.pk, ports)
    version = live.get("HealingEvent", namespace, event.name)["metadata"]["resourceVersion"]
    assert mirror.mirror_event(event.pk, ports)
    assert live.get("HealingEvent", namespace, event.name)["metadata"]["resourceVersion"] == version
    live.delete("HealingEvent", namespace, event.name)
    HealingEvent.objects.update(mirrored_seq=-1)
    assert mirror.mirror_event(event.pk, ports)
    assert live.get("HealingEvent", namespace, event.name)["status"]["phase"] == "Pending"


def test_an_older_writer_does_not_have_the_last_word(live: KubernetesCluster, namespace: str) -> None:
    event = event_in(namespace)

    class Slow:
        """While our first write is under way, another worker writes something newer."""

        first = True

        def __getattr__(self, name: str) -> Any:
            return getattr(live, name)

        def patch(self, *args: Any, **options: Any) -> Any:
            if self.first:
                self.first = False
                HealingEvent.objects.filter(pk=event.pk).update(seq=2, mirrored_seq=2, phase=Phase.DIAGNOSING)
            return live.patch(*args, **options)

    assert mirror.mirror_event(event.pk, Ports("default", Slow()))
    assert live.get("HealingEvent", namespace, event.name)["status"]["phase"] == "Diagnosing"


def test_a_cluster_without_our_types_or_rights_is_left_alone_for_a_while(tmp_path: Path) -> None:
    event = event_in("shop")
    with running() as server:
        cluster = KubernetesCluster(ClusterConfig(server.kubeconfig(tmp_path)))
        for answer in (Answer(404, "404 page not found", "text/plain"), Answer(403, {"message": "no"})):
            server.answer(answer)
            mirror._paused_until.clear()
            assert not mirror.mirror_event(event.pk, Ports("default", cluster))
            asked = len(server.requests)
            assert not mirror.mirror_event(event.pk, Ports("default", cluster))
            assert len(server.requests) == asked
        cluster.close()
    assert HealingEvent.objects.get(pk=event.pk).mirrored_seq < event.seq


def test_the_sweep_asks_for_what_lags_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    event = event_in("shop")
    sent: list[int] = []
    monkeypatch.setattr("healing.dispatch.send_mirror", sent.append)
    assert mirror.sweep(["default"]) == 1
    assert sent == [event.pk]
    assert mirror.sweep(["default"]) == 0  # not again within seconds
    cache.clear()
    HealingEvent.objects.update(mirrored_seq=event.seq)
    assert mirror.sweep(["default"]) == 0


def test_a_namespace_that_is_gone_is_no_crash(sandbox: RunningSandbox, live: KubernetesCluster) -> None:
    event = event_in("never-made")
    assert mirror.mirror_event(event.pk, Ports("default", live))
    with pytest.raises(NotFound):
        live.get("HealingEvent", "never-made", event.name)
    assert not mirror._paused_until  # the others go on
    assert HealingEvent.objects.get(pk=event.pk).mirrored_seq == event.seq


def test_the_shipped_definitions_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("crds", "--check")
    for name, definition in definitions().items():
        assert yaml.safe_load((DIRECTORY / name).read_text()) == definition
    stale = DIRECTORY / "healingevents.yaml"
    before = stale.read_text()
    try:
        stale.write_text(before + "# changed\n")
        with pytest.raises(CommandError, match=r"healingevents.yaml; run manage.py crds"):
            call_command("crds", "--check")
    finally:
        stale.write_text(before)


def test_what_kubectl_prints(sandbox: RunningSandbox, live: KubernetesCluster, namespace: str) -> None:
    event = event_in(namespace)
    mirror.mirror_event(event.pk, Ports("default", live))
    lines = Kubectl(sandbox.kubeconfig)("get", "he", "-n", namespace).splitlines()
    assert lines[0].split() == ["NAME", "PHASE", "TARGET", "REASON", "OUTCOME", "DURATION", "AGE"]
    assert lines[1].split()[:5] == [event.name, "Pending", "Deployment", f"{namespace}/web", "CrashLoopBackOff"]


def ended_long_ago(event: HealingEvent) -> None:
    ended = timezone.now() - timedelta(days=400)
    HealingEvent.objects.filter(pk=event.pk).update(finished_at=ended, phase=Phase.COMPLETED, status="done")


def test_what_retention_forgets_takes_its_resource_along_and_no_other(live: KubernetesCluster, namespace: str) -> None:
    ports = Ports("default", live)
    old = event_in(namespace)
    assert mirror.mirror_event(old.pk, ports)
    ended_long_ago(old)
    young = event_in(namespace, "StatefulSet")
    assert mirror.mirror_event(young.pk, ports)
    assert retention.prune(timezone.now(), ports_of=lambda _: ports)["events"] == 1
    assert not HealingEvent.objects.filter(pk=old.pk).exists()
    with pytest.raises(NotFound):
        live.get("HealingEvent", namespace, old.name)
    assert live.get("HealingEvent", namespace, young.name)


@pytest.mark.parametrize("what", ["label", "cluster", "fingerprint"])
def test_a_resource_of_somebody_else_with_our_name_stays(live: KubernetesCluster, namespace: str, what: str) -> None:
    ports, event = Ports("default", live), event_in(namespace)
    foreign = mirror.resource_of(event, namespace)
    if what == "label":
        foreign["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "somebody"}
    else:
        foreign["spec"][what] = "another"
    live.create("HealingEvent", namespace, foreign)
    HealingEvent.objects.filter(pk=event.pk).update(mirrored_seq=1)
    ended_long_ago(event)
    assert retention.prune(timezone.now(), ports_of=lambda _: ports)["events"] == 1
    assert live.get("HealingEvent", namespace, event.name)["spec"] == foreign["spec"]
