"""A Job's podFailurePolicy: some failures end it at once, some do not count."""

from __future__ import annotations

from typing import Any

import pytest

from healing.sandbox.ports import Exit
from healing.sandbox.world.controllers.pod_failure_policy import match
from tests.sandbox_world.lab import NAMESPACE, PERSON, Lab
from tests.sandbox_world.programs import Program
from tests.sandbox_world.test_workloads import in_lab

IMAGE = "registry.local/task:1.0"


def _start(lab: Lab, rules: list[dict[str, Any]], exit_code: int, **spec: Any) -> None:
    lab.runtime.programs[IMAGE] = Program(lives_seconds=2.0, exit=Exit(exit_code, "Error"))
    pod = {"restartPolicy": "Never", "containers": [{"name": "task", "image": IMAGE}]}
    lab.create(
        "jobs.batch",
        {
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "task"},
            "spec": {"template": {"spec": pod}, "podFailurePolicy": {"rules": rules}, **spec},
        },
    )  # fmt: skip


def test_an_exit_code_ends_the_job_at_once() -> None:
    async def scene(lab: Lab) -> None:
        rule = {"action": "FailJob", "onExitCodes": {"containerName": "task", "operator": "In", "values": [42]}}
        _start(lab, [rule], 42, backoffLimit=6)
        await lab.until(lambda: lab.events("PodFailurePolicy"), 15)
        status = lab.get("jobs.batch", "task")["status"]
        [pod] = lab.cluster.list("pods", NAMESPACE)
        message = (
            f"Container task for pod {NAMESPACE}/{pod['metadata']['name']} failed with exit code 42 "
            "matching FailJob rule at index 0"
        )
        assert [(c["type"], c["reason"], c["message"]) for c in status["conditions"]] == [
            ("FailureTarget", "PodFailurePolicy", message),
            ("Failed", "PodFailurePolicy", message),
        ]
        assert status["failed"] == 1
        assert "finalizers" not in pod["metadata"]

    in_lab(scene)


def test_an_evicted_pod_does_not_count() -> None:
    async def scene(lab: Lab) -> None:
        rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
        _start(lab, [rule], 1, backoffLimit=0)
        lab.runtime.programs[IMAGE].lives_seconds = None
        await lab.until(lambda: lab.get("jobs.batch", "task").get("status", {}).get("ready") == 1)
        [pod] = lab.cluster.list("pods", NAMESPACE)

        def disrupt(body: dict[str, Any]) -> None:
            body["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True"})

        lab.cluster.mutate("pods", NAMESPACE, pod["metadata"]["name"], disrupt, user=PERSON, subresource="status")
        lab.delete("pods", pod["metadata"]["name"])
        await lab.until(lambda: len(lab.events("SuccessfulCreate", "Job")) == 2)
        status = lab.get("jobs.batch", "task")["status"]
        assert "failed" not in status
        assert not [c for c in status.get("conditions", ()) if c["type"] == "Failed"]

    in_lab(scene)


@pytest.mark.parametrize(
    ("requirement", "action"),
    [
        ({"operator": "In", "values": [1, 3]}, "FailJob"),
        ({"operator": "In", "values": [2]}, "Count"),
        ({"operator": "NotIn", "values": [2]}, "FailJob"),
        ({"operator": "NotIn", "values": [3]}, "Count"),
        ({"containerName": "other", "operator": "In", "values": [3]}, "Count"),
    ],
)
def test_exit_codes_are_matched(requirement: dict[str, Any], action: str) -> None:
    job = {"spec": {"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": requirement}]}}}
    ended = {"name": "task", "state": {"terminated": {"exitCode": 3}}}
    pod = {"metadata": {"namespace": "a", "name": "b"}, "status": {"containerStatuses": [ended]}}
    assert match(job, pod)[0] == action
