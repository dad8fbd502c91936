"""Kubelets and nodes: failures from outside, files and variables, logs."""

from __future__ import annotations

import asyncio

import pytest

from healing.sandbox.ports import LogLine, Object, ProbeResult, Usage
from healing.sandbox.world import NodeSpec
from tests.sandbox_world.lab import NAMESPACE, Lab
from tests.sandbox_world.programs import Program
from tests.sandbox_world.test_workloads import in_lab


def ready_status(lab: Lab, node: str) -> str:
    conditions = lab.get("nodes", node)["status"]["conditions"]
    return str(next(c["status"] for c in conditions if c["type"] == "Ready"))


def running_on(lab: Lab, app: str = "web") -> list[str]:
    return sorted(p["spec"].get("nodeName", "") for p in lab.pods(app) if not p["metadata"].get("deletionTimestamp"))


TOLERATES_20 = {
    "tolerations": [
        {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 20}
        for name in ("unreachable", "not-ready")
    ]
}


@pytest.mark.parametrize("kind", ["kubelet-stopped", "down"])
def test_pods_of_a_lost_node_move_and_the_node_comes_back(kind: str) -> None:
    async def scene(lab: Lab) -> None:
        lab.service()
        lab.deployment(spec={"replicas": 2}, pod=TOLERATES_20)
        await lab.until(lab.is_rolled_out)
        assert running_on(lab) == ["node1", "node2"]
        lab.world.node("node1").fail(kind)  # type: ignore[arg-type]
        await lab.until(lambda: ready_status(lab, "node1") == "Unknown", 15)
        taints = {(t["key"], t["effect"]) for t in lab.get("nodes", "node1")["spec"]["taints"]}
        assert ("node.kubernetes.io/unreachable", "NoSchedule") in taints
        await lab.until(lambda: running_on(lab) == ["node2", "node2"], 40)
        await lab.until(lambda: (lab.get("deployments.apps", "web")["status"].get("availableReplicas")) == 2)
        assert len(lab.pods()) == 3, "the old pod stays Terminating: nobody is there to end it"
        assert lab.world.node("node1").failures == {kind}
        lab.world.node("node1").recover()
        await lab.until(lambda: ready_status(lab, "node1") == "True", 15)
        await lab.until(lambda: len(lab.pods()) == 2, 60)
        await lab.until(lambda: "taints" not in lab.get("nodes", "node1")["spec"], 15)

    in_lab(scene, 2)


def test_a_short_silence_harms_nothing() -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment()
        await lab.until(lab.is_rolled_out)
        before = {p["metadata"]["uid"] for p in lab.pods()}
        lab.world.node("node1").fail("kubelet-stopped")
        await lab.sleep(5)
        lab.world.node("node1").recover()
        await lab.sleep(30)
        assert ready_status(lab, "node1") == "True"
        assert {p["metadata"]["uid"] for p in lab.pods()} == before
        assert not lab.events("NodeNotReady")

    in_lab(scene)


@pytest.mark.parametrize(
    ("kind", "condition"), [("memory-pressure", "MemoryPressure"), ("disk-pressure", "DiskPressure")]
)
def test_pressure_taints_the_node_and_evicts(kind: str, condition: str) -> None:
    async def scene(lab: Lab) -> None:
        lab.deployment(spec={"replicas": 2})
        await lab.until(lab.is_rolled_out)
        lab.world.node("node1").fail(kind)  # type: ignore[arg-type]

        def is_tainted() -> bool:
            return f"node.kubernetes.io/{kind}" in {
                t["key"] for t in lab.get("nodes", "node1")["spec"].get("taints") or ()
            }

        await lab.until(is_tainted, 20)
        entry = next(c for c in lab.get("nodes", "node1")["status"]["conditions"] if c["type"] == condition)
        assert entry["status"] == "True"
        await lab.until(lambda: running_on(lab).count("node2") == 2, 60)
        evicted = [p for p in lab.pods() if p["status"]["phase"] == "Failed"]
        assert len(evicted) == 1
        assert evicted[0]["status"]["reason"] == "Evicted"
        assert "low on resource" in evicted[0]["status"]["message"]
        lab.world.node("node1").recover()
        await lab.until(lambda: not is_tainted(), 20)

    in_lab(scene, 2)


def test_a_node_whose_memory_is_used_up_evicts_the_greediest_pod() -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["registry.local/hog:1"] = Program(usage=Usage(0.1, 1950 * 2**20))
        lab.deployment()
        lab.deployment("hog", "registry.local/hog:1")
        await lab.until(lambda: any(p["status"].get("reason") == "Evicted" for p in lab.pods("hog")), 60)
        assert all(p["status"].get("reason") != "Evicted" for p in lab.pods("web"))

    in_lab(scene, [NodeSpec("node1", memory="2Gi")])


def test_unknown_failures_are_refused() -> None:
    async def scene(lab: Lab) -> None:
        with pytest.raises(ValueError, match="kubelet-stopped"):
            lab.world.node("node1").fail("on-fire")  # type: ignore[arg-type]
        with pytest.raises(KeyError):
            lab.world.node("node9")

    in_lab(scene)


def test_variables_and_files() -> None:
    async def scene(lab: Lab) -> None:
        lab.service("db", {"port": 5432}, {"app": "db"})
        lab.create("configmaps", {"metadata": {"name": "settings"}, "data": {"LEVEL": "info", "app.yaml": "a: 1"}})
        lab.create("secrets", {"metadata": {"name": "keys"}, "stringData": {"password": "example"}})
        env = [
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
            {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "none", "key": "x", "optional": True}}},
            {"name": "URL", "value": "http://$(PASSWORD)@db $$(PASSWORD) $(UNKNOWN)"},
            {"name": "CORES", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ]
        lab.deployment(
            container={
                "env": env,
                "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "APP_"}],
                "args": ["--level=$(APP_LEVEL)"],
                "resources": {"limits": {"cpu": "1500m"}},
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/app"},
                    {"name": "config", "mountPath": "/etc/frozen.yaml", "subPath": "app.yaml"},
                ],
            },
            pod={"volumes": [{"name": "config", "configMap": {"name": "settings"}}]},
        )
        await lab.until(lab.is_rolled_out)
        pod = lab.pods()[0]
        start = lab.runtime.process(pod["metadata"]["name"]).start
        assert start.env["NAME"] == pod["metadata"]["name"]
        assert start.env["IP"] == pod["status"]["podIP"] == start.pod_ip
        assert start.env["URL"] == "http://example@db $(PASSWORD) $(UNKNOWN)"
        assert (start.env["APP_LEVEL"], start.env["CORES"]) == ("info", "2")
        assert "MAYBE" not in start.env
        assert start.env["DB_SERVICE_PORT"] == "5432"
        assert start.args == ["--level=info"]
        assert start.cpu_limit_cores == 1.5
        assert start.files["/etc/app/app.yaml"] == "a: 1"
        lab.mutate("configmaps", "settings", lambda item: item["data"].update({"app.yaml": "a: 2"}))
        await lab.sleep(12)
        assert start.files["/etc/app/app.yaml"] == "a: 2"
        assert start.files["/etc/frozen.yaml"] == "a: 1", "a file mounted by subPath stays"

    in_lab(scene)


def container(name: str, image: str = "registry.local/web:1.0", **more: object) -> Object:
    return {"name": name, "image": image, **more}


def test_sidecars_start_first_and_stop_last() -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["registry.local/web:1.0"].stops_after_seconds = 0.5
        lab.runtime.programs["registry.local/web:1.1"].stops_after_seconds = 0.5
        sidecar = container("proxy", "registry.local/web:1.1", restartPolicy="Always")
        lab.deployment(
            pod={"initContainers": [container("prepare", "busybox:1.36"), sidecar], "terminationGracePeriodSeconds": 10}
        )
        await lab.until(lab.is_rolled_out)
        started = [p.start.container for p in lab.runtime.processes]
        assert started == ["prepare", "proxy", "web"]
        pod = lab.pods()[0]
        lab.mutate("deployments.apps", "web", lambda d: d["spec"].update(replicas=0))
        await lab.until(lambda: not lab.pods())
        proxy, web = lab.runtime.processes[1], lab.runtime.processes[2]
        assert web.terminated_at is not None
        assert proxy.terminated_at is not None
        assert proxy.terminated_at > web.terminated_at
        last = [
            c.object
            for c in lab.history
            if c.resource == "pods" and c.object["metadata"]["uid"] == pod["metadata"]["uid"]
        ]
        assert last[-1]["status"]["phase"] == "Succeeded"

    in_lab(scene)


def test_startup_probe_holds_back_the_others() -> None:
    async def scene(lab: Lab) -> None:
        program = lab.runtime.programs["registry.local/web:1.0"]
        program.exec_result = lambda _age: ProbeResult(False, "not yet")
        startup = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 30}
        liveness = {"httpGet": {"port": 81}, "periodSeconds": 1, "failureThreshold": 1}
        lab.deployment(container={"startupProbe": startup, "livenessProbe": liveness})
        await lab.sleep(10)
        status = lab.pods()[0]["status"]["containerStatuses"][0]
        assert (status["started"], status["ready"], status["restartCount"]) == (False, False, 0)
        program.exec_result = lambda _age: ProbeResult(True)
        await lab.until(lambda: lab.pods()[0]["status"]["containerStatuses"][0]["restartCount"] == 1, 20)

    in_lab(scene)


def test_logs_of_this_and_the_previous_process_and_following() -> None:
    async def scene(lab: Lab) -> None:
        program = lab.runtime.programs["registry.local/web:1.0"]
        lab.deployment()
        await lab.until(lab.is_rolled_out)
        uid = lab.pods()[0]["metadata"]["uid"]
        source = lab.world.log_source
        assert [line.text for line in source.logs(uid, "web") or ()] == ["started registry.local/web:1.0 as web #0"]
        assert source.logs(uid, "web", previous=True) is None
        assert source.logs(uid, "nobody") is None
        assert source.usage(uid)["web"].memory_bytes == 10 * 2**20
        seen: list[str] = []

        async def follow() -> None:
            async for line in source.follow(uid, "web"):
                seen.append(line.text)  # noqa: PERF401 - the test looks at it while it grows

        task = asyncio.create_task(follow())
        await lab.sleep(0.5)
        lab.runtime.processes[-1].lines.append(LogLine(lab.clock(), "hello"))
        await lab.sleep(1)
        program.lives_seconds = 0.0
        await lab.sleep(1.5)
        program.lives_seconds = None
        await asyncio.wait_for(task, 10)
        assert seen == ["hello"]
        await lab.until(lambda: lab.pods()[0]["status"]["containerStatuses"][0]["restartCount"] >= 1, 30)
        assert "hello" in [line.text for line in source.logs(uid, "web", previous=True) or ()]

    in_lab(scene)


def test_a_deleted_pod_leaves_at_the_end_of_its_programs_patience() -> None:
    async def scene(lab: Lab) -> None:
        lab.runtime.programs["registry.local/web:1.0"].stops_after_seconds = 4.0
        lab.deployment(pod={"terminationGracePeriodSeconds": 30})
        await lab.until(lab.is_rolled_out)
        name = lab.pods()[0]["metadata"]["name"]
        lab.delete("pods", name)
        since = lab.now()
        await lab.until(lambda: lab.cluster.get("pods", NAMESPACE, name) is None, 20)
        assert 4 < lab.now() - since < 7
        assert lab.runtime.processes[0].exit is not None
        assert lab.runtime.processes[0].exit.code == 0

    in_lab(scene)
