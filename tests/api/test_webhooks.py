"""Alertmanager's deliveries, as they were recorded, against a real API server."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from hypothesis import given, settings as hypothesis_settings, strategies as st
from pydantic import ValidationError

from healing import api_tokens as tokens
from healing.api import limits
from healing.audit import Actor
from healing.detection import alert_matching, alertmanager
from healing.metacognition import health
from healing.models import HealingEvent, Policy, ReceivedAlert, TimelineEntry
from healing.ports import Ports
from healing.ports.errors import Unavailable
from recist_web.environment import PROJECT_DIR
from tests.actions.live import Live, Namespace, live, ns
from tests.api.conftest import Caller

__all__ = ["live", "ns"]

URL = "/api/v1/webhooks/alertmanager"
RECORDED = PROJECT_DIR / "tests" / "recordings" / "alertmanager"
Deliver = Callable[..., tuple[int, Any]]


def recorded(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RECORDED / f"webhook-{name}.json").read_text())
    return dict(content["request"]["body"])


@pytest.fixture
def root() -> User:
    return User.objects.create_superuser("alerts-root", password="x")


@pytest.fixture
def deliver(root: User) -> Deliver:
    """Delivers as Alertmanager does: with a token of the scope for it."""
    _, token = tokens.create(root, name="alertmanager", scopes=["webhooks"], expires_at=None, actor=Actor.system("t"))
    client = Client()

    def send(body: object, query: str = "", token: str = token) -> tuple[int, Any]:
        answer = client.post(
            f"{URL}{query}", body, content_type="application/json", headers={"Authorization": f"Bearer {token}"}
        )
        return answer.status_code, answer.json()

    return send


def alert(name: str = "HighErrorRate", *, status: str = "firing", **labels: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "status": status,
        "labels": {"alertname": name, "severity": "critical", **labels},
        "annotations": {"summary": f"{name} fires"},
        "startsAt": (now - timedelta(minutes=1)).isoformat(),
        "endsAt": now.isoformat() if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph",
        "fingerprint": f"{abs(hash((name, *sorted(labels.items())))):x}"[:16],
    }


def payload(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {"version": "4", "status": "firing", "receiver": "hook", "groupKey": "{}", "alerts": list(alerts)}


def ended(body: dict[str, Any]) -> dict[str, Any]:
    body = copy.deepcopy(body)
    for one in body["alerts"]:
        one.update(status="resolved", endsAt=datetime.now(UTC).isoformat())
    return body


@pytest.mark.both_databases
def test_recorded_deliveries_are_kept_once_and_their_end_is_seen(deliver: Deliver) -> None:
    names = sorted(path.name[len("webhook-") : -len("-firing.json")] for path in RECORDED.glob("webhook-*-firing.json"))
    assert names
    for name in names:
        firing, resolved = recorded(f"{name}-firing"), recorded(f"{name}-resolved")
        count = len(firing["alerts"])
        assert deliver(firing) == (202, {"received": count, "new": count, "changed": 0})
        assert deliver(firing) == (202, {"received": count, "new": 0, "changed": 0})
        keys = {(a["fingerprint"], a["startsAt"]) for a in firing["alerts"]}
        same = sum((a["fingerprint"], a["startsAt"]) in keys for a in resolved["alerts"])
        assert deliver(resolved)[1]["changed"] == same
        assert deliver(resolved)[1]["changed"] == 0
    assert ReceivedAlert.objects.filter(cluster="default").count() == ReceivedAlert.objects.count()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": "3"}, "version"),
        ({"alerts": "many"}, "alerts"),
        ({"alerts": [{}]}, "alerts.0.status"),
        ({"alerts": [{**alert(), "startsAt": "yesterday"}]}, "alerts.0.startsAt"),
        ({"alerts": [{**alert(), "labels": {"a": 1}}]}, "alerts.0.labels.a"),
        ({"alerts": [{**alert(), "fingerprint": "../x"}]}, "alerts.0.fingerprint"),
        ({"alerts": [alert(), {**alert(), "status": "perhaps"}]}, "alerts.1.status"),
    ],
)
def test_a_bad_delivery_is_refused_with_the_field(deliver: Deliver, change: dict[str, Any], field: str) -> None:
    status, problem = deliver({**payload(alert()), **change})
    assert (status, problem["type"]) == (422, "invalid")
    assert field in [error["field"] for error in problem["errors"]]
    assert not ReceivedAlert.objects.exists()


def test_what_is_too_large_is_refused(deliver: Deliver) -> None:
    assert deliver(payload(*[alert(pod=f"p-{n}") for n in range(alertmanager.MAX_ALERTS + 1)]))[0] == 422
    assert deliver(payload({**alert(), "annotations": {"x" * 10: "y" * 3_000_000}}))[0] == 413


def test_only_a_token_for_webhooks_delivers(deliver: Deliver, root: User, as_vera: Caller, as_nobody: Caller) -> None:
    actor = Actor.system("t")
    assert as_nobody("post", "/webhooks/alertmanager", payload(alert()))[0] == 401
    assert as_vera("post", "/webhooks/alertmanager", payload(alert()))[0] == 403
    _, reader = tokens.create(root, name="reader", scopes=["read", "admin"], expires_at=None, actor=actor)
    assert deliver(payload(alert()), token=reader)[0] == 403
    assert deliver(payload(alert()), token="recist_wrong")[0] == 401
    row, old = tokens.create(root, name="old", scopes=["webhooks"], expires_at=None, actor=actor)
    tokens.revoke(row, actor=actor)
    assert deliver(payload(alert()), token=old)[0] == 401
    assert not ReceivedAlert.objects.exists()


def test_deliveries_are_limited(deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WEBHOOKS_A_MINUTE", 2)
    assert 429 in [deliver(payload(alert()))[0] for _ in range(6)]


def test_the_cluster_is_the_one_that_is_named(deliver: Deliver, settings: Any) -> None:
    settings.CLUSTERS = {"default": None, "eu": None}
    deliver(payload(alert(cluster="eu", pod="a"), alert(cluster="nobody-knows", pod="b")))
    assert set(ReceivedAlert.objects.values_list("labels__pod", "cluster")) == {("a", "eu"), ("b", "default")}
    deliver(payload(alert(cluster="nobody-knows", pod="c")), "?cluster=eu")
    assert ReceivedAlert.objects.get(labels__pod="c").cluster == "eu"
    status, problem = deliver(payload(alert()), "?cluster=mars")
    assert (status, "mars" in problem["detail"]) == (422, True)


def test_what_tells_of_no_fault_is_kept_and_left_alone(deliver: Deliver) -> None:
    deliver(payload(alert("Watchdog"), alert("SomethingNice", severity="info")))
    assert {row.state for row in ReceivedAlert.objects.all()} == {"ignored"}
    assert alert_matching.clusters_with_alerts() == set()


# --- what alerts are about -------------------------------------------------------------------------------------------


@pytest.fixture
def policy(ns: Namespace) -> Policy:
    spec = {"targetNamespaces": [ns.name]}
    return Policy.objects.create(cluster="default", namespace=ns.name, name="all", spec=spec)


def match(live: Live) -> None:
    ReceivedAlert.objects.exclude(look_at=None).update(look_at=datetime.now(UTC))
    alert_matching.match_due("default", lambda name: live.ports)


def pods_of(live: Live, namespace: str, deadline_seconds: float = 60) -> list[dict[str, Any]]:
    until = time.monotonic() + deadline_seconds
    while time.monotonic() < until:
        if found := live.cluster.list("Pod", namespace).items:
            return found
        time.sleep(0.1)
    raise AssertionError("no pod came")


def test_a_pods_alert_opens_an_event_of_its_workload(
    deliver: Deliver, live: Live, ns: Namespace, policy: Policy
) -> None:
    ns.deployment("cart")
    pod = pods_of(live, ns.name)[0]["metadata"]["name"]
    body = payload(alert("KubePodCrashLooping", namespace=ns.name, pod=pod, container="web"))
    deliver(body)
    match(live)
    row = ReceivedAlert.objects.get()
    event = HealingEvent.objects.get()
    assert (row.state, row.event, row.target["name"]) == ("matched", event, "cart")
    assert (event.target_kind, event.target_name, event.symptom) == ("Deployment", "cart", "KubePodCrashLooping")
    assert (event.source, event.severity, event.subject["name"]) == ("alert", "critical", pod)
    deliver(body)
    match(live)
    assert HealingEvent.objects.get().occurrences == 1, "delivering the same again changes nothing"
    deliver(ended(body))
    match(live)
    match(live)
    told = TimelineEntry.objects.filter(event=event, kind="alert-resolved")
    assert [entry.message.startswith("Alertmanager says that KubePodCrashLooping is over") for entry in told] == [True]


def test_another_alert_joins_the_event_that_is_open(
    deliver: Deliver, live: Live, ns: Namespace, policy: Policy
) -> None:
    ns.deployment("cart")
    deliver(payload(alert("HighErrorRate", namespace=ns.name, deployment="cart")))
    match(live)
    deliver(payload(alert("HighLatency", namespace=ns.name, service="prometheus", deployment="cart")))
    match(live)
    event = HealingEvent.objects.get()
    assert {signal["symptom"] for signal in event.signals} == {"HighErrorRate", "HighLatency"}
    assert event.alerts.count() == 2


@pytest.mark.parametrize(
    "labels",
    [
        {"pod": "cart-75bcff9d7-phbfs"},
        {"exported_pod": "cart-75bcff9d7-phbfs", "pod": "kube-state-metrics-0"},
        {"deployment": "cart", "pod": "kube-state-metrics-0", "service": "kube-state-metrics"},
        {"workload": "cart"},
        {"app": "cart"},
    ],
)
def test_names_lead_to_the_workload(
    deliver: Deliver, live: Live, ns: Namespace, policy: Policy, labels: dict[str, str]
) -> None:
    """A pod that is gone, one that an exporter added, labels of other tools."""
    ns.deployment("cart")
    deliver(payload(alert("SomethingIsWrong", namespace=ns.name, **labels)))
    match(live)
    assert ReceivedAlert.objects.get().target["name"] == "cart"


def test_nodes_by_name_and_by_instance(deliver: Deliver, live: Live, ns: Namespace, policy: Policy) -> None:
    node = live.cluster.list("Node").items[0]["metadata"]["name"]
    deliver(payload(alert("NodeClockSkew", instance=f"{node}:9100"), alert("NodeDiskFull", node=node)))
    match(live)
    assert {row.target["name"] for row in ReceivedAlert.objects.all()} == {node}


def test_what_is_not_there_is_kept_and_found_later(
    deliver: Deliver, live: Live, ns: Namespace, policy: Policy, as_admin: Caller
) -> None:
    body = payload(alert("DatabaseSlow", namespace=ns.name, deployment="db"))
    deliver(body)
    match(live)
    _, listed = as_admin("get", "/webhooks/alerts?state=unmatched")
    (item,) = listed["items"]
    assert item["name"] == "DatabaseSlow"
    assert f"deployment=db, namespace={ns.name}" in item["reason"]
    ns.deployment("db")
    deliver(body)
    match(live)
    assert ReceivedAlert.objects.get().state == "matched"


def test_without_a_policy_it_says_so(deliver: Deliver, live: Live, ns: Namespace) -> None:
    ns.deployment("cart")
    deliver(payload(alert(namespace=ns.name, deployment="cart")))
    match(live)
    row = ReceivedAlert.objects.get()
    assert (row.state, "No enabled policy covers" in row.reason) == ("uncovered", True)
    assert not HealingEvent.objects.exists()


def test_a_cluster_that_is_away_is_asked_later(deliver: Deliver, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def get(self, *_: Any, **__: Any) -> Any:
            raise Unavailable("connection refused")

    deliver(payload(alert(namespace="shop", deployment="cart")))
    alert_matching.match_due("default", lambda name: Ports(name, Away()))  # type: ignore[arg-type]
    row = ReceivedAlert.objects.get()
    assert row.state == "pending"
    assert row.look_at is not None
    assert row.look_at > datetime.now(UTC)
    assert "connection refused" in row.reason


def test_an_end_is_evidence_of_recovery(deliver: Deliver, live: Live, ns: Namespace, policy: Policy) -> None:
    ns.deployment("cart")
    body = payload(alert("QueueTooLong", namespace=ns.name, deployment="cart"))
    deliver(body)
    match(live)
    event, later = HealingEvent.objects.get(), datetime.now(UTC)
    until = time.monotonic() + 60
    while not _looked_at(event, live, later).is_well and time.monotonic() < until:
        time.sleep(0.2)
    assert health.recovered(event, live.ports, later, timeout_seconds=4) is None, "the alert still fires"
    deliver(ended(body))
    gone = health.recovered(event, live.ports, later, timeout_seconds=4)
    assert "alert QueueTooLong is resolved" in str(gone)


def _looked_at(event: HealingEvent, live: Live, now: datetime) -> health.Health:
    since = now - timedelta(seconds=60)
    return health.examine(event, event.policy_spec, live.ports, since=since, now=now, timeout_seconds=4)


def test_many_alerts_at_once_are_a_few_statements(deliver: Deliver, django_assert_max_num_queries: Any) -> None:
    body = payload(*[alert(namespace="shop", pod=f"p-{n}") for n in range(500)])
    with django_assert_max_num_queries(30):
        assert deliver(body)[1]["new"] == 500
    with django_assert_max_num_queries(30):
        assert deliver(body)[1]["new"] == 0


# --- whatever comes --------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)


@given(body=JSON, field=st.sampled_from(["status", "labels", "annotations", "startsAt", "endsAt", "fingerprint"]))
@hypothesis_settings(max_examples=150, deadline=None)
def test_no_payload_ends_in_anything_but_a_refusal(body: Any, field: str) -> None:
    for candidate in (body, payload({**alert(), field: body})):
        try:
            parsed = alertmanager.Payload.model_validate(candidate)
        except ValidationError:
            continue
        for one in parsed.alerts:
            assert alert_matching.symptom_of(one.labels.get("alertname", ""))
            list(alert_matching._candidates(one.labels))
