"""What a 403 says, and what is done with credentials that reach no further than a namespace."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from healing.cluster.config import ClusterConfig
from healing.cluster.errors import from_status
from healing.cluster.kubernetes import KubernetesCluster
from healing.ports.errors import Forbidden
from recist_web import rbac
from recist_web.rbac import Permission
from recist_web.supervisor.cluster import PreparedCluster
from recist_web.supervisor.errors import CannotStartError
from recist_web.supervisor.rights import Rights, grant, left_out, needs
from tests.cluster.sandbox import RunningSandbox
from tests.cluster.server import recorded
from tests.cluster.users import Admin


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        (
            "403-patch-scale",
            (
                'a Role of that user in namespace errors: apiGroups ["apps"], resources ["deployments/scale"], '
                'verbs ["patch"]'
            ),
        ),
        ("403-cluster-scope", 'its ClusterRole: apiGroups [""], resources ["nodes"], verbs ["list"]'),
    ],
)
def test_a_403_says_which_verb_to_add_and_where(name: str, advice: str) -> None:
    error = from_status(recorded(f"errors/{name}")["response"]["body"], "GET /x", code=403)
    assert isinstance(error, Forbidden)
    assert str(error).endswith(f"To allow it, add to {advice}")


@pytest.fixture
def admin(sandbox: RunningSandbox, tmp_path: Path) -> Iterator[Admin]:
    made = Admin(sandbox, tmp_path)
    yield made
    made.close()


def rights_of(kubeconfig: Path, lease_namespace: str, namespaces: tuple[str, ...] = ()) -> Rights:
    with contextlib.closing(PreparedCluster(kubeconfig)) as prepared:
        return prepared.rights(lease_namespace, namespaces)


def shipped() -> list[dict[str, Any]]:
    """The rules of both roles."""
    return [dict(rule) for rule in rbac.rules((*rbac.cluster_wide(), *rbac.own_namespace()))]


def test_who_may_not_look_into_the_whole_cluster_is_limited_to_the_contexts_namespace(admin: Admin) -> None:
    kubeconfig = admin.user("dev", ("team-a",), shipped(), at="team-a")
    rights = rights_of(kubeconfig, "recist-system")
    assert rights.namespaces == ("team-a",)
    assert rights.lease_namespace == "team-a"  # recist-system is not theirs
    # What has no namespace is all that is missing.
    assert {permission.kind for permission, _ in rights.lacking} == {
        "Node",
        "Namespace",
        "PersistentVolume",
        "StorageClass",
    }


def test_several_namespaces_are_named(admin: Admin) -> None:
    kubeconfig = admin.user("ops", ("team-b", "team-c"), shipped())
    with pytest.raises(CannotStartError, match="neither in the whole cluster nor in its namespace default"):
        rights_of(kubeconfig, "recist-system")
    rights = rights_of(kubeconfig, "recist-system", ("team-b", "team-c"))
    assert rights.namespaces == ("team-b", "team-c")
    with pytest.raises(
        CannotStartError, match=r"(?s)get, list, watch pods in namespace kube-system.*resources: \[pods\]"
    ):
        rights_of(kubeconfig, "recist-system", ("team-b", "kube-system"))


def test_each_missing_verb_is_told_with_what_it_costs_and_how_to_grant_it(admin: Admin) -> None:
    rules = rbac.rules(
        permission
        for permission in (*rbac.cluster_wide(), *rbac.own_namespace())
        if (permission.resource, permission.verb) not in (("deployments", "patch"), ("pods/eviction", "create"))
    )
    kubeconfig = admin.user("reader", ("team-d",), [dict(rule) for rule in rules], at="team-d")
    lacking = [need for need in rights_of(kubeconfig, "team-d").lacking if need[1]]
    said = left_out(lacking)
    assert len(said) == 2
    patch = next(line for line in said if "deployments.apps" in line)
    assert patch.startswith("may not patch deployments.apps in namespace team-d: without ")
    assert "fixProbe" in patch
    assert any(line == "may not create pods/eviction in namespace team-d: without drain, evict" for line in said)
    assert yaml.safe_load(grant(lacking).partition("\n")[2]) == [
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"]},
    ]


def test_needs_are_asked_for_where_they_count() -> None:
    asked = needs(("a", "b"))
    assert (Permission.of("list", "Node"), "") in asked
    assert (Permission.of("list", "Pod"), "a") in asked
    assert (Permission.of("list", "Pod"), "") not in asked
    assert {namespace for _, namespace in needs(())} == {""}


def test_a_namespace_only_user_sees_its_namespace_and_is_told_about_the_rest(admin: Admin) -> None:
    kubeconfig = admin.user("solo", ("team-e",), shipped(), at="team-e")
    cluster = KubernetesCluster(ClusterConfig(kubeconfig))
    assert cluster.list("Pod", "team-e").items == []
    with pytest.raises(Forbidden, match=r'add to its ClusterRole: apiGroups .*resources ."pods".*verbs ."list"'):
        cluster.list("Pod")
    cluster.close()
