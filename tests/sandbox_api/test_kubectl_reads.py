"""kubectl, unchanged, against the API server alone: commands that look, and operate nodes and rights."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from tests.cluster.sandbox import eventually
from tests.parts.kubectl import Kubectl
from tests.sandbox_api.kubectl_parts import CRD, DEPLOYMENT, Lines, make_owner, make_pod
from tests.sandbox_api.running import ADMIN, RunningApi


def test_get_in_all_forms(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    kubectl("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT)
    make_pod(api, space, "one")
    make_pod(api, space, "two")
    assert "NAME" in kubectl("-n", space, "get", "deploy,svc,pods", "-o", "wide")
    assert kubectl("-n", space, "get", "pods", "-o", "name").split() == ["pod/one", "pod/two"]
    assert kubectl("-n", space, "get", "pods", "-l", "app=two", "-o", "name").split() == ["pod/two"]
    assert kubectl(
        "-n", space, "get", "pods", "--field-selector", "metadata.name=one,status.phase=Running", "-o", "name"
    ).split() == ["pod/one"]
    assert space in kubectl("get", "pods", "-A")
    assert json.loads(kubectl("-n", space, "get", "pods", "-o", "json"))["items"][0]["kind"] == "Pod"
    assert "kind: Pod" in kubectl("-n", space, "get", "pod", "one", "-o", "yaml")
    assert (
        kubectl.run("-n", space, "get", "pods", "absent").stderr
        == 'Error from server (NotFound): pods "absent" not found\n'
    )
    assert "doesn't have a resource type" in kubectl.run("get", "nosuchkind").stderr
    assert "No resources found" in kubectl.run("-n", space, "get", "limitranges").stderr


def test_get_watch(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    command = [str(kubectl._program), "--kubeconfig", str(kubectl.kubeconfig), "-n", space, "get", "pods", "-w"]
    eventually(lambda: not api.call(lambda: len(api.app.watches)))  # none is left of another test
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    try:
        eventually(lambda: api.call(lambda: len(api.app.watches)))
        make_pod(api, space, "late")
        lines = [watching.stdout.readline() for _ in range(3)]
    finally:
        watching.kill()
        watching.communicate()
    assert lines[0].startswith("NAME")
    assert [line.split()[0] for line in lines[1:]] == ["late", "late"]
    assert "Running" in lines[2]


@pytest.mark.parametrize(
    "what",
    "pod/one deploy/web svc/web ns/default node/node1 quota/q sa/default role/r pdb/b cm/c secret/s job/j".split(),
)
def test_describe(kubectl: Kubectl, api: RunningApi, what: str) -> None:
    space = "describe"
    if api.http.get(f"/api/v1/namespaces/{space}").status_code == 404:
        api.namespace(space)
        kubectl("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT)
        pod = make_pod(api, space, "one")
        kubectl("-n", space, "create", "quota", "q", "--hard=pods=10")
        kubectl("-n", space, "create", "role", "r", "--verb=get", "--resource=pods")
        kubectl("-n", space, "create", "pdb", "b", "--selector=app=web", "--min-available=1")
        kubectl("-n", space, "create", "configmap", "c", "--from-literal=a=1")
        kubectl("-n", space, "create", "secret", "generic", "s", "--from-literal=a=1")
        kubectl("-n", space, "create", "job", "j", "--image=x")
        node = {"metadata": {"name": "node1"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}}

        def more() -> None:
            api.server.create("nodes", None, node, user=ADMIN)
            api.server.record_event(
                pod, type="Warning", reason="BackOff", message="Back-off restarting", component="kubelet", host="node1"
            )

        api.call(more)
    out = kubectl("-n", space, "describe", what)
    kind, _, name = what.partition("/")
    assert name in out
    if kind == "pod":
        assert "Back-off restarting" in out
    if kind == "node":
        assert "describe" in out, "the node's pods are listed with their namespace"


def test_cordon_taint_and_drain(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    api.call(lambda: api.server.create("nodes", None, {"metadata": {"name": "drained"}}, user=ADMIN))
    kubectl("taint", "node", "drained", "a=b:NoSchedule")
    kubectl("taint", "node", "drained", "a-")
    pod = make_pod(api, space, "guest")
    api.call(lambda: api.server.delete("pods", space, "guest", user=ADMIN, grace_seconds=0))
    guest = {
        "metadata": {"name": "guest", "labels": pod["metadata"]["labels"]},
        "spec": {**pod["spec"], "nodeName": "drained"},
    }
    guest["metadata"]["ownerReferences"] = [make_owner(api, space)]
    api.call(lambda: api.server.create("pods", space, guest, user=ADMIN))
    command = [str(kubectl._program), "--kubeconfig", str(kubectl.kubeconfig), "drain", "drained", "--timeout=60s"]
    draining = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    path = f"/api/v1/namespaces/{space}/pods/guest"
    while api.http.get(path).status_code == 200 and "deletionTimestamp" not in api.http.get(path).json()["metadata"]:
        assert time.monotonic() < deadline, "the pod was not evicted"
        time.sleep(0.02)
    api.http.delete(path, params={"gracePeriodSeconds": 0})  # as its kubelet would
    out, _ = draining.communicate(timeout=90)
    assert draining.returncode == 0, out
    assert api.http.get("/api/v1/nodes/drained").json()["spec"]["unschedulable"] is True
    kubectl("uncordon", "drained")
    assert "unschedulable" not in api.http.get("/api/v1/nodes/drained").json()["spec"]


def test_rights(kubectl: Kubectl, space: str) -> None:
    who = f"--as=system:serviceaccount:{space}:default"
    assert kubectl("-n", space, "auth", "can-i", "delete", "pods").strip() == "yes"
    assert kubectl.run("-n", space, "auth", "can-i", "delete", "pods", who).stdout.strip() == "no"
    kubectl("-n", space, "create", "role", "r", "--verb=get,list", "--resource=pods")
    kubectl("-n", space, "create", "rolebinding", "rb", "--role=r", f"--serviceaccount={space}:default")
    assert kubectl("-n", space, "auth", "can-i", "list", "pods", who).strip() == "yes"
    assert "pods" in kubectl("-n", space, "auth", "can-i", "--list", who)
    kubectl("-n", space, "get", "pods", who)
    refused = kubectl.run("get", "nodes", who)
    assert 'cannot list resource "nodes" in API group "" at the cluster scope' in refused.stderr


def test_what_the_server_knows(kubectl: Kubectl) -> None:
    resources = kubectl("api-resources")
    assert "deployments" in resources
    assert "policy/v1" in kubectl("api-versions").split()
    assert "v1.36.2" in kubectl("version")
    assert "is running at" in kubectl("cluster-info")
    assert "Number of desired pods" in kubectl("explain", "deployment.spec.replicas")
    assert "containerPort" in kubectl("explain", "pod.spec.containers.ports")
    assert kubectl("get", "--raw", "/readyz") == "ok"


def test_custom_resources(kubectl: Kubectl, space: str) -> None:
    kubectl("apply", "-f", "-", stdin=CRD)
    kubectl("wait", "--for=condition=Established", "crd/checks.ops.example.com", "--timeout=60s")
    manifest = "apiVersion: ops.example.com/v1alpha1\nkind: Check\nmetadata: {name: a}\nspec: {severity: low}\n"
    kubectl("-n", space, "apply", "-f", "-", stdin=manifest)
    assert kubectl("-n", space, "get", "chk").split()[-2:] == ["a", "low"]
    assert "how bad it is" in kubectl("explain", "check.spec.severity")
    refused = kubectl.run("-n", space, "apply", "-f", "-", stdin=manifest.replace("low", "purple"))
    assert 'Unsupported value: "purple": supported values: "low", "high"' in refused.stderr
    kubectl("-n", space, "patch", "check", "a", "--type=merge", "-p", '{"spec":{"severity":"high"}}')
    kubectl("delete", "crd", "checks.ops.example.com", "--timeout=60s")
    # kubectl may still remember the kind; the server does not.
    gone = kubectl.run("-n", space, "get", "chk").stderr
    assert "the server doesn't have a resource type" in gone or "could not find the requested resource" in gone


def test_logs(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    make_pod(api, space, "talk", containerStatuses=[{"name": "app", "state": state, "ready": True, "restartCount": 1}])
    waiting = {"waiting": {"reason": "ImagePullBackOff"}}
    make_pod(
        api, space, "pull", containerStatuses=[{"name": "app", "state": waiting, "ready": False, "restartCount": 0}]
    )
    api.call(lambda: setattr(api.server, "log_source", Lines()))
    assert kubectl("-n", space, "logs", "talk").splitlines() == [f"line {index}" for index in range(5)]
    assert kubectl("-n", space, "logs", "talk", "--tail=2", "-c", "app").splitlines() == ["line 3", "line 4"]
    assert kubectl("-n", space, "logs", "talk", "--since=8s").splitlines()[-1] == "line 4"
    assert kubectl("-n", space, "logs", "talk", "--previous").strip() == "the last words"
    assert kubectl("-n", space, "logs", "talk", "-f").splitlines()[-1] == "and one more"
    assert kubectl("-n", space, "logs", "-l", "app=talk", "--tail=1").strip() == "line 4"
    assert "Z line 0" in kubectl("-n", space, "logs", "talk", "--timestamps")
    refused = kubectl.run("-n", space, "logs", "pull")
    assert 'container "app" in pod "pull" is waiting to start: trying and failing to pull image' in refused.stderr


def test_events(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    pod = make_pod(api, space, "one")

    def note() -> None:
        for _ in range(3):
            api.server.record_event(
                pod, type="Normal", reason="Pulled", message="Pulled it", component="kubelet", host="node1"
            )
        api.server.record_event(
            pod, type="Normal", reason="Scheduled", message="Assigned", component="default-scheduler"
        )

    api.call(note)
    assert "x3" in kubectl("-n", space, "events")
    assert "Pulled it" in kubectl("-n", space, "get", "events")
    assert "Assigned" in kubectl("-n", space, "get", "events.events.k8s.io")
