"""kubectl, unchanged, against the API server alone (nothing reconciles here)."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from healing.sandbox.ports import LogLine, Object, Usage
from tests.parts.kubectl import Kubectl
from tests.sandbox_api.running import ADMIN, RunningApi

_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "registry.local/web:1.0", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"""
_CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: checks.ops.example.com}
spec:
  group: ops.example.com
  scope: Namespaced
  names: {kind: Check, plural: checks, shortNames: [chk]}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: Severity, type: string, jsonPath: .spec.severity}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [severity]
            properties: {severity: {type: string, enum: [low, high], description: how bad it is}}
"""


@pytest.fixture(scope="module")
def kubectl(api: RunningApi, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return Kubectl(api.kubeconfig(tmp_path_factory.mktemp("kubectl")))


@pytest.fixture
def space(api: RunningApi, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    name: str = request.node.name.replace("_", "-").replace("test-", "", 1)[:60].rstrip("-")
    api.namespace(name)
    return name


def _as_if_rolled_out(api: RunningApi, namespace: str, name: str = "web") -> None:
    """What the deployment controller would report when all is well."""

    def ready(obj: Object) -> None:
        replicas = obj["spec"]["replicas"]
        obj["status"] = {
            "observedGeneration": obj["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
            "conditions": [{"type": "Available", "status": "True"}],
        }

    api.call(lambda: api.server.mutate("deployments.apps", namespace, name, ready, user=ADMIN, subresource="status"))


def _pod(api: RunningApi, namespace: str, name: str, **status: object) -> Object:
    body: Object = {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"nodeName": "node1", "containers": [{"name": "app", "image": "x"}]},
    }

    def make() -> Object:
        api.server.create("pods", namespace, body, user=ADMIN)
        running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], **status}
        return api.server.mutate(
            "pods", namespace, name, lambda obj: obj.update(status=running), user=ADMIN, subresource="status"
        )

    return api.call(make)


def test_apply_diff_and_apply_again(kubectl: Kubectl, space: str) -> None:
    created = kubectl("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT)
    assert created.splitlines() == ["deployment.apps/web created", "service/web created"]
    assert "unchanged" in kubectl("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT)
    newer = _DEPLOYMENT.replace("web:1.0", "web:1.1")
    diff = kubectl.run("-n", space, "diff", "-f", "-", stdin=newer)
    assert diff.returncode == 1
    assert (
        "+        image: registry.local/web:1.1" in diff.stdout
        or "+      - image: registry.local/web:1.1" in diff.stdout
    )
    assert "deployment.apps/web configured" in kubectl("-n", space, "apply", "-f", "-", stdin=newer)
    image = kubectl("-n", space, "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "registry.local/web:1.1"


def test_a_manifest_with_a_typo_is_refused(kubectl: Kubectl, space: str) -> None:
    refused = kubectl.run("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT.replace("replicas:", "replicass:"))
    assert refused.returncode != 0
    assert 'unknown field "spec.replicass"' in refused.stderr


def test_server_side_apply_and_its_conflicts(kubectl: Kubectl, space: str) -> None:
    arguments = ("-n", space, "apply", "--server-side", "--field-manager=gitops", "-f", "-")
    assert "serverside-applied" in kubectl(*arguments, stdin=_DEPLOYMENT)
    kubectl("-n", space, "set", "image", "deploy/web", "web=registry.local/web:9")
    refused = kubectl.run(*arguments, stdin=_DEPLOYMENT)
    assert refused.returncode != 0
    assert 'Apply failed with 1 conflict: conflict with "kubectl-set" using apps/v1' in refused.stderr
    kubectl(*arguments, "--force-conflicts", stdin=_DEPLOYMENT)
    image = kubectl("-n", space, "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "registry.local/web:1.0"


def test_from_client_side_to_server_side_apply(kubectl: Kubectl, space: str) -> None:
    """kubectl moves the ownership by a JSON patch of managedFields."""
    kubectl("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT)
    kubectl("-n", space, "apply", "--server-side", "-f", "-", stdin=_DEPLOYMENT)
    entries = json.loads(kubectl("-n", space, "get", "deploy", "web", "-o", "json", "--show-managed-fields"))
    managers = {(item["manager"], item["operation"]) for item in entries["metadata"]["managedFields"]}
    assert ("kubectl", "Apply") in managers
    assert ("kubectl-client-side-apply", "Update") not in managers


def test_changing_a_deployment(kubectl: Kubectl, space: str) -> None:
    kubectl("-n", space, "create", "deployment", "web", "--image=registry.local/web:1.0", "--replicas=1", "--port=80")
    kubectl("-n", space, "scale", "deploy/web", "--replicas=3")
    kubectl("-n", space, "set", "env", "deploy/web", "LEVEL=debug")
    kubectl("-n", space, "set", "resources", "deploy/web", "-c=web", "--limits=memory=96Mi")
    kubectl("-n", space, "label", "deploy", "web", "team=a")
    kubectl("-n", space, "label", "deploy", "web", "team=b", "--overwrite")
    kubectl("-n", space, "label", "deploy", "web", "team-")
    kubectl("-n", space, "annotate", "deploy", "web", "why=test")
    kubectl(
        "-n", space, "patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":4}}'
    )
    kubectl(
        "-n",
        space,
        "patch",
        "deploy",
        "web",
        "--type=json",
        "-p",
        '[{"op":"add","path":"/metadata/labels/x","value":"y"}]',
    )
    found = json.loads(kubectl("-n", space, "get", "deploy", "web", "-o", "json"))
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert found["spec"]["replicas"] == 4
    assert container["env"] == [{"name": "LEVEL", "value": "debug"}]
    assert container["resources"] == {"limits": {"memory": "96Mi"}}
    assert found["metadata"]["labels"] == {"app": "web", "x": "y"}
    assert found["metadata"]["annotations"]["why"] == "test"


def test_rollout_commands(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    kubectl("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT)
    kubectl("-n", space, "rollout", "pause", "deploy/web")
    assert "already paused" in kubectl.run("-n", space, "rollout", "pause", "deploy/web").stderr
    kubectl("-n", space, "rollout", "resume", "deploy/web")
    kubectl("-n", space, "rollout", "restart", "deploy/web")
    command = [
        str(kubectl._program),
        "--kubeconfig",
        str(kubectl.kubeconfig),
        "-n",
        space,
        "rollout",
        "status",
        "deploy/web",
    ]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.3)
        assert waiting.poll() is None, "it should wait for the rollout"
        _as_if_rolled_out(api, space)
        out, _ = waiting.communicate(timeout=10)
    finally:
        waiting.kill()
    assert "successfully rolled out" in out
    kubectl("-n", space, "wait", "--for=condition=Available", "deploy/web", "--timeout=10s")


def test_rollout_history_and_undo(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    """With two ReplicaSets, as the deployment controller leaves them."""
    kubectl("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT)
    deployment = json.loads(kubectl("-n", space, "get", "deploy", "web", "-o", "json"))

    def leave() -> None:
        owner = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "web",
            "uid": deployment["metadata"]["uid"],
            "controller": True,
        }
        for revision, image in (("1", "registry.local/web:0.9"), ("2", "registry.local/web:1.0")):
            labels = {"app": "web", "pod-template-hash": f"h{revision}"}
            template = {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "web", "image": image, "ports": [{"containerPort": 80}]}]},
            }
            body = {
                "metadata": {"name": f"web-h{revision}", "labels": labels, "ownerReferences": [owner],
                             "annotations": {"deployment.kubernetes.io/revision": revision}},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
            }  # fmt: skip
            api.server.create("replicasets.apps", space, body, user=ADMIN)

    api.call(leave)
    assert kubectl("-n", space, "rollout", "history", "deploy/web").split()[-4:] == ["1", "<none>", "2", "<none>"]
    assert (
        "unable to find specified revision 99"
        in kubectl.run("-n", space, "rollout", "undo", "deploy/web", "--to-revision=99").stderr
    )
    assert "rolled back" in kubectl("-n", space, "rollout", "undo", "deploy/web")
    image = kubectl("-n", space, "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "registry.local/web:0.9"


def test_get_in_all_forms(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    kubectl("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT)
    _pod(api, space, "one")
    _pod(api, space, "two")
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
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    try:
        deadline = time.monotonic() + 10
        while not api.call(lambda: len(api.app.watches)):
            assert time.monotonic() < deadline, "kubectl did not watch"
            time.sleep(0.02)
        _pod(api, space, "late")
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
        kubectl("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT)
        pod = _pod(api, space, "one")
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
    pod = _pod(api, space, "guest")
    api.call(lambda: api.server.delete("pods", space, "guest", user=ADMIN, grace_seconds=0))
    guest = {
        "metadata": {"name": "guest", "labels": pod["metadata"]["labels"]},
        "spec": {**pod["spec"], "nodeName": "drained"},
    }
    guest["metadata"]["ownerReferences"] = [_some_owner(api, space)]
    api.call(lambda: api.server.create("pods", space, guest, user=ADMIN))
    command = [str(kubectl._program), "--kubeconfig", str(kubectl.kubeconfig), "drain", "drained", "--timeout=10s"]
    draining = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 10
    path = f"/api/v1/namespaces/{space}/pods/guest"
    while api.http.get(path).status_code == 200 and "deletionTimestamp" not in api.http.get(path).json()["metadata"]:
        assert time.monotonic() < deadline, "the pod was not evicted"
        time.sleep(0.02)
    api.http.delete(path, params={"gracePeriodSeconds": 0})  # as its kubelet would
    out, _ = draining.communicate(timeout=20)
    assert draining.returncode == 0, out
    assert api.http.get("/api/v1/nodes/drained").json()["spec"]["unschedulable"] is True
    kubectl("uncordon", "drained")
    assert "unschedulable" not in api.http.get("/api/v1/nodes/drained").json()["spec"]


def _some_owner(api: RunningApi, namespace: str) -> Object:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    body = {"metadata": {"name": "owner"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    owner = api.call(lambda: api.server.create("replicasets.apps", namespace, body, user=ADMIN))
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }


def test_delete_in_all_ways(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    kubectl("-n", space, "apply", "-f", "-", stdin=_DEPLOYMENT)
    owner = _some_owner(api, space)

    def child(name: str) -> None:
        body = {"metadata": {"name": name, "ownerReferences": [owner]}, "data": {}}
        api.server.create("configmaps", space, body, user=ADMIN)

    api.call(lambda: child("kept"))
    kubectl("-n", space, "delete", "rs", "owner", "--cascade=orphan")
    kept = api.http.get(f"/api/v1/namespaces/{space}/configmaps/kept").json()
    assert "ownerReferences" not in kept["metadata"]
    owner = _some_owner(api, space)
    api.call(lambda: child("gone"))
    kubectl("-n", space, "delete", "rs", "owner", "--cascade=foreground", "--timeout=10s")
    assert api.http.get(f"/api/v1/namespaces/{space}/configmaps/gone").status_code == 404
    owner = _some_owner(api, space)
    api.call(lambda: child("too"))
    kubectl("-n", space, "delete", "rs", "owner", "--timeout=10s")
    assert api.http.get(f"/api/v1/namespaces/{space}/configmaps/too").status_code == 404
    _pod(api, space, "stuck")
    kubectl("-n", space, "delete", "pod", "stuck", "--grace-period=0", "--force")
    kubectl("-n", space, "delete", "deploy,svc", "--all", "--timeout=10s")
    assert "No resources" in kubectl.run("-n", space, "get", "deploy,svc").stderr
    kubectl("delete", "ns", space, "--timeout=10s")


def test_create_and_expose(kubectl: Kubectl, space: str) -> None:
    kubectl("-n", space, "create", "configmap", "c", "--from-literal=a=1")
    assert "already exists" in kubectl.run("-n", space, "create", "configmap", "c").stderr
    kubectl("-n", space, "create", "quota", "q", "--hard=configmaps=2")
    assert "exceeded quota: q" in kubectl.run("-n", space, "create", "configmap", "d").stderr
    kubectl("-n", space, "create", "deployment", "web", "--image=x")
    kubectl("-n", space, "expose", "deploy", "web", "--port=80", "--target-port=8080")
    service = json.loads(kubectl("-n", space, "get", "svc", "web", "-o", "json"))
    assert service["spec"]["clusterIP"].startswith("10.96.")
    kubectl("-n", space, "autoscale", "deploy", "web", "--min=1", "--max=4", "--cpu-percent=80")
    scaler = json.loads(kubectl("-n", space, "get", "hpa", "web", "-o", "json"))
    assert scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    kubectl("-n", space, "run", "once", "--image=busybox:1.36", "--restart=Never", "--", "true")
    assert len(kubectl("-n", space, "create", "token", "default").strip()) > 20


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
    kubectl("apply", "-f", "-", stdin=_CRD)
    kubectl("wait", "--for=condition=Established", "crd/checks.ops.example.com", "--timeout=10s")
    manifest = "apiVersion: ops.example.com/v1alpha1\nkind: Check\nmetadata: {name: a}\nspec: {severity: low}\n"
    kubectl("-n", space, "apply", "-f", "-", stdin=manifest)
    assert kubectl("-n", space, "get", "chk").split()[-2:] == ["a", "low"]
    assert "how bad it is" in kubectl("explain", "check.spec.severity")
    refused = kubectl.run("-n", space, "apply", "-f", "-", stdin=manifest.replace("low", "purple"))
    assert 'Unsupported value: "purple": supported values: "low", "high"' in refused.stderr
    kubectl("-n", space, "patch", "check", "a", "--type=merge", "-p", '{"spec":{"severity":"high"}}')
    kubectl("delete", "crd", "checks.ops.example.com", "--timeout=10s")
    # kubectl may still remember the kind; the server does not.
    gone = kubectl.run("-n", space, "get", "chk").stderr
    assert "the server doesn't have a resource type" in gone or "could not find the requested resource" in gone


class _Lines:
    """A log source as the kubelets are."""

    def logs(self, pod_uid: str, container: str, *, previous: bool = False) -> list[LogLine] | None:
        if previous:
            return [LogLine(time.time() - 60, "the last words")]
        return [LogLine(time.time() - 10 + index, f"line {index}") for index in range(5)]

    def usage(self, pod_uid: str) -> dict[str, Usage]:
        return {}

    async def follow(self, pod_uid: str, container: str):  # type: ignore[no-untyped-def]
        yield LogLine(time.time(), "and one more")


def test_logs(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    _pod(api, space, "talk", containerStatuses=[{"name": "app", "state": state, "ready": True, "restartCount": 1}])
    waiting = {"waiting": {"reason": "ImagePullBackOff"}}
    _pod(api, space, "pull", containerStatuses=[{"name": "app", "state": waiting, "ready": False, "restartCount": 0}])
    api.call(lambda: setattr(api.server, "log_source", _Lines()))
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
    pod = _pod(api, space, "one")

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


def test_editing(kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    """`kubectl edit` and `replace`, which PUT."""
    kubectl("-n", space, "create", "configmap", "c", "--from-literal=a=1")
    found = json.loads(kubectl("-n", space, "get", "cm", "c", "-o", "json"))
    found["data"]["a"] = "2"
    kubectl("-n", space, "replace", "-f", "-", stdin=json.dumps(found))
    stale = kubectl.run("-n", space, "replace", "-f", "-", stdin=json.dumps(found))
    assert "the object has been modified" in stale.stderr
    assert kubectl("-n", space, "get", "cm", "c", "-o", "jsonpath={.data.a}") == "2"
