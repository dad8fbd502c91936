"""Who may do what: RBAC over the Role and Binding objects of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from healing.sandbox.ports import Object, User

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

_RBAC = "rbac.authorization.k8s.io"
MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class Access:
    """What is asked for: a resource (``resource`` may carry a subresource, ``pods/log``) or a ``path``."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


class Authorizer:
    def __init__(self, server: ApiServer) -> None:
        self._server = server

    def allowed(self, user: User, access: Access) -> bool:
        if MASTERS in user.groups:
            return True
        return any(_covers(rule, access) for rule in self.rules(user, access.namespace))

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """All rules that hold for ``user`` in ``namespace`` (and at cluster scope)."""
        for binding in self._server.list(f"clusterrolebindings.{_RBAC}"):
            if _binds(binding, user, ""):
                yield from self._role_rules(binding, "")
        if not namespace:
            return
        for binding in self._server.list(f"rolebindings.{_RBAC}", namespace):
            if _binds(binding, user, namespace):
                yield from self._role_rules(binding, namespace)

    def _role_rules(self, binding: Object, namespace: str) -> Iterator[Object]:
        reference = binding.get("roleRef") or {}
        if reference.get("kind") == "ClusterRole":
            role = self._server.get(f"clusterroles.{_RBAC}", None, reference.get("name", ""))
        else:
            role = self._server.get(f"roles.{_RBAC}", namespace, reference.get("name", ""))
        yield from (role or {}).get("rules") or ()


def _binds(binding: Object, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name == user.name:
            return True
        if kind == "Group" and name in user.groups:
            return True
        account = f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
        if kind == "ServiceAccount" and user.name == account:
            return True
    return False


def _has(listed: Any, wanted: str) -> bool:
    return bool(listed) and ("*" in listed or wanted in listed)


def _covers(rule: Object, access: Access) -> bool:
    if not _has(rule.get("verbs"), access.verb):
        return False
    if access.path:
        return any(
            pattern in ("*", access.path) or (pattern.endswith("*") and access.path.startswith(pattern[:-1]))
            for pattern in rule.get("nonResourceURLs") or ()
        )
    if not _has(rule.get("apiGroups"), access.group):
        return False
    resources = rule.get("resources") or ()
    subresource = access.resource.partition("/")[2]
    if not (_has(resources, access.resource) or (subresource and f"*/{subresource}" in resources)):
        return False
    names = rule.get("resourceNames") or ()
    return not names or access.name in names


def service_account_user(namespace: str, name: str) -> User:
    """The identity a ServiceAccount's token stands for."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)
