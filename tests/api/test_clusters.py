"""With several clusters: lists can be narrowed to one, and what is made or reported names its own."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from healing.models import HealingEvent, Policy
from healing.ports import Ports
from recist_web.clusters import ClusterTarget
from tests.api.conftest import Caller
from tests.api.test_events import REPORT, OneDeployment

SPEC = {"targetNamespaces": ["shop"]}


@pytest.fixture(autouse=True)
def two(settings: Settings) -> None:
    settings.CLUSTERS = {name: ClusterTarget(name) for name in ("default", "eu")}


def names(page: dict[str, Any]) -> set[str]:
    return {item["name"] for item in page["items"]}


def test_lists_can_be_narrowed_to_a_cluster(as_vera: Caller, told: dict[str, HealingEvent]) -> None:
    waiting = told["waiting"]
    HealingEvent.objects.filter(pk=waiting.pk).update(cluster="eu")
    Policy.objects.create(cluster="eu", name="of-eu", spec=SPEC)
    assert names(as_vera("get", "/events?cluster=eu")[1]) == {waiting.name}
    assert waiting.name not in names(as_vera("get", "/events?cluster=default")[1])
    assert as_vera("get", "/events?cluster=gone") == (200, {"items": [], "next": None})
    assert [item["event"] for item in as_vera("get", "/approvals?cluster=eu")[1]["items"]] == [waiting.name]
    assert waiting.name not in {item["event"] for item in as_vera("get", "/approvals?cluster=default")[1]["items"]}
    assert names(as_vera("get", "/policies?cluster=eu")[1]) == {"of-eu"}
    assert as_vera("get", "/approvals?cluster=%00")[0] == 422


def test_a_policy_is_one_clusters(as_admin: Caller) -> None:
    for cluster in ({}, {"cluster": "eu"}):
        assert as_admin("post", "/policies", {"name": "shop", "spec": SPEC, **cluster})[0] == 201
    assert as_admin("post", "/policies", {"name": "shop", "spec": SPEC, "cluster": "default"})[0] == 409
    assert set(Policy.objects.values_list("cluster", flat=True)) == {"default", "eu"}
    status, problem = as_admin("post", "/policies", {"name": "x", "spec": SPEC, "cluster": "mars"})
    assert (status, problem["type"]) == (422, "invalid")
    assert "there is no 'mars' here; there is: default, eu" in problem["detail"]


def test_a_report_names_its_cluster_and_is_judged_by_its_policies(
    as_admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ports(name: str) -> Ports:
        asked.append(name)
        return Ports(name, OneDeployment())  # type: ignore[arg-type]

    monkeypatch.setattr("healing.api.events.get_ports", ports)
    Policy.objects.create(cluster="default", name="shop", spec=SPEC)
    report = {**REPORT, "cluster": "eu"}
    assert as_admin("post", "/events", report)[1]["type"] == "not-covered", "that policy is another cluster's"
    Policy.objects.create(cluster="eu", name="shop", spec=SPEC)
    status, event = as_admin("post", "/events", report)
    assert (status, event["cluster"], set(asked)) == (201, "eu", {"eu"})
    status, other = as_admin("post", "/events", REPORT)
    assert (status, other["cluster"]) == (201, "default"), "the same fault in another cluster is another event"
    assert as_admin("post", "/events", {**REPORT, "cluster": "mars"})[0] == 422
