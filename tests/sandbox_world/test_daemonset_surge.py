"""A DaemonSet with maxSurge starts the new pod of a node before it stops the old one."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.sandbox_world.lab import Lab
from tests.sandbox_world.test_workloads import in_lab, set_image

IMAGES = {"old": "registry.local/web:1.0", "new": "registry.local/web:1.1"}


@pytest.mark.parametrize("min_ready_seconds", [0, 4])
def test_no_node_is_ever_without_a_ready_pod(min_ready_seconds: int) -> None:
    async def scene(lab: Lab) -> None:
        lab.create("daemonsets.apps", _agent(min_ready_seconds))
        await lab.until(lambda: lab.get("daemonsets.apps", "agent").get("status", {}).get("numberAvailable") == 3)
        begin = lab.now()
        lab.mutate("daemonsets.apps", "agent", set_image(IMAGES["new"]))
        most_surged = 0
        while len(_images(lab)) != 1 or IMAGES["new"] not in _images(lab) or len(lab.pods("agent")) != 3:
            assert lab.now() < begin + 90, _images(lab)
            nodes = Counter(pod["spec"]["nodeName"] for pod in lab.pods("agent") if _is_ready(pod))
            assert len(nodes) == 3
            starting = [p for p in lab.pods("agent") if _image(p) == IMAGES["new"] and not _is_ready(p)]
            most_surged = max(most_surged, len(starting))
            await lab.sleep(0.1)
        assert most_surged == 1

    in_lab(scene, 3)


def test_an_old_pod_that_is_not_ready_is_replaced_at_once() -> None:
    async def scene(lab: Lab) -> None:
        body = _agent(0)
        container = body["spec"]["template"]["spec"]["containers"][0]
        container["readinessProbe"] = {"httpGet": {"path": "/absent", "port": 80}, "periodSeconds": 1}
        lab.create("daemonsets.apps", body)
        await lab.until(lambda: len(lab.pods("agent")) == 3)
        await lab.sleep(5)

        def fix(item: dict[str, Any]) -> None:
            item["spec"]["template"]["spec"]["containers"][0].pop("readinessProbe")

        lab.mutate("daemonsets.apps", "agent", fix)
        await lab.until(lambda: len(lab.pods("agent")) == 6, 5)
        await lab.until(lambda: len(lab.pods("agent")) == 3 and all(map(_is_ready, lab.pods("agent"))), 60)

    in_lab(scene, 3)


def _agent(min_ready_seconds: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "agent"},
        "spec": {
            "minReadySeconds": min_ready_seconds,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "a", "image": IMAGES["old"]}]},
            },
        },
    }


def _image(pod: dict[str, Any]) -> str:
    return str(pod["spec"]["containers"][0]["image"])


def _images(lab: Lab) -> set[str]:
    return {_image(pod) for pod in lab.pods("agent")}


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
