"""Who may change a policy: an admin of every namespace that it names, before and after. And who may see it."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from healing.access.roles import Capability, Grants, grants_of, refusal
from healing.models import Policy


def why_not_change(
    user: AbstractBaseUser | AnonymousUser,
    cluster: str,
    namespaces: Iterable[str],
    capability: Capability = Capability.ADMIN,
) -> str:
    """Empty: the person may. A policy that names no namespace needs the right everywhere in the cluster."""
    grants = grants_of(user)
    if grants.may(capability, cluster=cluster):
        return ""
    names = sorted(set(namespaces)) or [""]
    for name in names:
        if not grants.may(capability, cluster=cluster, namespace=name):
            return refusal(grants, capability, cluster=cluster, namespace=name)
    return ""


def may_see(grants: Grants, policy: Policy) -> bool:
    """Whether the person may see what happens in one of the policy's namespaces."""
    names = policy.spec.get("targetNamespaces") if isinstance(policy.spec, dict) else None
    places = [str(name) for name in names] if isinstance(names, list) else []
    return any(grants.may(Capability.VIEW, cluster=policy.cluster, namespace=name) for name in places or [""])
