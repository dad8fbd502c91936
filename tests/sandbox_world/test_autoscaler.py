"""How autoscalers decide, limit themselves, and what they say when they cannot."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from healing.sandbox.ports import Object, Usage
from healing.sandbox.virtual_time import run_virtual
from healing.sandbox.world import Settings
from healing.sandbox.world.controllers import autoscaler_limits as limits
from tests.sandbox_world.lab import Lab, lab

RESOURCE = "horizontalpodautoscalers.autoscaling"
WEB = "registry.local/web:1.0"


def in_quick_lab(scene: Callable[[Lab], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        async with lab(3, Settings(hpa_downscale_stabilization_seconds=60)) as made:
            await scene(made)

    run_virtual(play())


def autoscale(made: Lab, **spec: object) -> None:
    target = {"type": "Utilization", "averageUtilization": 50}
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 10,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}], **spec,
    }  # fmt: skip
    made.create(RESOURCE, {"metadata": {"name": "web"}, "spec": body})


def verdict(made: Lab, type_: str) -> tuple[str, str]:
    for entry in (made.get(RESOURCE, "web").get("status") or {}).get("conditions") or ():
        if entry["type"] == type_:
            return entry["status"], entry["reason"]
    return "", ""


def size(made: Lab) -> int:
    return int(made.get("deployments.apps", "web")["spec"]["replicas"])


def asks(cpu: str = "100m") -> Object:
    return {"resources": {"requests": {"cpu": cpu}}}


def test_at_its_maximum_it_says_so_and_comes_down_late_to_its_minimum() -> None:
    async def scene(made: Lab) -> None:
        made.runtime.programs[WEB].usage = Usage(0.5, 2**20)
        made.deployment(container=asks())
        autoscale(made, minReplicas=2, maxReplicas=3)
        await made.until(lambda: size(made) == 3, 120)
        await made.until(lambda: verdict(made, "ScalingLimited") == ("True", "TooManyReplicas"), 60)
        assert verdict(made, "ScalingActive") == ("True", "ValidMetricFound")
        made.runtime.programs[WEB].usage = Usage(0.0, 2**20)
        since = made.now()
        await made.until(lambda: verdict(made, "AbleToScale")[1] == "ScaleDownStabilized", 40)
        await made.until(lambda: size(made) == 2, 120)
        assert made.now() - since > 50
        await made.until(lambda: verdict(made, "ScalingLimited") == ("True", "TooFewReplicas"), 60)

    in_quick_lab(scene)


def test_without_requests_there_is_nothing_to_compare_with() -> None:
    async def scene(made: Lab) -> None:
        made.deployment()
        await made.until(made.is_rolled_out)
        autoscale(made)
        await made.until(lambda: verdict(made, "ScalingActive") == ("False", "FailedGetResourceMetric"), 90)
        name = made.pods()[0]["metadata"]["name"]
        error = f"failed to get cpu utilization: missing request for cpu in container web of Pod {name}"
        await made.until(lambda: error in {e["message"] for e in made.events("FailedGetResourceMetric")}, 60)
        start = "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: "
        assert start + error in {e["message"] for e in made.events("FailedComputeMetricsReplicas")}

    in_quick_lab(scene)


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "1"}}},
         "FailedGetExternalMetric"),
        ({"type": "Pods", "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue"}}},
         "FailedGetPodsMetric"),
    ],
)  # fmt: skip
def test_metrics_that_nobody_serves(metric: Object, reason: str) -> None:
    async def scene(made: Lab) -> None:
        made.deployment(container=asks())
        autoscale(made, metrics=[metric])
        await made.until(lambda: verdict(made, "ScalingActive") == ("False", reason), 60)
        assert size(made) == 1

    in_quick_lab(scene)


def test_behaviour_holds_it_back() -> None:
    async def scene(made: Lab) -> None:
        made.runtime.programs[WEB].usage = Usage(0.9, 2**20)
        made.deployment(container=asks())
        slow = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}
        autoscale(made, behavior=slow)
        await made.until(lambda: size(made) == 2, 90)
        since = made.now()
        await made.until(lambda: verdict(made, "ScalingLimited") == ("True", "ScaleUpLimit"), 30)
        await made.until(lambda: size(made) == 3, 120)
        assert made.now() - since > 55

    in_quick_lab(scene)


def test_policies_as_the_documentation_counts_them() -> None:
    default = limits.rules({}, 300)
    assert limits.fastest_up(default.up, 1, [], 0) == 5
    assert limits.fastest_up(default.up, 10, [], 0) == 20
    assert limits.fastest_down(default.down, 10, [], 0) == 0
    down = {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60},
                         {"type": "Percent", "value": 10, "periodSeconds": 60}]}  # fmt: skip
    both = limits.rules({"scaleDown": down}, 300).down
    assert limits.fastest_down(both, 80, [], 0) == 72
    assert limits.fastest_down(both, 72, [(0.0, -8)], 30.0) == 72
    least = limits.rules({"scaleDown": {**down, "selectPolicy": "Min"}}, 300).down
    assert limits.fastest_down(least, 80, [], 0) == 76
    off = limits.rules({"scaleDown": {"selectPolicy": "Disabled"}}, 300).down
    assert limits.fastest_down(off, 80, [], 0) == 80
