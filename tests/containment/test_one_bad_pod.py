"""One pod of several goes bad in a shop with users: seen, isolated, named, replaced, and nothing of ours is left.

Everything is real but the queue: the watcher that polls Prometheus, the engine, and the phases one after another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from healing import containment, diagnosis, handlers
from healing.detection.leader import Timing
from healing.detection.watcher import Options, Watcher
from healing.lifecycle import Outcome, Phase
from healing.models import ActionRun, HealingEvent, Isolation
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.live import Live, running, until
from tests.actions.story import Story
from tests.detection.watching import at_work
from tests.parts.kubectl import Kubectl

# The first test waits for half a minute of history too.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

NAMESPACE = "shop"
QUICK: dict[str, Any] = {
    "thresholds": {"forSeconds": 5, "latencyMs": 800},
    "verification": {"timeoutSeconds": 60, "stableSeconds": 1},
    "approval": {"mode": "never"},
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The shop with its users, and with a past to compare the present with."""
    with running(tmp_path_factory.mktemp("shop"), "--scenario", "shop", "--no-faults") as live:
        until(lambda: seconds_of_history(live) > 40, "there is something to compare with", 60)
        yield live


@pytest.fixture
def shop(started: Live) -> Live:
    until(lambda: health(started)["well"], "the shop is well", 60)
    return started


@pytest.fixture
def watcher(shop: Live) -> Iterator[None]:
    options = Options(lease_namespace=NAMESPACE, policy_namespaces=(NAMESPACE,), timing=Timing(3.0, 2.0, 0.2))
    with at_work(Watcher(shop.ports, options)):
        yield


def seconds_of_history(live: Live) -> float:
    found = live.metrics.query(f'count_over_time(http_requests_total{{namespace="{NAMESPACE}"}}[5m:5s])')
    return 5.0 * max((sample.value for sample in found), default=0.0)


def health(live: Live) -> dict[str, Any]:
    return dict(httpx.get(f"{live.url}/sandbox/v1/health", timeout=60).raise_for_status().json())


def is_well(live: Live, name: str) -> bool:
    state = health(live)
    found = [e for e in (*state["services"], *state["workloads"]) if name in (e.get("service"), e.get("name"))]
    assert len(found) == 2
    return all(e["well"] for e in found)


def inject(live: Live, fault: str, **params: Any) -> None:
    body = {"fault": fault, "params": {"namespace": NAMESPACE, **params}}
    httpx.post(f"{live.url}/sandbox/v1/faults", json=body, timeout=60).raise_for_status()


def pods_of(live: Live, app: str) -> list[str]:
    found = live.cluster.list("Pod", NAMESPACE, label_selector=f"app={app}").items
    return sorted(pod["metadata"]["name"] for pod in found if "deletionTimestamp" not in pod["metadata"])


def labelled(live: Live, kind: str, label: str) -> list[str]:
    return [obj["metadata"]["name"] for obj in live.cluster.list(kind, NAMESPACE, label_selector=label).items]


def addresses(live: Live, service: str) -> set[str]:
    slices = live.cluster.list("EndpointSlice", NAMESPACE, label_selector=f"kubernetes.io/service-name={service}").items
    return {
        endpoint["targetRef"]["name"]
        for item in slices
        for endpoint in item.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
    }


def event_about(name: str, symptoms: set[str]) -> HealingEvent:
    """Of that workload, with one of the symptoms among its signals."""

    def found() -> HealingEvent | None:
        for event in HealingEvent.objects.filter(target_name=name, finished_at=None):
            if symptoms & {s.get("symptom") for s in event.signals}:
                return event
        return None

    event = until(found, f"an event about {name}", 90)
    assert event is not None
    return event


def story_of(live: Live, event: HealingEvent) -> Story:
    """With the real diagnosis and the real end."""
    told = Story(event, live.ports)
    told.handlers[Phase.DIAGNOSING] = diagnosis.run
    told.handlers[Phase.LEARNING] = handlers.HANDLERS[Phase.LEARNING]
    return told


@pytest.mark.parametrize(
    ("fault", "params", "app", "symptom"),
    [
        ("errors", {"error_rate": 0.9}, "cart", "HighErrorRate"),
        ("slow-dependency", {"seconds": 2.5}, "catalog", "HighLatency"),
    ],
)
def test_the_bad_pod_is_isolated_replaced_and_nothing_is_left(
    shop: Live, watcher: None, fault: str, params: dict[str, Any], app: str, symptom: str
) -> None:
    events.policy(NAMESPACE, **QUICK)
    bad, *others = pods_of(shop, app)
    inject(shop, fault, workload=app, pods=1, scope="pod", **params)
    until(lambda: not is_well(shop, app), "callers feel it")
    event = event_about(app, {symptom})
    assert event.subject["name"] == bad, event.message
    told = story_of(shop, event)

    told.until(Phase.DIAGNOSING)
    kinds = told.kinds()
    assert kinds.index("evidence-saved") < kinds.index("contained"), told.told
    until(lambda: addresses(shop, app) and bad not in addresses(shop, app), "no traffic to the pod")
    until(lambda: is_well(shop, app), "the service is well again")
    kubectl = Kubectl(shop.kubeconfig)
    [policy] = json.loads(kubectl("get", "networkpolicy", "-n", NAMESPACE, "-l", "recist.io/event", "-o", "json"))[
        "items"
    ]
    selector = ",".join(f"{key}={value}" for key, value in policy["spec"]["podSelector"]["matchLabels"].items())
    assert kubectl("get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "name").split() == [f"pod/{bad}"]
    assert set(others) < set(pods_of(shop, app))

    told.until(Phase.PLANNING)
    assert (told.event.cause, told.event.cause_object["name"]) == ("FaultyPod", app), told.told
    told.through(120)
    assert told.event.outcome == Outcome.HEALED, told.told
    carried_out = ActionRun.objects.filter(event=event, strategy__isnull=False)
    assert [(row.action, row.target["name"]) for row in carried_out] == [("release", bad)], told.told
    assert is_well(shop, app)
    until(
        lambda: not shop.cluster.list("NetworkPolicy", NAMESPACE, label_selector="recist.io/event").items, "no policy"
    )
    until(lambda: not shop.cluster.list("Pod", NAMESPACE, label_selector="recist.io/quarantine").items, "no pod")
    assert not Isolation.objects.filter(released_at=None).exists()
    assert bad not in pods_of(shop, app)
    assert len(pods_of(shop, app)) == len(others) + 1


def test_the_last_ready_pod_is_not_isolated_and_that_is_said(shop: Live, watcher: None) -> None:
    shop.cluster.patch("Deployment", NAMESPACE, "cart", {"spec": {"replicas": 1}})
    until(lambda: len(shop.cluster.list("Pod", NAMESPACE, label_selector="app=cart").items) == 1, "one replica", 60)
    events.policy(NAMESPACE, **QUICK)
    [only] = pods_of(shop, "cart")
    inject(shop, "errors", workload="cart", error_rate=0.9, pods=1, scope="pod")
    event = event_about("cart", {"HighErrorRate"})
    assert not event.subject
    told = story_of(shop, event)
    told.until(Phase.DIAGNOSING)
    assert "not-contained" in told.kinds(), told.told
    assert "No pod is isolated" in told.told
    # Even where a signal names the pod, it is the last one.
    named = ObjectRef.of(shop.cluster.get("Pod", NAMESPACE, only), "Pod")
    HealingEvent.objects.filter(pk=event.pk).update(
        signals=[{"symptom": "HighErrorRate", "subject": named.as_json()}], subject=named.as_json()
    )
    event.refresh_from_db()
    notes: list[Any] = []
    notes += containment.run(events.context(event, shop.ports, notes)).notes
    assert any("all that serve show it" in note.message for note in notes)
    assert only in addresses(shop, "cart")
    assert not Isolation.objects.exists()
    assert not labelled(shop, "NetworkPolicy", "recist.io/event")
