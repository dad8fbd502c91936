"""kubectl, unchanged, against the API server alone (nothing reconciles here): commands that change things."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from tests.parts.kubectl import Kubectl
from tests.sandbox_api.kubectl_parts import DEPLOYMENT, as_if_rolled_out, make_owner, make_pod
from tests.sandbox_api.running import ADMIN, RunningApi


def test_apply_diff_and_apply_again(kubectl: Kubectl, space: str) -> None:
    created = kubectl("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT)
    assert created.splitlines() == ["deployment.apps/web created", "service/web created"]
    assert "unchanged" in kubectl("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT)
    newer = DEPLOYMENT.replace("web:1.0", "web:1.1")
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
    refused = kubectl.run("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT.replace("replicas:", "replicass:"))
    assert refused.returncode != 0
    assert 'unknown field "spec.replicass"' in refused.stderr


def test_server_side_apply_and_its_conflicts(kubectl: Kubectl, space: str) -> None:
    arguments = ("-n", space, "apply", "--server-side", "--field-manager=gitops", "-f", "-")
    assert "serverside-applied" in kubectl(*arguments, stdin=DEPLOYMENT)
    kubectl("-n", space, "set", "image", "deploy/web", "web=registry.local/web:9")
    refused = kubectl.run(*arguments, stdin=DEPLOYMENT)
    assert refused.returncode != 0
    assert 'Apply failed with 1 conflict: conflict with "kubectl-set" using apps/v1' in refused.stderr
    kubectl(*arguments, "--force-conflicts", stdin=DEPLOYMENT)
    image = kubectl("-n", space, "get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    assert image == "registry.local/web:1.0"


def test_from_client_side_to_server_side_apply(kubectl: Kubectl, space: str) -> None:
    """kubectl moves the ownership by a JSON patch of managedFields."""
    kubectl("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT)
    kubectl("-n", space, "apply", "--server-side", "-f", "-", stdin=DEPLOYMENT)
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
    kubectl("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT)
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
        as_if_rolled_out(api, space)
        out, _ = waiting.communicate(timeout=90)
    finally:
        waiting.kill()
    assert "successfully rolled out" in out
    kubectl("-n", space, "wait", "--for=condition=Available", "deploy/web", "--timeout=60s")


def test_rollout_history_and_undo(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    """With two ReplicaSets, as the deployment controller leaves them."""
    kubectl("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT)
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


def test_editing(kubectl: Kubectl, space: str, tmp_path: Path) -> None:
    """`kubectl edit` and `replace`, which PUT."""
    kubectl("-n", space, "create", "configmap", "c", "--from-literal=a=1")
    found = json.loads(kubectl("-n", space, "get", "cm", "c", "-o", "json"))
    found["data"]["a"] = "2"
    kubectl("-n", space, "replace", "-f", "-", stdin=json.dumps(found))
    stale = kubectl.run("-n", space, "replace", "-f", "-", stdin=json.dumps(found))
    assert "the object has been modified" in stale.stderr
    assert kubectl("-n", space, "get", "cm", "c", "-o", "jsonpath={.data.a}") == "2"


def test_delete_in_all_ways(kubectl: Kubectl, api: RunningApi, space: str) -> None:
    kubectl("-n", space, "apply", "-f", "-", stdin=DEPLOYMENT)
    owner = make_owner(api, space)

    def child(name: str) -> None:
        body = {"metadata": {"name": name, "ownerReferences": [owner]}, "data": {}}
        api.server.create("configmaps", space, body, user=ADMIN)

    api.call(lambda: child("kept"))
    kubectl("-n", space, "delete", "rs", "owner", "--cascade=orphan")
    kept = api.http.get(f"/api/v1/namespaces/{space}/configmaps/kept").json()
    assert "ownerReferences" not in kept["metadata"]
    owner = make_owner(api, space)
    api.call(lambda: child("gone"))
    kubectl("-n", space, "delete", "rs", "owner", "--cascade=foreground", "--timeout=60s")
    assert api.http.get(f"/api/v1/namespaces/{space}/configmaps/gone").status_code == 404
    owner = make_owner(api, space)
    api.call(lambda: child("too"))
    kubectl("-n", space, "delete", "rs", "owner", "--timeout=60s")
    assert api.http.get(f"/api/v1/namespaces/{space}/configmaps/too").status_code == 404
    make_pod(api, space, "stuck")
    kubectl("-n", space, "delete", "pod", "stuck", "--grace-period=0", "--force")
    kubectl("-n", space, "delete", "deploy,svc", "--all", "--timeout=60s")
    assert "No resources" in kubectl.run("-n", space, "get", "deploy,svc").stderr
    kubectl("delete", "ns", space, "--timeout=60s")
