"""Clusters in which nothing is wrong, though much looks like it."""

from __future__ import annotations

from tests.diagnosis.cases import healthy
from tests.diagnosis.cases.programs import calls, edited, postgres
from tests.diagnosis.cases.scaling import autoscaler
from tests.diagnosis.cases.storage import claim, volume
from tests.diagnosis.test_workloads import _counter
from tests.diagnosis.world import World, ago, container


@healthy
def empty_namespace(world: World) -> None:
    world.add("Namespace", "shop", "")


@healthy
def ordinary_shop(world: World) -> None:
    world.node("node-a")
    postgres(world)
    for name in ("front", "orders"):
        world.deployment(name, calls("postgres://app@db:5432/shop"))
        world.service(name)
        world.log(
            world.pods(name)[0],
            "2026-05-04T09:59:50Z INFO listening on :8080\n2026-05-04T09:59:55Z WARN slow query 210 ms",
        )


@healthy
def restarts_of_last_week(world: World) -> None:
    world.deployment("front")
    for pod in world.pods("front"):
        status = pod["status"]["containerStatuses"][0]
        ended = {"exitCode": 137, "reason": "OOMKilled", "startedAt": ago(700_000), "finishedAt": ago(600_000)}
        status.update(restartCount=14, lastState={"terminated": ended})
        status["state"] = {"running": {"startedAt": ago(599_990)}}


@healthy
def warnings_that_are_over(world: World) -> None:
    world.deployment("front")
    for pod in world.pods("front"):
        world.event(pod, "Unhealthy", "Readiness probe failed: connection refused", count=3, since=3000)
        world.event(pod, "FailedScheduling", "0/3 nodes are available: 3 Insufficient cpu.", count=2, since=3000)
        world.event(
            pod, "FailedMount", 'MountVolume.SetUp failed for volume "cfg" : configmap "cfg" not found', count=2
        )


@healthy
def completed_jobs(world: World) -> None:
    made = world.add(
        "Job", "nightly-1", spec={}, status={"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
    )
    own = [{"kind": "Job", "name": "nightly-1", "uid": made["metadata"]["uid"], "controller": True}]
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": ago(500)}}
    status = {
        "phase": "Succeeded",
        "containerStatuses": [{"name": "app", "ready": False, "restartCount": 0, "state": ended}],
    }
    world.add(
        "Pod", "nightly-1-x", metadata={"ownerReferences": own}, spec={"containers": [container()]}, status=status
    )


@healthy
def job_that_failed_once_and_then_worked(world: World) -> None:
    cron = world.add("CronJob", "nightly", spec={})
    own = [{"kind": "CronJob", "name": "nightly", "uid": cron["metadata"]["uid"], "controller": True}]
    for number, kind in ((1, "Failed"), (2, "Complete")):
        conditions = [
            {"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": ago(4000)}
        ]
        meta = {"ownerReferences": own, "creationTimestamp": ago(9000 - number * 1000)}
        world.add("Job", f"nightly-{number}", spec={}, status={"conditions": conditions}, metadata=meta)


@healthy
def scaled_to_zero_on_purpose(world: World) -> None:
    world.deployment("batch", replicas=0)
    world.deployment("front")
    world.service("front")


@healthy
def rolling_update_under_way(world: World) -> None:
    starting = {"state": {"running": {"startedAt": ago(4)}}, "ready": False, "restartCount": 0}
    world.deployment(
        "front", [container(image="r/front:2")], before=[container(image="r/front:1")], failing=starting, rolled_out=8
    )
    for pod in world.pods("front", 2):
        pod["status"]["conditions"][0]["lastTransitionTime"] = ago(5)
        world.event(
            pod,
            "Unhealthy",
            'Readiness probe failed: Get "http://10.244.1.7:8080/": connection refused',
            count=1,
            since=5,
        )
    world.service("front")


@healthy
def autoscaler_at_its_minimum(world: World) -> None:
    world.deployment("front", replicas=1)
    said = "the desired replica count is less than the minimum replica count"
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooFewReplicas", "message": said}
    autoscaler(world, "front", [{"type": "ScalingActive", "status": "True"}, limited])


@healthy
def cordoned_node_without_victims(world: World) -> None:
    world.node("node-a")
    world.node("node-b", spec={"unschedulable": True})
    world.deployment("front", node="node-a")


@healthy
def budget_of_zero_without_a_drain(world: World) -> None:
    world.node("node-a")
    world.deployment("front", replicas=1)
    status = {"disruptionsAllowed": 0, "expectedPods": 1, "currentHealthy": 1, "desiredHealthy": 1}
    world.add("PodDisruptionBudget", "front", spec={"selector": {"matchLabels": {"app": "front"}}}, status=status)


@healthy
def claim_that_waits_for_its_first_user(world: World) -> None:
    world.add(
        "StorageClass",
        "local",
        "",
        provisioner="kubernetes.io/no-provisioner",
        volumeBindingMode="WaitForFirstConsumer",
    )
    made = claim(world, storageClassName="local")
    world.event(made, "WaitForFirstConsumer", "waiting for first consumer to be created before binding", kind="Normal")
    volume(world, "disk-1", size="1Gi", storageClassName="local")


@healthy
def strict_policies_that_suit(world: World) -> None:
    postgres(world)
    world.deployment("orders", calls("postgres://app@db:5432/shop"))
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    world.add("NetworkPolicy", "default-deny", spec=deny, metadata={"creationTimestamp": ago(9_000_000)})


@healthy
def quota_nearly_used(world: World) -> None:
    world.deployment("front")
    status = {"hard": {"pods": "2"}, "used": {"pods": "2"}}
    world.add("ResourceQuota", "small", spec={"hard": {"pods": "2"}}, status=status)


@healthy
def noisy_but_well(world: World) -> None:
    world.deployment("front")
    world.service("front")
    errors = [f"2026-05-04T09:{n:02d}:10Z ERROR user {n} not found: 404" for n in range(10, 59, 6)]
    world.log(world.pods("front")[0], "\n".join(errors))
    wave = [20.0 + (n % 9) for n in range(72)]
    world.series("http_requests_total", _counter(wave), code="200", pod="front-r1-0")
    world.series("http_requests_total", _counter([0.05] * 72), code="500", pod="front-r1-0")
    world.series("front_cpu", [0.2 + 0.02 * (n % 7) for n in range(72)])
    world.series("front_latency-90", [0.05 + 0.004 * (n % 5) for n in range(72)])


@healthy
def settings_changed_without_harm(world: World) -> None:
    world.add("ConfigMap", "cfg", data={"level": "debug"}, metadata=edited("kubectl-edit", 200, "f:data"))
    world.add("Secret", "key", data={"k": ""}, metadata=edited("kubectl-edit", 200, "f:data"))
    env = [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]
    world.deployment("front", [container(env=env, envFrom=[{"configMapRef": {"name": "cfg"}}])])


@healthy
def alerts_that_are_no_news(world: World) -> None:
    world.deployment("front")
    world.snapshot.alerts = [
        {"labels": {"alertname": "Watchdog", "severity": "none"}, "state": "firing"},
        {
            "labels": {"alertname": "HighErrorRate", "namespace": "shop", "service": "front"},
            "status": {"state": "suppressed"},
        },
        {"labels": {"alertname": "HighLatency", "namespace": "shop", "deployment": "front"}, "state": "pending"},
    ]


@healthy
def pods_that_finished_or_were_evicted_long_ago(world: World) -> None:
    world.deployment("front")
    pod = world.pods("front")[0]
    gone = {**pod, "metadata": {**pod["metadata"], "name": "front-old", "uid": "gone"}}
    said = "The node was low on resource: ephemeral-storage."
    conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": ago(90_000)}]
    gone["status"] = {"phase": "Failed", "reason": "Evicted", "message": said, "conditions": conditions}
    world.snapshot.add(gone)
