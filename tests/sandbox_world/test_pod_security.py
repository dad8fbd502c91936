"""Namespaces that only take pods of a Pod Security Standard."""

from __future__ import annotations

from typing import Any

import pytest

from healing.sandbox.ports import Object
from tests.sandbox_world.lab import PERSON, Lab
from tests.sandbox_world.test_workloads import in_lab

SAFE = {
    "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}  # fmt: skip


def enforce(lab: Lab, level: str) -> None:
    def change(item: Object) -> None:
        item["metadata"].setdefault("labels", {})["pod-security.kubernetes.io/enforce"] = level

    lab.cluster.mutate("namespaces", None, "shop", change, user=PERSON)


@pytest.mark.parametrize(
    ("level", "security", "why"),
    [
        ("baseline", {"privileged": True},
         ('violates PodSecurity "baseline:latest": privileged (container "web" must not set '
         'securityContext.privileged=true)')),
        ("restricted", {**SAFE, "runAsNonRoot": False},
         ('violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "web" must set '
         'securityContext.runAsNonRoot=true)')),
    ],
)  # fmt: skip
def test_a_pod_below_the_level_is_refused(level: str, security: dict[str, Any], why: str) -> None:
    async def scene(lab: Lab) -> None:
        enforce(lab, level)
        lab.deployment(container={"securityContext": security})
        await lab.until(lambda: any(e["message"].endswith(f"is forbidden: {why}") for e in lab.events("FailedCreate")))
        assert not lab.pods()
        lab.deployment("good", container={"securityContext": SAFE})
        await lab.until(lambda: lab.is_rolled_out("good"))

    in_lab(scene)
