"""Reading events, and reporting a fault by hand."""

from __future__ import annotations

from typing import Any

import pytest

from healing.models import HealingEvent, TimelineEntry
from healing.ports import Ports
from healing.ports.errors import NotFound, Unavailable
from tests.api.conftest import Caller

Told = dict[str, HealingEvent]


def test_events_come_newest_first_a_page_at_a_time(as_vera: Caller, told: Told) -> None:
    names: list[str] = []
    cursor = ""
    for _ in range(20):
        status, page = as_vera("get", f"/events?limit=2&cursor={cursor}")
        assert status == 200
        names += [item["name"] for item in page["items"]]
        if (cursor := page["next"] or "") == "":
            break
    wanted = HealingEvent.objects.order_by("-detected_at", "-pk").values_list("name", flat=True)
    assert names == list(wanted)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("outcome=healed", {"healed", "healed-low", "healed-yesterday"}),
        ("phase=AwaitingApproval", {"waiting", "waiting-high"}),
        ("namespace=media", {"escalated", "healed-yesterday"}),
        ("text=rollout%20orders", {"waiting"}),
        ("text=nothing-like-it", set()),
        ("namespace=media&outcome=escalated", {"escalated"}),
    ],
)
def test_events_can_be_filtered(as_vera: Caller, told: Told, query: str, expected: set[str]) -> None:
    _, page = as_vera("get", f"/events?{query}")
    assert {item["name"] for item in page["items"]} == {told[name].name for name in expected}


@pytest.mark.parametrize(
    "query",
    [
        "phase=Nowhere",
        "outcome=well",
        "limit=0",
        "limit=201",
        "limit=x",
        "text=%00",
        "cursor=!!",
        "cursor=W10",
        "cursor=WyIyMDMxLTAxLTAxVDAwOjAwOjAwIiwgMV0",
        f"cursor={'x' * 301}",
    ],
)
def test_filters_that_mean_nothing_are_refused(as_vera: Caller, query: str) -> None:
    status, problem = as_vera("get", f"/events?{query}")
    assert (status, problem["type"]) == (422, "invalid")
    assert problem["detail"]


def test_an_event_tells_everything(as_vera: Caller, told: Told) -> None:
    event = told["healed"]
    status, detail = as_vera("get", f"/events/{event.name}")
    assert status == 200
    assert detail["target"] == {"kind": "Deployment", "namespace": "shop", "name": "payments"}
    assert [clock["phase"] for clock in detail["phases"]] == ["Containment", "Diagnosis", "MetaCognition", "Knowledge"]
    assert detail["phases"][1]["elapsedSeconds"] == pytest.approx(6.4, abs=0.5)
    assert detail["phases"][2]["waitedSeconds"] == pytest.approx(48, abs=1), "the person's time is kept apart"
    assert detail["healingSeconds"] < 30
    assert [entry["seq"] for entry in detail["timeline"]] == list(range(1, event.seq + 1))
    assert detail["diagnosis"]["findings"][0]["cause"] == "BadRollout"
    assert detail["approvals"][0]["decidedBy"] == "alice"
    assert detail["actions"][0]["diff"][0]["path"].endswith("image")
    assert detail["strategies"][0]["steps"][0]["plan"]["changes"]


@pytest.mark.parametrize("name", ["he-nothing", "%00", "..", "%F0%9F%92%A9"])
def test_what_is_not_there_is_a_404(as_vera: Caller, name: str) -> None:
    assert as_vera("get", f"/events/{name}")[0] == 404


class OneDeployment:
    """A cluster with the Deployment shop/orders, or none that answers."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def get(self, kind: str, namespace: str, name: str, **_: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        if (kind, namespace, name) != ("Deployment", "shop", "orders"):
            raise NotFound("no such object")
        return {"kind": kind, "metadata": {"name": name, "namespace": namespace, "uid": "u-1", "labels": {"app": "x"}}}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> OneDeployment:
    found = OneDeployment()
    monkeypatch.setattr("healing.api.events.get_ports", lambda name: Ports(name, found))  # type: ignore[arg-type]
    return found


REPORT = {"target": {"kind": "Deployment", "namespace": "shop", "name": "orders"}, "message": "customers see errors"}


def test_a_person_reports_a_fault(as_admin: Caller, cluster: OneDeployment) -> None:
    from tests.dashboard import story

    story.policy()
    status, event = as_admin("post", "/events", REPORT)
    assert status == 201
    assert (event["phase"], event["target"]["name"]) == ("Pending", "orders")
    row = HealingEvent.objects.get(name=event["name"])
    assert (row.source, row.target_uid) == ("person", "u-1")
    assert "root" in TimelineEntry.objects.get(event=row).message
    assert as_admin("post", "/events", REPORT)[0] == 200, "the same fault is one event"
    assert HealingEvent.objects.count() == 1


def test_a_report_that_cannot_be_acted_on_is_refused(as_admin: Caller, cluster: OneDeployment) -> None:
    status, problem = as_admin("post", "/events", REPORT)
    assert (status, problem["type"]) == (422, "not-covered")
    assert "shop" in problem["detail"]
    unknown = {**REPORT, "target": {"kind": "Deployment", "namespace": "shop", "name": "gone"}}
    assert as_admin("post", "/events", unknown)[0] == 404
    cluster.error = Unavailable("connection refused")
    status, problem = as_admin("post", "/events", REPORT)
    assert (status, problem["type"]) == (503, "cluster-unavailable")
    assert not HealingEvent.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"message": ""}, "message"),
        ({"severity": "awful"}, "severity"),
        ({"color": "red"}, "color"),
        ({"target": {"kind": "Deployment"}}, "target.name"),
        ({"target": {"kind": "Secret", "namespace": "shop", "name": "x"}}, "target.kind"),
        ({"target": {"kind": "Deployment", "name": "x"}}, "target.namespace"),
        ({"target": {"kind": "Node", "namespace": "shop", "name": "x"}}, "target.namespace"),
    ],
)
def test_a_report_says_which_field_is_wrong(as_admin: Caller, change: dict[str, Any], field: str) -> None:
    status, problem = as_admin("post", "/events", {**REPORT, **change})
    assert status == 422
    assert field in problem["detail"]


def test_viewers_cannot_report(as_vera: Caller, cluster: OneDeployment) -> None:
    assert as_vera("post", "/events", REPORT)[0] == 403
