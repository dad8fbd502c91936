"""What the chart's roles allow: what the code does in each mode, and nothing else."""

from __future__ import annotations

import re

import pytest
from django.core.management import call_command

from healing.actions import registry
from healing.cluster.kinds import KINDS
from healing.detection.watcher import WATCHED_KINDS
from healing.diagnosis.collect.live import CLUSTER_WIDE, NAMESPACED
from healing.policies.spec import ActionName
from recist_web import rbac
from tests.chart.rendering import Object, of_kind, refused, rendered

#: (group, resource, verb)
Grant = tuple[str, str, str]
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return rendered()


def of_release(objects: list[Object], kind: str, namespace: str | None = None) -> list[Object]:
    """Roles that outlast an upgrade's hooks."""
    return [
        found
        for found in of_kind(objects, kind)
        if not found["metadata"].get("annotations") and found["metadata"].get("namespace") == namespace
    ]


def granted(roles: list[Object]) -> set[Grant]:
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        if "resourceNames" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def told(permissions: frozenset[rbac.Permission]) -> set[Grant]:
    return {(entry.group, entry.resource, entry.verb) for entry in permissions}


def changes(grants: set[Grant]) -> set[Grant]:
    return {entry for entry in grants if entry[2] in WRITES}


def test_the_roles_allow_what_the_code_does_and_nothing_else(objects: list[Object]) -> None:
    for kind, needed in (("ClusterRole", rbac.cluster_wide()), ("Role", rbac.own_namespace())):
        assert granted(of_release(objects, kind)) == told(needed), "run `manage.py rbac`"


def test_the_roles_cover_each_part(objects: list[Object]) -> None:
    """What each part declares, told apart from how the roles are put together."""
    grants = granted(of_release(objects, "ClusterRole"))
    for verb, kind in registry.permissions():
        resource = KINDS[kind]
        needed = (resource.group, f"{resource.plural}/eviction", "create") if verb == "evict" else None
        assert (needed or (resource.group, resource.plural, verb)) in grants, (verb, kind)
    for kind in (*WATCHED_KINDS, "SelfHealingPolicy"):
        assert {(KINDS[kind].group, KINDS[kind].plural, verb) for verb in ("list", "watch")} <= grants, kind
    for kind in (*NAMESPACED, *CLUSTER_WIDE):
        assert (KINDS[kind].group, KINDS[kind].plural, "list") in grants, kind
    assert ("", "pods/log", "get") in grants
    assert {("recist.io", "healingevents", "create"), ("recist.io", "healingevents/status", "patch")} <= grants
    assert ("recist.io", "selfhealingpolicies/status", "patch") in grants
    assert {verb for *_, verb in granted(of_release(objects, "Role"))} == {"get", "create", "patch"}


@pytest.mark.parametrize("mode", ["", "rbac.readOnly=true", "rbac.namespaces={shop}", "rbac.actions={recreateMissing}"])
def test_no_mode_allows_what_nobody_may_read_or_change_unasked(mode: str) -> None:
    objects = rendered(*(["--set", mode] if mode else []))
    roles = [*of_kind(objects, "ClusterRole"), *of_kind(objects, "Role")]
    grants = granted(roles)
    assert not [entry for entry in grants if "*" in entry]
    resources = {resource for _, resource, _ in grants}
    assert not resources & {"secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers"}
    assert not resources & {"serviceaccounts/token", "customresourcedefinitions"}
    # Whoever is deleted is made again, and taken away when that did not help; nobody's tokens, nobody's rights.
    on_accounts = {verb for _, resource, verb in grants if resource == "serviceaccounts"}
    assert on_accounts <= {"get", "list", "create", "patch", "delete"}
    assert not {group for group, *_ in grants} & {"rbac.authorization.k8s.io", "certificates.k8s.io"}


def test_read_only_changes_nothing_but_our_own_resources() -> None:
    objects = rendered("--set", "rbac.readOnly=true")
    grants = granted(of_release(objects, "ClusterRole"))
    assert {group for group, *_ in changes(grants)} == {"recist.io"}
    assert grants == told(rbac.reading() | rbac.ours())
    assert "leave rbac.actions empty" in refused("--set", "rbac.readOnly=true", "--set", "rbac.actions={restart}")


def test_namespaces_get_a_role_each_and_nothing_else() -> None:
    objects = rendered("--set", "rbac.namespaces={shop,billing}")
    assert of_release(objects, "ClusterRole") == of_release(objects, "ClusterRoleBinding") == []
    for namespace in ("shop", "billing"):
        (role,) = of_release(objects, "Role", namespace)
        wanted = {entry for entry in rbac.cluster_wide() if KINDS[entry.kind].namespaced}
        assert granted([role]) == told(frozenset(wanted))
        (binding,) = of_release(objects, "RoleBinding", namespace)
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "recist", "namespace": "recist-system"}]
    (configuration,) = [found for found in of_kind(objects, "ConfigMap") if found["metadata"]["name"] == "recist"]
    assert configuration["data"]["WATCH_NAMESPACES"] == "shop,billing"


def test_with_namespaces_what_has_none_can_be_seen_all_the_same() -> None:
    objects = rendered("--set", "rbac.namespaces={shop}", "--set", "rbac.clusterScoped=true")
    wanted = {entry for entry in rbac.cluster_wide() if not KINDS[entry.kind].namespaced}
    assert granted(of_release(objects, "ClusterRole")) == told(frozenset(wanted))
    assert {"nodes", "persistentvolumes"} <= {entry.resource for entry in wanted}


def test_each_action_alone_brings_the_verbs_it_declares_and_no_more() -> None:
    """By the generated file, for each; by helm, for one of each kind of scope."""
    for name in registry.REGISTRY:
        beyond = told(rbac.of_actions(name))
        declared = told(frozenset(rbac.Permission.of(*pair) for pair in registry.REGISTRY[name].permissions))
        assert beyond <= declared <= beyond | told(rbac.reading()), name
    assert told(rbac.of_actions()) == {entry for name in ActionName for entry in told(rbac.of_actions(name))}

    objects = rendered("--set", "rbac.actions={restart,cordon}")
    grants = changes(granted(of_release(objects, "ClusterRole"))) - told(rbac.ours())
    workloads = {("apps", resource, "patch") for resource in ("deployments", "statefulsets", "daemonsets")}
    assert grants == {*workloads, ("", "nodes", "patch")}


@pytest.mark.parametrize(
    ("bleeding", "undo"),
    [("isolate", "release"), ("pauseRollout", "resumeRollout"), ("cordon", "uncordon"), ("drain", "uncordon")],
)
def test_what_an_action_brings_is_enough_to_take_it_back(bleeding: str, undo: str) -> None:
    assert rbac.of_actions(ActionName(undo)) <= rbac.of_actions(ActionName(bleeding))


def test_an_unknown_action_is_refused_with_those_that_exist() -> None:
    said = refused("--set", "rbac.actions={reboot}")
    assert re.search(r"rbac/actions/0.*'cordon'.*'restart'", said), said


def test_only_named_secrets_are_read_and_only_in_our_own_namespace(objects: list[Object]) -> None:
    def by_name(kind: str, of: list[Object]) -> list[Object]:
        return [rule for role in of_release(of, kind) for rule in role["rules"] if "resourceNames" in rule]

    assert by_name("ClusterRole", objects) == []
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    assert by_name("Role", objects) == [{**rule, "resourceNames": ["llm-api-key"]}]
    more = rendered("--set", "llm.policySecrets={team-key}")
    assert by_name("Role", more) == [{**rule, "resourceNames": ["llm-api-key", "team-key"]}]
    assert by_name("Role", rendered("--set", "llm.apiKeySecret=")) == []


def test_no_roles_are_made_where_somebody_else_makes_them() -> None:
    objects = rendered("--set", "rbac.create=false", "--set", "crds.upgrade=false")
    assert not [found for found in objects if "Role" in found["kind"]]
    (account,) = of_kind(objects, "ServiceAccount")
    assert account["metadata"]["name"] == "recist"


def test_an_upgrade_may_patch_the_two_resource_types_and_only_then(objects: list[Object]) -> None:
    (role,) = [found for found in of_kind(objects, "ClusterRole") if found["metadata"]["name"] == "recist-crds"]
    assert role["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    assert "hook-succeeded" in role["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
    (rule,) = role["rules"]
    assert sorted(rule["resourceNames"]) == ["healingevents.recist.io", "selfhealingpolicies.recist.io"]
    assert sorted(rule["verbs"]) == ["get", "patch"]
    (binding,) = [
        found for found in of_kind(objects, "ClusterRoleBinding") if found["metadata"]["name"] == "recist-crds"
    ]
    assert [subject["name"] for subject in binding["subjects"]] == ["recist-crds"]


def test_the_generated_rules_are_current() -> None:
    call_command("rbac", "--check")
