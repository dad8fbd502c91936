"""What the tests with kubectl share: manifests, and the states controllers and kubelets would report."""

from __future__ import annotations

import time

from healing.sandbox.ports import LogLine, Object, Usage
from tests.sandbox_api.running import ADMIN, RunningApi

DEPLOYMENT = """
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


CRD = """
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


def as_if_rolled_out(api: RunningApi, namespace: str, name: str = "web") -> None:
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


def make_pod(api: RunningApi, namespace: str, name: str, **status: object) -> Object:
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


def make_owner(api: RunningApi, namespace: str) -> Object:
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


class Lines:
    """A log source as the kubelets are."""

    def logs(self, pod_uid: str, container: str, *, previous: bool = False) -> list[LogLine] | None:
        if previous:
            return [LogLine(time.time() - 60, "the last words")]
        return [LogLine(time.time() - 10 + index, f"line {index}") for index in range(5)]

    def usage(self, pod_uid: str) -> dict[str, Usage]:
        return {}

    async def follow(self, pod_uid: str, container: str):  # type: ignore[no-untyped-def]
        yield LogLine(time.time(), "and one more")
