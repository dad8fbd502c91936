"""The Helm chart, rendered by helm itself."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from healing.actions import registry
from healing.cluster.kinds import KINDS
from healing.detection.watcher import WATCHED_KINDS
from healing.diagnosis.collect.live import CLUSTER_WIDE, NAMESPACED
from recist_web import rbac
from recist_web.celery import QUEUES
from recist_web.environment import PROJECT_DIR, parse
from tests.parts.tools import tool

CHART = PROJECT_DIR / "helm" / "recist"


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, check=False)


def rendered(*arguments: str) -> list[dict[str, Any]]:
    done = helm("template", "recist", str(CHART), "--namespace", "recist-system", *arguments)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    return rendered()


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [found for found in objects if found["kind"] == kind]


def test_the_chart_is_clean() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


def test_the_installation_guide_needs_no_values(objects: list[dict[str, Any]]) -> None:
    assert {found["metadata"]["name"] for found in of_kind(objects, "Deployment")} == {
        "recist-web",
        "recist-worker-fast",
        "recist-worker-slow",
        "recist-beat",
        "recist-watcher",
    }
    web = next(found for found in of_kind(objects, "Deployment") if found["metadata"]["name"] == "recist-web")
    key = next(
        entry["valueFrom"]["secretKeyRef"]
        for entry in web["spec"]["template"]["spec"]["containers"][0]["env"]
        if entry["name"] == "LLM_API_KEY"
    )
    # Without the secret it starts all the same: no language model is needed.
    assert key == {"name": "llm-api-key", "key": "key", "optional": True}


def test_what_the_chart_sets_is_understood(objects: list[dict[str, Any]]) -> None:
    (configuration,) = of_kind(objects, "ConfigMap")
    (secret,) = of_kind(objects, "Secret")
    environ = {
        **configuration["data"],
        "SECRET_KEY": secret["stringData"]["secret-key"],
        "DATABASE_URL": secret["stringData"]["database-url"],
    }
    parsed = parse(environ)
    assert parsed.problems == ()
    assert set(configuration["data"]) <= set(type(parsed.values).model_fields)


def test_every_queue_has_a_worker(objects: list[dict[str, Any]]) -> None:
    served: list[str] = []
    for deployment in of_kind(objects, "Deployment"):
        command = deployment["spec"]["template"]["spec"]["containers"][0]["command"]
        if "-Q" in command:
            served += command[command.index("-Q") + 1].split(",")
    assert sorted(served) == sorted(QUEUES)


def allowed(objects: list[dict[str, Any]], kind: str) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of the role of that kind."""
    (role,) = of_kind(objects, kind)
    return {
        (group, resource, verb)
        for rule in role["rules"]
        if "resourceNames" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_roles_allow_what_the_code_does_and_nothing_else(objects: list[dict[str, Any]]) -> None:
    for kind, needed in (("ClusterRole", rbac.cluster_wide()), ("Role", rbac.own_namespace())):
        assert allowed(objects, kind) == {(p.group, p.resource, p.verb) for p in needed}, "run `manage.py rbac`"


def test_the_roles_cover_each_part(objects: list[dict[str, Any]]) -> None:
    """What each part declares, told apart from how the roles are put together."""
    granted = allowed(objects, "ClusterRole")
    for verb, kind in registry.permissions():
        resource = KINDS[kind]
        needed = (resource.group, f"{resource.plural}/eviction", "create") if verb == "evict" else None
        assert (needed or (resource.group, resource.plural, verb)) in granted, (verb, kind)
    for kind in (*WATCHED_KINDS, "SelfHealingPolicy"):
        assert {(KINDS[kind].group, KINDS[kind].plural, verb) for verb in ("list", "watch")} <= granted, kind
    for kind in (*NAMESPACED, *CLUSTER_WIDE):
        assert (KINDS[kind].group, KINDS[kind].plural, "list") in granted, kind
    assert ("", "pods/log", "get") in granted
    assert {("recist.io", "healingevents", "create"), ("recist.io", "healingevents/status", "patch")} <= granted
    assert ("recist.io", "selfhealingpolicies/status", "patch") in granted
    assert {verb for *_, verb in allowed(objects, "Role")} == {"get", "create", "patch"}


def test_the_roles_leave_alone_what_nobody_may_read_or_change_unasked(objects: list[dict[str, Any]]) -> None:
    granted = allowed(objects, "ClusterRole") | allowed(objects, "Role")
    assert not [entry for entry in granted if "*" in entry]
    resources = {resource for _, resource, _ in granted}
    assert not resources & {"secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers"}
    assert not resources & {"serviceaccounts/token", "customresourcedefinitions"}
    # Whoever is deleted is made again, and taken away when that did not help; nobody's tokens, nobody's rights.
    on_accounts = {verb for _, resource, verb in granted if resource == "serviceaccounts"}
    assert on_accounts == {"get", "list", "create", "patch", "delete"}
    assert not {group for group, *_ in granted} & {"rbac.authorization.k8s.io", "certificates.k8s.io"}


def test_only_named_secrets_are_read_and_only_in_our_own_namespace(objects: list[dict[str, Any]]) -> None:
    def named(kind: str, of: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [rule for role in of_kind(of, kind) for rule in role["rules"] if "resourceNames" in rule]

    assert named("ClusterRole", objects) == []
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    assert named("Role", objects) == [{**rule, "resourceNames": ["llm-api-key"]}]
    more = rendered("--set", "llm.policySecrets={team-key}")
    assert named("Role", more) == [{**rule, "resourceNames": ["llm-api-key", "team-key"]}]
    assert named("Role", rendered("--set", "llm.apiKeySecret=")) == []


def test_a_database_of_ones_own_has_to_be_named() -> None:
    done = helm("template", "recist", str(CHART), "--set", "postgresql.enabled=false")
    assert done.returncode != 0
    assert "database.existingSecret" in done.stderr
    named = rendered("--set", "postgresql.enabled=false", "--set", "database.existingSecret=db", "--set", "https=true")
    assert of_kind(named, "StatefulSet") == []
