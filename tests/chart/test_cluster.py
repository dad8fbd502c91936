"""The chart in a cluster: valid for the oldest and the newest Kubernetes, taken by an API server, upgraded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from recist_web.environment import PROJECT_DIR
from tests.chart.rendering import CHART, EVERYTHING, OWN_STORES, Object, helm, hook_of, named, of_kind, rendered
from tests.cluster.sandbox import RunningSandbox, eventually, running_sandbox
from tests.parts.kubectl import Kubectl

VERSIONS = ("1.26", "1.37")
MATRIX: dict[str, tuple[str, ...]] = {
    "plain": (),
    "everything": ("--values", str(EVERYTHING)),
    "own-stores": ("--values", str(OWN_STORES)),
    "read-only": ("--set", "rbac.readOnly=true", "--set", "prometheus.url=off", "--set", "loki.url=off"),
    "some-actions": ("--set", "rbac.actions={restart,rollback,isolate,release}"),
    "namespaces": ("--set", "rbac.namespaces={shop,billing}", "--set", "networkPolicy.enabled=false"),
    "many-clusters": ("--set", "clusters.existingSecret=clusters", "--set", "service.type=LoadBalancer"),
    "seed-stores": ("--set", "valkey.enabled=false,qdrant.enabled=false,postgresql.storageClassName=fast"),
    "bare": ("--set", "rbac.create=false,crds.upgrade=false,podDisruptionBudgets=false"),
}
#: of the Prometheus operator: neither the schemas nor the sandbox know them
FOREIGN = {"ServiceMonitor", "PrometheusRule"}
SCENARIO = {
    "apiVersion": "sandbox.recist.io/v1",
    "kind": "Scenario",
    "metadata": {"name": "for-the-chart"},
    "nodes": 2,
    "catalogue": {
        # Whatever it is asked to do, it has done it in a moment: migrations, for one.
        "programs": {
            "recist": {"kind": "server", "entrypoint": ["python"], "crash": {"after_seconds": 0.2, "exit_code": 0}}
        },
        "repositories": {"registry.example.com/recist": {"one": "recist", "two": "recist"}},
    },
}
DISKS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: rancher.io/local-path
volumeBindingMode: WaitForFirstConsumer
"""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("chart")
    scenario = directory / "scenario.yaml"
    scenario.write_text(yaml.safe_dump(SCENARIO))
    with running_sandbox(directory, scenario=str(scenario), with_crds=False) as started:
        Kubectl(started.kubeconfig)("apply", "--filename", "-", stdin=DISKS)
        yield started


@pytest.fixture(scope="module")
def kubectl(sandbox: RunningSandbox) -> Kubectl:
    return Kubectl(sandbox.kubeconfig)


def new_namespace(kubectl: Kubectl, name: str) -> str:
    """One that insists on restricted pods."""
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    return name


@pytest.mark.parametrize("version", VERSIONS)
def test_the_oldest_and_the_newest_kubernetes_know_every_field(version: str) -> None:
    found = [entry for values in MATRIX.values() for entry in rendered(*values) if entry["kind"] not in FOREIGN]
    different = {json.dumps(entry, sort_keys=True): entry for entry in found if entry["kind"] != "Secret"}
    assert len(different) > 60
    for entry in (*different.values(), *of_kind(rendered(), "Secret")):
        kubernetes_validate.validate(entry, version, strict=True)


def test_the_check_of_fields_finds_what_is_wrong() -> None:
    (service, *_) = of_kind(rendered(), "Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**service, "spec": {**service["spec"], "prots": []}}, "1.37", strict=True)


@pytest.mark.parametrize("name", MATRIX)
def test_an_api_server_takes_all_of_it(kubectl: Kubectl, name: str) -> None:
    namespace = new_namespace(kubectl, f"matrix-{name}")
    known = {line.removeprefix("namespace/") for line in kubectl("get", "namespaces", "-o", "name").splitlines()}
    objects = [found for found in rendered(*MATRIX[name]) if found["kind"] not in FOREIGN]
    for found in objects:
        if not found["kind"].startswith("Cluster"):
            elsewhere = found["metadata"].setdefault("namespace", namespace)
            if elsewhere not in known:
                known.add(elsewhere)
                kubectl("create", "namespace", elsewhere)
    done = kubectl.run("apply", "--filename", "-", stdin=yaml.safe_dump_all(objects))
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(objects)
    assert "Warning" not in done.stderr
    eventually(lambda: len(pods_in(kubectl, namespace)) >= 5)
    refusals = kubectl("get", "events", "-n", namespace, "--field-selector", "reason=FailedCreate", "-o", "name")
    assert refusals == "", "a pod is not restricted"
    kubectl("delete", "namespace", namespace, "--wait=false")
    cluster_wide = ("clusterrolebindings,clusterroles", "--selector", "app.kubernetes.io/name=recist")
    kubectl("delete", *cluster_wide, "--wait=false")


def pods_in(kubectl: Kubectl, namespace: str) -> list[Object]:
    return list(json.loads(kubectl("get", "pods", "--namespace", namespace, "--output", "json"))["items"])


@pytest.mark.timeout(240)
def test_the_seeds_commands_install_it_and_an_upgrade_migrates_first(kubectl: Kubectl, sandbox: RunningSandbox) -> None:
    namespace = "recist-system"
    kubectl("create", "namespace", namespace)
    kubectl("create", "secret", "generic", "llm-api-key", "--namespace", namespace, "--from-literal=key=your-api-key")
    install = ["install", "recist", "./helm/recist", "--namespace", namespace]
    image = ["--set", "image.repository=registry.example.com/recist"]
    done = helm(*install, *image, "--set", "image.tag=one", kubeconfig=sandbox.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert "createsuperuser" in done.stdout
    assert "healingevents.recist.io" in kubectl("get", "crds", "--output", "name")
    secret = kubectl("get", "secret", "recist", "--namespace", namespace, "--output", "jsonpath={.data}")

    def finished() -> list[str]:
        jobs = json.loads(kubectl("get", "jobs", "--namespace", namespace, "--output", "json"))["items"]
        return [job["metadata"]["name"] for job in jobs if job.get("status", {}).get("succeeded")]

    eventually(lambda: len(finished()) == 1, seconds=60)
    first = finished()
    eventually(lambda: kubectl("get", "statefulset", "-n", namespace, "-o", "name").count("recist-") == 3, seconds=60)

    # A hook has to be over before anything of the release is changed: helm waits for it.
    upgrade = ["upgrade", "recist", "./helm/recist", "--namespace", namespace, *image, "--set", "image.tag=two"]
    done = helm(*upgrade, "--timeout", "90s", kubeconfig=sandbox.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert "STATUS: deployed" in done.stdout
    assert kubectl("get", "secret", "recist", "-n", namespace, "-o", "jsonpath={.data}") == secret, "keys are kept"
    jobs = kubectl("get", "jobs", "--namespace", namespace, "--output", "name")
    assert jobs == "", f"{first} is done and gone, hooks are taken away: {jobs}"
    assert "recist-crds" not in kubectl("get", "clusterroles", "--output", "name")
    images = kubectl("get", "deployments", "-n", namespace, "-o", "jsonpath={..containers[*].image}").split()
    assert set(images) == {"registry.example.com/recist:two"}
    events = kubectl("get", "events", "--namespace", namespace, "--output", "json")
    about = {(event["involvedObject"]["name"], event["reason"]) for event in json.loads(events)["items"]}
    assert {("recist-migrations", "Completed"), ("recist-crds", "Completed")} <= about

    done = helm("uninstall", "recist", "--namespace", namespace, kubeconfig=sandbox.kubeconfig)
    assert done.returncode == 0, done.stderr
    left = kubectl("get", "clusterroles,clusterrolebindings", "--output", "name")
    assert "recist" not in left.replace("recist.io", "")


def test_a_failed_migration_stops_the_upgrade(kubectl: Kubectl, sandbox: RunningSandbox) -> None:
    """Before anything is installed that would need it."""
    namespace = new_namespace(kubectl, "broken-upgrade")
    kubectl("create", "secret", "generic", "recist-database", "-n", namespace, "--from-literal=url=postgres://a@b/c")
    given = ["--namespace", namespace, "--values", str(OWN_STORES), "--timeout", "4s"]
    given += ["--set", "image.repository=registry.example.com/recist,image.tag=never-made"]
    done = helm("install", "other", str(CHART), *given, kubeconfig=sandbox.kubeconfig)
    assert done.returncode != 0
    assert "pre-install" in done.stderr
    assert kubectl("get", "deployments", "--namespace", namespace, "--output", "name") == ""


PEER = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {labels}}}
spec:
  restartPolicy: Never
  securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}
  containers:
    - name: peer
      image: busybox:1.36
      command: [sh, -c, "{script}"]
      securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
"""


@pytest.mark.timeout(180)
def test_our_pods_reach_the_stores_and_strangers_do_not(kubectl: Kubectl) -> None:
    namespace = new_namespace(kubectl, "reach")
    parts = ("networkpolicies", "secret", "postgresql", "valkey")
    wanted = rendered(*(part for name in parts for part in ("--show-only", f"templates/{name}.yaml")))
    kubectl("apply", "--namespace", namespace, "--filename", "-", stdin=yaml.safe_dump_all(wanted))

    def ready() -> bool:
        found = pods_in(kubectl, namespace)
        conditions = [entry for pod in found for entry in pod["status"].get("conditions", ())]
        return [entry["status"] for entry in conditions if entry["type"] == "Ready"] == ["True", "True"]

    eventually(ready, seconds=60)
    tries = "; ".join(
        f"nc -z -w 2 recist-{store} {port} && echo {store} open || echo {store} closed"
        for store, port in (("postgresql", 5432), ("valkey", 6379))
    )
    ours = named(rendered(), "Deployment", "recist-worker-healing")["spec"]["template"]["metadata"]["labels"]
    for name, labels in (("ours", ours), ("stranger", {"app": "other"})):
        pod = PEER.format(name=name, labels=json.dumps(labels), script=tries)
        kubectl("apply", "--namespace", namespace, "--filename", "-", stdin=pod)

    def said(name: str) -> list[str]:
        lines = kubectl.run("logs", name, "--namespace", namespace).stdout.splitlines()
        return [line for line in lines if line.endswith((" open", " closed"))]

    eventually(lambda: len(said("ours")) == 2 and len(said("stranger")) == 2, seconds=60)
    assert said("ours") == ["postgresql open", "valkey open"]
    assert said("stranger") == ["postgresql closed", "valkey closed"]


def test_an_upgrade_brings_the_resource_types_up_to_date_with_the_rights_it_has(
    kubectl: Kubectl, sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """What the hook's container runs, by the hook's ServiceAccount."""
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(CHART / "crds"))
    old = '[{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]'
    name = "healingevents.recist.io"
    kubectl("patch", "crd", name, "--type", "json", "--patch", old)
    namespace = new_namespace(kubectl, "crd-upgrade")
    hooks = [found for found in rendered("--show-only", "templates/crd-upgrade.yaml") if hook_of(found)]
    roles = [found for found in hooks if found["kind"] != "Job"]
    for found in of_kind(roles, "ClusterRoleBinding"):
        found["subjects"][0]["namespace"] = namespace
    kubectl("apply", "--namespace", namespace, "--filename", "-", stdin=yaml.safe_dump_all(roles))
    (job,) = of_kind(hooks, "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]

    token = kubectl("create", "token", "recist-crds", "--namespace", namespace).strip()
    config: dict[str, Any] = yaml.safe_load(sandbox.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    assert container["command"][0] == "python"
    done = subprocess.run(
        [sys.executable, *container["command"][1:]],
        cwd=PROJECT_DIR,
        env={**os.environ, "KUBECONFIG": str(tmp_path / "kubeconfig")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"applied: {name}" in done.stdout
    columns = kubectl("get", "crd", name, "--output", "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}")
    assert columns
    hook = f"system:serviceaccount:{namespace}:recist-crds"
    forbidden = kubectl.run("delete", "crd", name, "--as", hook)
    assert "forbidden" in forbidden.stderr.lower()
