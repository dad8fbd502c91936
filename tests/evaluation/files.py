"""Scenario files for the tests: small worlds that come up at once."""

from __future__ import annotations

from pathlib import Path

HEAD = "apiVersion: sandbox.recist.io/v1\nkind: Scenario\nmetadata: {name: %s, title: A test}\nnodes: 1\n"

SITE = """manifests:
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web, namespace: site, labels: {app: web}}
    spec:
      replicas: 2
      selector: {matchLabels: {app: web}}
      template:
        metadata: {labels: {app: web}}
        spec:
          terminationGracePeriodSeconds: 1
          containers:
            - name: web
              image: nginx:1.27
              ports: [{containerPort: 80}]
              readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
  - apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: site}
    spec: {selector: {app: web}, ports: [{port: 80}]}
traffic:
  - {namespace: site, service: web, port: 80, requestsPerSecond: 5}
"""

TYPO = """timeline:
  - {at: 2s, id: typo, patch: {kind: Service, namespace: site, name: web, merge: {spec: {selector: {app: wbe}}}}}
expectations:
  - after: typo
    causes: [ServiceSelectorMismatch]
    object: {kind: Service, namespace: site, name: web}
    alsoAffected: [{kind: Deployment, namespace: site, name: web}]
"""

OBSERVE = """policies:
  - apiVersion: recist.io/v1alpha1
    kind: SelfHealingPolicy
    metadata: {name: look-only}
    spec: {targetNamespaces: [site], autonomy: observe}
"""


def fault(name: str) -> str:
    """A Service's selector with a typo; to be healed."""
    fixes = "    fixes: [fixServiceSelector]\n    well: {services: [site/web], within: 60s}\n"
    return HEAD % name + SITE + TYPO + fixes


def must_not_act(name: str) -> str:
    """The same where the policy says that nothing may be done."""
    return HEAD % name + SITE + OBSERVE + TYPO + "    mustNotAct: true\n"


def healthy(name: str) -> str:
    """Somebody scales up: nothing is wrong."""
    return (
        HEAD % name
        + SITE
        + "timeline:\n"
        + "  - {at: 2s, patch: {kind: Deployment, namespace: site, name: web, merge: {spec: {replicas: 3}}}}\n"
        + "expectations:\n  - healthy: true\n"
    )


def write(directory: Path, **files: str) -> Path:
    """Each text into ``NAME.yaml``; the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / f"{name.replace('_', '-')}.yaml").write_text(text, encoding="utf-8")
    return directory
