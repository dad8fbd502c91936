"""Resources are raised only as far as the namespace's LimitRange and quota, the nodes and our own cap allow."""

from __future__ import annotations

from typing import Any

import pytest

from healing.actions import registry
from healing.actions.base import CannotPlan
from healing.actions.runner import ActionFailed, Runner, StalePlan
from healing.deadline import Deadline
from healing.models import ActionRun, ActionState
from healing.ports import ObjectRef
from tests.actions import events
from tests.actions.counting import Counting
from tests.actions.live import Live, Namespace, until

pytestmark = pytest.mark.django_db

BEFORE = {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}}
AFTER = {"requests": {"memory": "96Mi"}, "limits": {"memory": "96Mi"}}


def limit_range(ns: Namespace, most: str) -> None:
    limits = [{"type": "Container", "max": {"memory": most}}]
    ns.create("LimitRange", {"apiVersion": "v1", "metadata": {"name": "bounds"}, "spec": {"limits": limits}})


def quota(ns: Namespace, memory: str) -> None:
    hard = {"limits.memory": memory, "requests.memory": memory}
    ref = ns.create("ResourceQuota", {"apiVersion": "v1", "metadata": {"name": "share"}, "spec": {"hard": hard}})
    until(lambda: (ns.get(ref.kind, ref.name).get("status") or {}).get("used"), "a quota that counts")


def plan(live: Live | Counting, ref: ObjectRef, resources: dict[str, Any]) -> Any:
    cluster = live.cluster if isinstance(live, Live) else live
    return registry.make_plan(cluster, "updateResources", ref, {"container": "web", **resources}, timeout_seconds=5)


@pytest.mark.parametrize(("most", "fits"), [("80Mi", False), ("128Mi", True)])
def test_not_over_what_a_limit_range_allows_a_container(live: Live, ns: Namespace, most: str, *, fits: bool) -> None:
    ref = ns.rolled_out(ns.deployment(resources=BEFORE))
    limit_range(ns, most)
    if fits:
        assert plan(live, ref, AFTER).changes
        return
    with pytest.raises(CannotPlan, match="80Mi"):
        plan(live, ref, AFTER)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"type": "Pod", "max": {"memory": "150Mi"}}, "at most 150Mi memory a pod"),
        ({"type": "Container", "min": {"memory": "100Mi"}}, "no less than 100Mi memory a container"),
        ({"type": "Container", "maxLimitRequestRatio": {"memory": "1"}}, "at most 1 times the request of memory"),
    ],
)
def test_nor_over_its_other_bounds(live: Live, ns: Namespace, rule: dict[str, Any], why: str) -> None:
    """A pod of two containers of 64Mi each, of which one is to have 96Mi."""
    other = {"name": "other", "image": "registry.local/web:1.0", "resources": BEFORE}
    ref = ns.deployment(replicas=0, resources=BEFORE)
    containers = [*ns.get(ref.kind, "web")["spec"]["template"]["spec"]["containers"], other]
    ns.cluster.patch(ref.kind, ns.name, "web", {"spec": {"template": {"spec": {"containers": containers}}}})
    ns.create("LimitRange", {"apiVersion": "v1", "metadata": {"name": "bounds"}, "spec": {"limits": [rule]}})
    with pytest.raises(CannotPlan, match=why):
        plan(live, ref, {**AFTER, "requests": {"memory": "80Mi"}})


@pytest.mark.parametrize(("hard", "fits"), [("180Mi", False), ("400Mi", True)])
def test_not_over_what_is_left_of_the_quota(live: Live, ns: Namespace, hard: str, *, fits: bool) -> None:
    """Two pods of 64Mi: 128Mi are used, and 64Mi more would be needed."""
    quota(ns, hard)
    ref = ns.rolled_out(ns.deployment(resources=BEFORE))
    until(
        lambda: ns.get("ResourceQuota", "share")["status"]["used"].get("limits.memory") in ("128Mi", "134217728"),
        "the quota counts both pods",
    )
    if fits:
        assert plan(live, ref, AFTER).changes
        return
    with pytest.raises(CannotPlan, match="share"):
        plan(live, ref, AFTER)


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        ({"limits": {"memory": "1Gi"}}, "more than .* times"),
        ({"requests": {"memory": "96Mi"}}, "request more memory than its limit"),
        ({"requests": {"memory": "900Gi"}, "limits": {"memory": "900Gi"}}, "times|node"),
        (BEFORE, "has these resources already"),
    ],
)
def test_not_beyond_our_own_cap_nor_what_makes_no_sense(
    live: Live, ns: Namespace, resources: dict[str, Any], why: str
) -> None:
    ref = ns.rolled_out(ns.deployment(resources=BEFORE))
    with pytest.raises(CannotPlan, match=why):
        plan(live, ref, resources)


def test_a_limit_range_that_came_after_the_plan_stops_it_before_anything_is_sent(live: Live, ns: Namespace) -> None:
    ref = ns.rolled_out(ns.deployment(resources=BEFORE))
    cluster = Counting(live.cluster)
    made = plan(cluster, ref, AFTER)
    limit_range(ns, "80Mi")
    with pytest.raises((ActionFailed, StalePlan), match="80Mi"):
        Runner(cluster, Deadline.after(60), lambda: None).apply(events.event(ref), made, key="k")
    assert cluster.written == 0
    assert ActionRun.objects.get().state == ActionState.FAILED
    limits = ns.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "64Mi"}


def test_what_the_api_server_writes_in_its_own_way_is_put_back_all_the_same(live: Live, ns: Namespace) -> None:
    """``2000m`` of cores is kept as ``2``, ``1024Mi`` as ``1Gi``: that is nobody else's change."""
    now = {"requests": {"cpu": "100m", "memory": "600Mi"}, "limits": {"cpu": "1", "memory": "600Mi"}}
    ref = ns.rolled_out(ns.deployment(resources=now))
    made = plan(live, ref, {"limits": {"cpu": "2000m", "memory": "1024Mi"}})
    runner = Runner(live.cluster, Deadline.after(60), lambda: None)
    row = runner.apply(events.event(ref), made, key="k")

    def limits() -> Any:
        return ns.get("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]

    assert limits() == {"cpu": "2", "memory": "1Gi"}
    assert registry.get("updateResources").is_applied(live.cluster, made, timeout_seconds=5)
    runner.undo(row)
    assert limits() == now["limits"]
