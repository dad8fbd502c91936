"""The whole watcher against the sandbox's API and the database: from a mistake in the cluster to an open event."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections
from django.utils import timezone

from healing.cluster.kubernetes import KubernetesCluster
from healing.cluster.prometheus import Prometheus
from healing.detection import heartbeat
from healing.detection.leader import Timing
from healing.detection.watcher import Options, Watcher
from healing.lifecycle import Outcome, Phase, Status
from healing.models import HealingEvent, Policy
from healing.ports import Ports
from healing.ports.cluster import Object
from tests.cluster.sandbox import RunningSandbox, eventually
from tests.detection.watching import at_work
from tests.parts.crowd import crowding

pytestmark = pytest.mark.django_db(transaction=True)
TIMING = Timing(lease_seconds=3.0, renew_within_seconds=2.0, retry_seconds=0.2)


@pytest.fixture
def watcher(sandbox: RunningSandbox, live: KubernetesCluster, namespace: str) -> Iterator[Watcher]:
    prometheus = Prometheus(sandbox.prometheus)
    options = Options(lease_namespace=namespace, policy_namespaces=(namespace,), timing=TIMING)
    with at_work(Watcher(Ports("default", live, prometheus), options)) as watching:
        yield watching
        stopped_at = time.monotonic()
    assert time.monotonic() - stopped_at < 2.0 * crowding(), "SIGTERM has two seconds"
    prometheus.close()


def apply_policy(live: KubernetesCluster, namespace: str, **spec: object) -> None:
    body = {"metadata": {"name": "p"}, "spec": {"targetNamespaces": [namespace], **spec}}
    live.patch("SelfHealingPolicy", namespace, "p", body, patch_type="apply", force=True)


def accepted(live: KubernetesCluster, namespace: str) -> str:
    conditions = live.get("SelfHealingPolicy", namespace, "p").get("status", {}).get("conditions") or [{}]
    return str(conditions[0].get("status"))


def broken_deployment(name: str = "web", replicas: int = 1) -> Object:
    """Its ConfigMap does not exist."""
    labels = {"app": name}
    container = {
        "name": "web",
        "image": "registry.example.com/shop/web:1.0",
        "envFrom": [{"configMapRef": {"name": "not-there"}}],
    }
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def finish(event: HealingEvent, outcome: Outcome) -> None:
    HealingEvent.objects.filter(pk=event.pk).update(
        phase=Phase.COMPLETED if outcome != Outcome.ESCALATED else Phase.ESCALATED,
        status=Status.DONE,
        outcome=outcome,
        finished_at=timezone.now(),
    )


def test_a_mistake_becomes_one_event_of_its_workload(watcher: Watcher, live: KubernetesCluster, namespace: str) -> None:
    apply_policy(live, namespace, limits={"cooldownSeconds": 0})
    eventually(lambda: accepted(live, namespace) == "True")
    live.create("Deployment", namespace, broken_deployment(replicas=2))
    eventually(lambda: HealingEvent.objects.filter(target_namespace=namespace).count() == 1)
    event = HealingEvent.objects.get(target_namespace=namespace)
    assert (event.target_kind, event.target_name, event.symptom) == ("Deployment", "web", "CreateContainerConfigError")
    assert event.policy is not None
    assert event.policy_spec.target_namespaces == [namespace]
    eventually(lambda: len(HealingEvent.objects.get(pk=event.pk).signals) >= 2)  # the other pod joins it
    eventually(lambda: live.get("SelfHealingPolicy", namespace, "p")["status"]["activeHealings"] == 1)

    # A person declines: the fault still stands, and is no news.
    finish(event, Outcome.DECLINED)
    time.sleep(1.5)
    assert HealingEvent.objects.filter(target_namespace=namespace).count() == 1
    # Something changes: it is.
    labels = {"spec": {"template": {"metadata": {"annotations": {"touched": "yes"}}}}}
    live.patch("Deployment", namespace, "web", labels)
    eventually(lambda: HealingEvent.objects.filter(target_namespace=namespace).count() == 2)


def test_no_policy_no_event_until_there_is_one(watcher: Watcher, live: KubernetesCluster, namespace: str) -> None:
    live.create("Deployment", namespace, broken_deployment())
    eventually(lambda: _reported(watcher))
    assert not HealingEvent.objects.filter(target_namespace=namespace).exists()
    apply_policy(live, namespace)
    eventually(lambda: HealingEvent.objects.filter(target_namespace=namespace).exists())


def _reported(watcher: Watcher) -> bool:
    return watcher.session is not None and any(entry.is_reported for entry in watcher.session.tracker.entries())


def test_a_fault_that_was_there_before_the_watcher_is_seen(
    live: KubernetesCluster, namespace: str, request: pytest.FixtureRequest
) -> None:
    live.create("Deployment", namespace, broken_deployment())
    apply_policy(live, namespace)
    eventually(lambda: "CreateContainerConfigError" in str(live.list("Pod", namespace).items))
    request.getfixturevalue("watcher")
    eventually(lambda: HealingEvent.objects.filter(target_namespace=namespace).exists())


def test_policies_follow_their_resources(watcher: Watcher, live: KubernetesCluster, namespace: str) -> None:
    def row() -> Policy:
        return Policy.objects.get(namespace=namespace)

    apply_policy(live, namespace, thresholds={"cpu": 0.5})
    eventually(lambda: Policy.objects.filter(namespace=namespace).exists(), seconds=5 * crowding())
    assert row().parsed().thresholds.cpu == 0.5
    apply_policy(live, namespace, thresholds={"cpu": 0.6})
    eventually(lambda: row().parsed().thresholds.cpu == 0.6, seconds=2 * crowding())

    # The schema cannot know all time zones; we refuse what is none and keep what was good.
    window = "Mon-Fri 22:00-06:00 Mars/Phobos"
    apply_policy(live, namespace, thresholds={"cpu": 0.7}, limits={"freezeWindows": [window]})
    eventually(lambda: row().error, seconds=2 * crowding())
    assert "spec.limits.freezeWindows: 'Mars/Phobos' is no time zone" in row().error
    assert row().parsed().thresholds.cpu == 0.6
    eventually(lambda: accepted(live, namespace) == "False")
    status = live.get("SelfHealingPolicy", namespace, "p")["status"]
    assert status["conditions"][0]["reason"] == "InvalidSpec"
    assert "Mars/Phobos" in status["conditions"][0]["message"]
    assert status["observedGeneration"] == 3

    live.delete("SelfHealingPolicy", namespace, "p")
    eventually(lambda: not Policy.objects.filter(namespace=namespace).exists(), seconds=2 * crowding())


def test_its_sign_of_life(watcher: Watcher) -> None:
    def beat() -> heartbeat.Heartbeat | None:
        return heartbeat.read("default")

    eventually(
        lambda: (found := beat()) and found.is_leader and found.synced and found.identity == watcher.elector.identity
    )
    found = beat()
    assert found is not None
    assert found.age().total_seconds() < 5
    assert found.objects > 0


def test_the_command_stops_within_two_seconds(sandbox: RunningSandbox, namespace: str) -> None:
    settings_of_the_test = connections["default"].settings_dict
    url = f"postgres://recist@127.0.0.1:{settings_of_the_test['PORT']}/{settings_of_the_test['NAME']}"
    environment = {**os.environ, "KUBECONFIG": str(sandbox.kubeconfig), "POD_NAMESPACE": namespace}
    if connections["default"].vendor == "postgresql":
        environment["DATABASE_URL"] = url
    process = subprocess.Popen(
        [sys.executable, "manage.py", "watch"],
        env=environment,
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "leading" in line:
                break
        assert "leading" in said
        process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert any("watching ended" in line for line in process.stderr)
        assert time.monotonic() - started < 2.0 * crowding()
        assert process.wait(60) == 0  # a busy machine takes its time to tear an interpreter down
    finally:
        process.kill()
        process.wait(60)
        if process.stderr is not None:
            process.stderr.close()
