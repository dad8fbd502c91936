"""Workload controllers beyond what the recordings show."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from healing.sandbox.ports import Exit, Object, Usage
from healing.sandbox.virtual_time import run_virtual
from healing.sandbox.world import NodeSpec
from tests.sandbox_world.lab import NAMESPACE, PERSON, Lab, lab
from tests.sandbox_world.programs import Program


def in_lab(scene: Callable[[Lab], Coroutine[Any, Any, None]], nodes: int | list[NodeSpec] = 1) -> None:
    async def play() -> None:
        async with lab(nodes) as made:
            await scene(made)

    run_virtual(play())


def set_image(image: str) -> Callable[[Object], None]:
    return lambda item: item["spec"]["template"]["spec"]["containers"][0].update(image=image)


def scale(replicas: int) -> Callable[[Object], None]:
    return lambda item: item["spec"].update(replicas=replicas)


def test_recreate_starts_new_pods_when_the_old_ones_are_gone() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(spec={"replicas": 2, "strategy": {"type": "Recreate"}})
        await lab.until(lab.is_rolled_out)
        lab.mutate("deployments.apps", "web", set_image("registry.local/web:1.1"))
        await lab.until(lab.is_rolled_out)
        images: dict[str, set[str]] = {}
        for change in lab.history:
            if change.resource == "pods":
                pod = change.object
                if change.type == "DELETED" or pod["status"]["phase"] == "Failed":
                    images.pop(pod["metadata"]["uid"], None)
                else:
                    images[pod["metadata"]["uid"]] = {pod["spec"]["containers"][0]["image"]}
                assert len(set().union(*images.values())) <= 1, "old and new pods side by side"

    in_lab(scene)


def test_a_rolling_update_keeps_its_bounds_and_history() -> None:
    async def scene(lab: Lab) -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        lab.deployment(spec={"replicas": 4, "strategy": strategy, "revisionHistoryLimit": 1})
        await lab.until(lab.is_rolled_out)
        since = len(lab.history)
        for image in ("1.1", "1.0", "1.1"):
            lab.mutate("deployments.apps", "web", set_image(f"registry.local/web:{image}"))
            lab.mutate(
                "deployments.apps",
                "web",
                lambda d: d["spec"]["template"]["metadata"].update(annotations={"at": str(lab.now())}),
            )
            await lab.until(lab.is_rolled_out)
            await lab.sleep(4)
        for change in lab.history[since:]:
            if change.resource == "deployments.apps":
                status = change.object["status"]
                assert status.get("availableReplicas", 0) >= 4
                assert status.get("replicas", 0) <= 5
        sets = lab.cluster.list("replicasets.apps", NAMESPACE)
        assert len(sets) == 2, "the present one and one for undo"

    in_lab(scene)


def test_paused_deployments_change_nothing_until_resumed() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(spec={"replicas": 2})
        await lab.until(lab.is_rolled_out)
        lab.mutate("deployments.apps", "web", lambda d: d["spec"].update(paused=True))
        lab.mutate("deployments.apps", "web", set_image("registry.local/web:1.1"))
        await lab.sleep(30)
        assert len(lab.cluster.list("replicasets.apps", NAMESPACE)) == 1
        assert lab.progressing() == ("Unknown", "DeploymentPaused")
        lab.mutate("deployments.apps", "web", scale(3))
        await lab.until(lambda: len(lab.pods()) == 3)
        lab.mutate("deployments.apps", "web", lambda d: d["spec"].pop("paused"))
        await lab.until(lab.is_rolled_out)
        assert {
            p["spec"]["containers"][0]["image"] for p in lab.pods() if not p["metadata"].get("deletionTimestamp")
        } == {"registry.local/web:1.1"}
        assert lab.progressing() == ("True", "NewReplicaSetAvailable")

    in_lab(scene)


def test_scaling_in_the_middle_of_a_stuck_rollout_keeps_the_available_pods() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(spec={"replicas": 4})
        await lab.until(lab.is_rolled_out)
        lab.mutate("deployments.apps", "web", set_image("registry.local/web:absent"))
        await lab.sleep(10)
        lab.mutate("deployments.apps", "web", scale(8))
        await lab.sleep(20)
        status = lab.get("deployments.apps", "web")["status"]
        assert status["availableReplicas"] >= 6, "old pods grew in proportion"
        assert status["replicas"] <= 10
        assert lab.progressing() == ("True", "ReplicaSetUpdated")

    in_lab(scene)


def test_a_raised_quota_does_not_wake_the_replicaset() -> None:
    async def scene(lab: Lab) -> None:
        lab.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
        lab.deployment(spec={"replicas": 2})
        await lab.sleep(22)
        refused = [e for e in lab.history if e.resource == "events" and e.object["reason"] == "FailedCreate"]
        assert len(lab.pods()) == 1
        last = refused[-1].t
        assert lab.now() - last > 5, "the pauses have grown"
        lab.mutate("resourcequotas", "q", lambda q: q["spec"]["hard"].update(pods="5"))
        await lab.sleep(2)
        assert len(lab.pods()) == 1
        await lab.until(lambda: len(lab.pods()) == 2, 60)
        await lab.until(lab.is_rolled_out)
        assert lab.get("resourcequotas", "q")["status"]["used"] == {"pods": "2"}

    in_lab(scene)


STATEFUL = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "db"},
    "spec": {
        "replicas": 3,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": {
            "metadata": {"labels": {"app": "db"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "db",
                        "image": "registry.local/web:1.0",
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
            },
        },
        "volumeClaimTemplates": [
            {
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "standard",
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            }
        ],
    },
}


def storage_class(lab: Lab, mode: str) -> None:
    body = {"metadata": {"name": "standard"}, "provisioner": "sandbox.recist.io/hostpath", "volumeBindingMode": mode}
    lab.cluster.create("storageclasses.storage.k8s.io", None, body, user=PERSON)


def test_statefulset_starts_and_updates_in_order_with_its_claims() -> None:
    async def scene(lab: Lab) -> None:
        storage_class(lab, "WaitForFirstConsumer")
        lab.create("statefulsets.apps", STATEFUL)

        def ready(count: int) -> Callable[[], bool]:
            return lambda: (lab.get("statefulsets.apps", "db").get("status") or {}).get("readyReplicas", 0) == count

        await lab.until(ready(3))
        started = [c.object["metadata"]["name"] for c in lab.history if c.resource == "pods" and c.type == "ADDED"]
        assert started == ["db-0", "db-1", "db-2"]
        claims = {
            c["metadata"]["name"]: c["status"]["phase"] for c in lab.cluster.list("persistentvolumeclaims", NAMESPACE)
        }
        assert claims == {"data-db-0": "Bound", "data-db-1": "Bound", "data-db-2": "Bound"}
        since = len(lab.history)
        lab.mutate("statefulsets.apps", "db", set_image("registry.local/web:1.1"))
        await lab.until(
            lambda: {p["spec"]["containers"][0]["image"] for p in lab.pods("db")} == {"registry.local/web:1.1"}
        )
        await lab.until(ready(3))
        replaced = [
            c.object["metadata"]["name"] for c in lab.history[since:] if c.resource == "pods" and c.type == "ADDED"
        ]
        assert replaced == ["db-2", "db-1", "db-0"]
        status = lab.get("statefulsets.apps", "db")["status"]
        assert status["currentRevision"] == status["updateRevision"]
        lab.mutate("statefulsets.apps", "db", scale(1))
        await lab.until(lambda: [p["metadata"]["name"] for p in lab.pods("db")] == ["db-0"])
        assert len(lab.cluster.list("persistentvolumeclaims", NAMESPACE)) == 3, "claims are kept"
        lab.delete("persistentvolumeclaims", "data-db-2")
        await lab.until(lambda: len(lab.cluster.list("persistentvolumes")) == 2)

    in_lab(scene)


def test_a_pod_waits_for_a_claim_that_cannot_be_bound_and_starts_when_it_is() -> None:
    async def scene(lab: Lab) -> None:
        claim = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "standard",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        lab.create("persistentvolumeclaims", claim)
        lab.deployment(pod={"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]})
        await lab.until(lambda: lab.events("ProvisioningFailed"))
        await lab.until(lambda: lab.events("FailedScheduling"))
        storage_class(lab, "Immediate")
        await lab.until(lab.is_rolled_out)

    in_lab(scene)


def test_daemonset_has_a_pod_on_every_node_it_tolerates() -> None:
    async def scene(lab: Lab) -> None:
        body = {
            "metadata": {"name": "agent"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {"containers": [{"name": "a", "image": "registry.local/web:1.0"}]},
                },
            },
        }
        lab.create("daemonsets.apps", body)

        def ready(count: int) -> Callable[[], bool]:
            return lambda: (lab.get("daemonsets.apps", "agent").get("status") or {}).get("numberReady") == count

        await lab.until(ready(2))
        assert sorted(p["spec"]["nodeName"] for p in lab.pods("agent")) == ["a", "b"]
        lab.mutate("nodes", "c", lambda n: n["spec"].pop("taints"))
        await lab.until(ready(3))
        lab.mutate("nodes", "a", lambda n: n["spec"].update(unschedulable=True))
        await lab.sleep(5)
        assert ready(3)(), "a cordon does not drive daemon pods away"

    taint = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}
    in_lab(scene, [NodeSpec("a"), NodeSpec("b"), NodeSpec("c", taints=[taint])])


def test_job_succeeds_after_a_failure() -> None:
    async def scene(lab: Lab) -> None:
        program = Program(lives_seconds=1.0, exit=Exit(1, "Error"))
        lab.runtime.programs["registry.local/task:1"] = program
        body = {
            "metadata": {"name": "task"},
            "spec": {
                "completions": 2,
                "parallelism": 1,
                "backoffLimit": 3,
                "template": {
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "t", "image": "registry.local/task:1"}]}
                },
            },
        }
        lab.create("jobs.batch", body)
        await lab.until(lambda: lab.get("jobs.batch", "task").get("status", {}).get("failed") == 1)
        program.exit = Exit(0, "Completed")
        await lab.until(lambda: lab.get("jobs.batch", "task")["status"].get("completionTime"))
        status = lab.get("jobs.batch", "task")["status"]
        assert (status["succeeded"], status["failed"]) == (2, 1)
        assert [c["type"] for c in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
        assert all(not p["metadata"].get("finalizers") for p in lab.cluster.list("pods", NAMESPACE))

    in_lab(scene)


def test_autoscaler_follows_the_load() -> None:
    async def scene(lab: Lab) -> None:
        program = lab.runtime.programs["registry.local/web:1.0"]
        program.usage = Usage(0.19, 2**20)
        lab.deployment(container={"resources": {"requests": {"cpu": "100m"}}})
        await lab.until(lab.is_rolled_out)
        target = {"type": "Utilization", "averageUtilization": 50}
        body = {
            "apiVersion": "autoscaling/v2",
            "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "minReplicas": 1,
                "maxReplicas": 3,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            },
        }
        lab.create("horizontalpodautoscalers.autoscaling", body)
        await lab.until(lambda: lab.get("deployments.apps", "web")["spec"]["replicas"] == 3)
        status = lab.get("horizontalpodautoscalers.autoscaling", "web")["status"]
        assert status["currentMetrics"][0]["resource"]["current"]["averageUtilization"] == 190
        limited = next(c for c in status["conditions"] if c["type"] == "ScalingLimited")
        assert (limited["status"], limited["reason"]) == ("True", "TooManyReplicas")
        program.usage = Usage(0.01, 2**20)
        await lab.sleep(120)
        assert lab.get("deployments.apps", "web")["spec"]["replicas"] == 3, "down only after five minutes"
        await lab.until(lambda: lab.get("deployments.apps", "web")["spec"]["replicas"] == 1, 400)

    in_lab(scene)


def test_budget_counts_healthy_pods() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(spec={"replicas": 3})
        await lab.until(lab.is_rolled_out)
        body = {
            "metadata": {"name": "web"},
            "spec": {"minAvailable": "60%", "selector": {"matchLabels": {"app": "web"}}},
        }
        lab.create("poddisruptionbudgets.policy", body)
        await lab.sleep(1)
        status = lab.get("poddisruptionbudgets.policy", "web")["status"]
        assert (
            status["disruptionsAllowed"],
            status["currentHealthy"],
            status["desiredHealthy"],
            status["expectedPods"],
        ) == (1, 3, 2, 3)
        lab.delete("pods", lab.pods()[0]["metadata"]["name"])
        await lab.sleep(0.1)
        assert lab.get("poddisruptionbudgets.policy", "web")["status"]["disruptionsAllowed"] == 0

    in_lab(scene)
