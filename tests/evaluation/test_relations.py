"""What belongs to a fault: read from the world's manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from healing.sandbox.scenarios import Expectation, Scenario
from recist_web.evaluation.relations import ref, related

WORLD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: site}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec:
      serviceAccountName: web-runner
      imagePullSecrets: [{name: pull}]
      containers:
        - name: web
          envFrom: [{configMapRef: {name: settings}}]
          env: [{name: P, valueFrom: {secretKeyRef: {name: password, key: p}}}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: files}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: site}
spec:
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db}]}}
  volumeClaimTemplates: [{metadata: {name: data}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: site}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: r, envFrom: [{configMapRef: {name: settings}}]}]}}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: site}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: site}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: site}
spec: {podSelector: {matchLabels: {tier: front}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all, namespace: site}
spec: {podSelector: {}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: door, namespace: site}
spec: {rules: [{http: {paths: [{backend: {service: {name: web, port: {number: 80}}}}]}}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaler, namespace: site}
spec: {scaleTargetRef: {kind: Deployment, name: web}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: budget, namespace: site}
spec: {selector: {matchLabels: {app: db}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: other}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: []}}}
"""
WEB, DB, JOB = "Deployment web", "StatefulSet db", "CronJob report"


def found(cause: dict[str, str], **more: Any) -> set[str]:
    scenario = Scenario("x", Path("x.yaml"), manifests=list(yaml.safe_load_all(WORLD)))
    refs = related(scenario, Expectation(after="a", object=cause, **more))
    assert refs[0] == ref(cause["kind"], cause.get("namespace", ""), cause.get("name", ""))
    return {f"{r['kind']} {r['name']}" + ("@other" if r["namespace"] == "other" else "") for r in refs[1:]}


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("ConfigMap", "settings", {WEB, JOB}),
        ("Secret", "password", {WEB}),
        ("Secret", "pull", {WEB}),
        ("Secret", "unused", set()),
        ("ServiceAccount", "web-runner", {WEB}),
        ("PersistentVolumeClaim", "files", {WEB}),
        ("PersistentVolumeClaim", "data-db-0", {DB}),
        ("Service", "web", {WEB}),
        ("Service", "outside", set()),
        ("NetworkPolicy", "deny", {WEB}),
        ("NetworkPolicy", "deny-all", {WEB, DB, JOB}),
        ("Ingress", "door", {"Service web"}),
        ("HorizontalPodAutoscaler", "scaler", {WEB}),
        ("PodDisruptionBudget", "budget", {DB}),
        ("ResourceQuota", "quota", {WEB, DB, JOB}),
        ("LimitRange", "limits", {WEB, DB, JOB}),
        ("Deployment", "web", {"Service web", "HorizontalPodAutoscaler scaler"}),
        ("StatefulSet", "db", set()),
    ],
)
def test_what_an_object_touches(kind: str, name: str, expected: set[str]) -> None:
    assert found({"kind": kind, "namespace": "site", "name": name}) == expected


def test_a_node_may_be_under_everything() -> None:
    everything = found({"kind": "Node"})
    assert {WEB, DB, "Service web", "Deployment web@other"} <= everything


def test_what_is_said_to_suffer_belongs_to_it() -> None:
    also = {"kind": "Deployment", "namespace": "other", "name": "web"}
    cause = {"kind": "StatefulSet", "namespace": "site", "name": "db"}
    assert found(cause, also_affected=(also,)) == {"Deployment web@other"}
    assert found(cause, well_services=("site/web",), well_workloads=("site/web",)) == {"Service web", WEB}
