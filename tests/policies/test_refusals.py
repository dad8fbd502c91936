"""What is wrong is refused in the field's words in all three places: kubectl, the admin's form, the API."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from healing.admin.spec_fields import SEPARATOR, to_initial
from healing.models import Policy
from healing.policies.difference import leaves
from healing.policies.spec import PolicySpec
from tests.parts.kubectl import Kubectl

pytestmark = pytest.mark.django_db

#: (what is written over a good spec, the field as all three name it, what is typed into the form; None: the form has
#: no way to write it)
CASES: tuple[tuple[dict[str, Any], str, dict[str, Any] | None], ...] = (
    ({"targetNamespaces": []}, "targetNamespaces", {"target_namespaces": ""}),
    ({"targetNamespaces": ["*"]}, "targetNamespaces", {"target_namespaces": "*"}),
    ({"targetNamespaces": ["Shop"]}, "targetNamespaces", {"target_namespaces": "Shop"}),
    ({"targetNamespaces": ["a", "a"]}, "targetNamespaces", {"target_namespaces": "a, a"}),
    ({"targetNamespaces": "shop"}, "targetNamespaces", None),
    ({"targetLabels": {"app": "*"}}, "targetLabels", {"target_labels": "app=*"}),
    ({"targetLabels": {"a b": "c"}}, "targetLabels", {"target_labels": "a b=c"}),
    ({"targetLabels": {"app": 3}}, "targetLabels", None),
    ({"thresholds": {"cpu": 1.5}}, "thresholds.cpu", {"thresholds__cpu": "1.5"}),
    ({"thresholds": {"cpu": -0.1}}, "thresholds.cpu", {"thresholds__cpu": "-0.1"}),
    ({"thresholds": {"cpu": "0.5"}}, "thresholds.cpu", {"thresholds__cpu": "half"}),
    ({"thresholds": {"cpu": True}}, "thresholds.cpu", None),
    ({"thresholds": {"latencyMs": 0}}, "thresholds.latencyMs", {"thresholds__latency_ms": "0"}),
    ({"thresholds": {"latencyMs": 1e300}}, "thresholds.latencyMs", {"thresholds__latency_ms": "1e300"}),
    ({"thresholds": {"gpu": 0.5}}, "thresholds.gpu", None),
    ({"allowedActions": ["reboot"]}, "allowedActions", {"allowed_actions": ["reboot"]}),
    ({"approval": {"mode": "sometimes"}}, "approval.mode", {"approval__mode": "sometimes"}),
    ({"approval": {"requiredApprovals": {"high": 9}}}, "approval.requiredApprovals.high",
     {"approval__required_approvals__high": "9"}),
    ({"limits": {"maxAttempts": 0}}, "limits.maxAttempts", {"limits__max_attempts": "0"}),
    ({"limits": {"maxAttempts": 2.5}}, "limits.maxAttempts", {"limits__max_attempts": "2.5"}),
    ({"limits": {"maxAttempts": 10**18}}, "limits.maxAttempts", {"limits__max_attempts": "1" + "0" * 18}),
    ({"limits": {"freezeWindows": ["at night"]}}, "limits.freezeWindows", {"limits__freeze_windows": "at night"}),
    ({"diagnosisConfig": {"confidenceThreshold": 7}}, "diagnosisConfig.confidenceThreshold", None),
    ({"containmentConfig": {"isolationStrategy": "nuclear"}}, "containmentConfig.isolationStrategy", None),
    ({"notifications": {"channels": [{"type": "pigeon"}]}}, "notifications.channels",
     {"notifications__channels": "- type: pigeon"}),
    ({"notifications": {"slackWebhook": "https://hooks.example.com/x"}}, "notifications.slackWebhook", None),
    ({"paused": "yes"}, "paused", None),
    ({"autonomy": "yolo"}, "autonomy", {"autonomy": "yolo"}),
    ({"wishes": 3}, "wishes", None),
)  # fmt: skip
IDS = [f"{field}={json.dumps(spec)[:40]}" for spec, field, _ in CASES]


@pytest.fixture
def admin(client: Client, settings: Any) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.mark.parametrize(("spec", "field", "typed"), CASES, ids=IDS)
def test_in_all_three_places(
    spec: dict[str, Any], field: str, typed: dict[str, Any] | None, kubectl: Kubectl, admin: Client
) -> None:
    written = {"targetNamespaces": ["shop"], **deepcopy(spec)}
    in_cluster(kubectl, written, field)
    in_api(admin, written, field)
    if typed is not None:
        in_form(admin, typed, field)
    assert not Policy.objects.exists()


def in_cluster(kubectl: Kubectl, spec: dict[str, Any], field: str) -> None:
    body = {"apiVersion": "recist.io/v1alpha1", "kind": "SelfHealingPolicy", "metadata": {"name": "bad"}, "spec": spec}
    done = kubectl.run("create", "--validate=strict", "-n", "default", "-f", "-", stdin=json.dumps(body))
    assert done.returncode != 0, "kubectl took it"
    assert f"spec.{field}" in done.stderr, done.stderr


def in_api(admin: Client, spec: dict[str, Any], field: str) -> None:
    body = {"name": "bad", "spec": spec}
    answer = admin.post("/api/v1/policies", body, content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    fields = [error["field"] for error in answer.json()["errors"]]
    assert any(name == f"spec.{field}" or name.startswith(f"spec.{field}.") for name in fields), fields


def in_form(admin: Client, typed: dict[str, Any], field: str) -> None:
    values = to_initial(PolicySpec(target_namespaces=["shop"]))
    data = {name: value for name, value in values.items() if value not in (None, False)}
    answer = admin.post("/admin/healing/policy/add/", {"name": "bad", "namespace": "", **data, **typed})
    assert answer.status_code == 200
    errors = answer.context["adminform"].form.errors
    [name] = typed
    assert name in errors, errors
    assert name.replace(SEPARATOR, ".").replace("_", "").lower() == field.lower()


def test_what_is_good_is_taken_everywhere(kubectl: Kubectl, admin: Client, namespace: str) -> None:
    """Every field of the schema at once, with a value that is not its default, and the seed's own example."""
    seeds = {
        "targetNamespaces": ["default"],
        "thresholds": {"cpu": 0.9, "memory": 0.85, "latencyMs": 500, "errorRate": 0.05},
        "allowedActions": ["restart", "scale", "updateConfig", "updateResources", "isolate"],
        "llmConfig": {
            "provider": "claude",
            "model": "claude-3-sonnet-20240229",
            "apiKeySecret": "llm-api-key",
            "timeoutSeconds": 20,
        },
        "notifications": {"enabled": True, "slackWebhook": "slack", "email": "sre@example.com", "pagerdutyKey": "p/k"},
        "containmentConfig": {
            "checkIntervalSeconds": 10,
            "isolationStrategy": "soft",
            "neighborCapacityThreshold": 0.7,
        },
        "diagnosisConfig": {"logLookbackMinutes": 5, "maxLogLines": 1000, "confidenceThreshold": 0.7},
        "metacognitiveConfig": {
            "maxMicroAgents": 5,
            "maxReasoningDepth": 10,
            "actionTimeoutSeconds": 60,
            "verificationWaitSeconds": 30,
            "decisionThreshold": 0.7,
        },
        "knowledgeConfig": {
            "similarityThreshold": 0.8,
            "maxLocalEvents": 100,
            "knowledgeTtlDays": 90,
            "embeddingDimensions": 1536,
        },
    }
    ours = PolicySpec.model_validate(seeds)
    assert (ours.containment.mode, ours.verification.timeout_seconds, ours.max_reasoning_depth) == ("soft", 30, 10)
    assert [channel.type for channel in ours.notifications.channels] == ["slack", "email", "pagerDuty"]
    assert sum(1 for _ in leaves(ours.as_json())) > 45
    for name, spec in (("seeds", seeds), ("ours", ours.as_json())):
        body = {"apiVersion": "recist.io/v1alpha1", "kind": "SelfHealingPolicy", "metadata": {"name": name}}
        kubectl("create", "--validate=strict", "-n", namespace, "-f", "-", stdin=json.dumps({**body, "spec": spec}))
        answer = admin.post("/api/v1/policies", {"name": name, "spec": spec}, content_type="application/json")
        assert answer.status_code == 201, answer.json()
        assert PolicySpec.model_validate(answer.json()["spec"]) == ours
    data = {name: value for name, value in to_initial(ours).items() if value not in (None, False)}
    made = admin.post("/admin/healing/policy/add/", {"name": "form", "namespace": "", "enabled": "on", **data})
    assert made.status_code == 302, made.context["adminform"].form.errors
    assert Policy.objects.get(name="form").parsed() == ours
    lines = kubectl("get", "shp", "-n", namespace).splitlines()
    assert lines[0].split() == ["NAME", "NAMESPACES", "AUTONOMY", "ACCEPTED", "READY", "ACTIVE", "LAST", "AGE"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2", "line 2: a is written twice"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: [1", "line"),
        ("a: 2026-99-99", "cannot be read"),
        ("[" * 100, "nested too deeply"),
        ("!!python/object:os.system {}", "could not determine a constructor"),
    ],
)
def test_yaml_that_is_read_differently_elsewhere_is_refused(text: str, says: str) -> None:
    from healing.policies.yaml_text import BadYaml, load

    with pytest.raises(BadYaml, match=says):
        load(text)
